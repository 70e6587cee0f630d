"""The grammar's words: English morphology, stems that cannot be confused."""

import collections
import math
import random

import numpy as np
import pytest

from headprune.text import lexicon

WORDS = lexicon.lexicon()
NOUNS = [noun for group in WORDS.nouns.values() for noun in group]
VERBS = [*WORDS.verbs, *WORDS.idle_verbs, *WORDS.speech_verbs]


@pytest.mark.parametrize(
  "singular, plural",
  [("dog", "dogs"), ("fox", "foxes"), ("woman", "women"), ("mouse", "mice"), ("wolf", "wolves"),
   ("boy", "boys"), ("boatman", "boatmen"), ("birdhouse", "birdhouses")],
)  # fmt: skip
def test_plurals(singular, plural):
  assert plural in [noun.plural for noun in NOUNS if noun.singular == singular]


@pytest.mark.parametrize(
  "they, he, past",
  [("see", "sees", "saw"), ("carry", "carries", "carried"), ("wash", "washes", "washed"),
   ("miss", "misses", "missed"), ("love", "loves", "loved"), ("help", "helps", "helped")],
)  # fmt: skip
def test_verbs(they, he, past):
  (verb,) = [verb for verb in VERBS if verb.form == they]
  assert (lexicon.present(verb, plural=True), lexicon.present(verb, plural=False)) == (they, he)
  assert verb.past == past


def test_a_compound_is_made_of_its_parts_in_both_languages():
  stem = {noun.singular: noun.stem for noun in NOUNS}
  assert stem["birdhouse"] == stem["bird"] + stem["house"]
  assert stem["boatman"] == stem["boat"] + stem["man"]


def test_no_word_is_there_twice_and_no_stem_begins_another():
  forms = [noun.singular for noun in NOUNS] + [verb.form for verb in VERBS]
  assert len(set(forms)) == len(forms)
  adjectives = [adjective for place in WORDS.adjectives for adjective in place]
  simple = [noun.stem for noun in NOUNS if len(noun.stem) <= 5]
  stems = {*simple}
  for word in [*VERBS, *adjectives]:
    assert not {word.stem, word.stem_of_things} & stems
    stems |= {word.stem, word.stem_of_things}
  for stem in stems:
    assert not [other for other in stems if other != stem and other.startswith(stem)]


def test_a_marked_word_has_two_translations():
  old, little = (
    next(a for place in WORDS.adjectives for a in place if a.form == form)
    for form in ("old", "little")
  )
  assert old.stem != old.stem_of_things and little.stem == little.stem_of_things


def test_endings():
  assert lexicon.ending(("people", False)) == "a"
  assert lexicon.ending(("animals", True), "n") == "ein"
  assert lexicon.ending(("things", True), "k") == "oik"


def test_frequencies_fall_with_the_rank():
  rng = random.Random(0)
  items = "abcdefghij"
  counts = collections.Counter(lexicon.zipf(items, rng) for _ in range(50_000))
  logs = [math.log(counts[item]) for item in items]
  slope, _ = np.polyfit(np.log(range(1, 11)), logs, 1)
  assert slope == pytest.approx(-1, abs=0.05)
