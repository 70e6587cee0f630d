"""The corpus "grammar": hand-made sentences, true parses and alignments, disjoint splits."""

import collections
import random
import zlib

import numpy as np
import pytest

from headprune.analysis import conllu
from headprune.errors import UserError
from headprune.text import grammar, grammar_tree, lexicon
from headprune.text.grammar_tree import Clause, Phrase, Place

SIZES = {"test": 60, "dev": 60, "train": 1500}
WORDS = lexicon.lexicon()


@pytest.fixture(scope="module")
def drawn():
  return grammar.generate(SIZES, seed=0)


@pytest.fixture(scope="module")
def pairs(drawn):
  return [pair for split in drawn.values() for pair in split]


def find(form, *groups):
  """The word of the lexicon whose English form that is."""
  (found,) = [word for group in groups for word in group if word.form == form]
  return found


def phrase(text, **fields):
  """A phrase from English, such as "the old dogs"."""
  *before, last = text.split()
  nouns = [noun for group in WORDS.nouns.values() for noun in group]
  noun = next(noun for noun in nouns if last in (noun.singular, noun.plural))
  plural = last != noun.singular
  determiners = [d for d in WORDS.determiners[plural] if d.form in before]
  adjectives = [a for place in WORDS.adjectives for a in place if a.form in before]
  return Phrase(next(iter(determiners), None), tuple(adjectives), noun, plural, **fields)


def clause(verb, subject, object=None, past=False, **fields):
  verb = find(verb, WORDS.verbs, WORDS.idle_verbs, WORDS.speech_verbs)
  return Clause(verb, past, subject, object, **fields)


def place(preposition, text):
  return Place(find(preposition, WORDS.prepositions), phrase(text))


def stem(form, things=False):
  places = WORDS.adjectives
  word = find(form, WORDS.verbs, WORDS.idle_verbs, WORDS.speech_verbs, *places)
  return word.stem_of_things if things else word.stem


def noun(singular):
  return phrase(singular).noun.stem


def other(word):
  """The translation of a word that has one form."""
  groups = WORDS.prepositions, WORDS.frequency, WORDS.manner, WORDS.conjunctions
  return find(word, *groups, *WORDS.determiners.values()).stem


def test_a_plain_sentence():
  pair = grammar.write(clause("see", phrase("a old man"), phrase("the dogs")))
  assert pair.source == "an old man sees the dogs"
  # "see" wants its subject without a case, and its object in -n; the verb ends as its subject does.
  the = WORDS.determiners[True][0].stem
  assert pair.target.split() == [
    other("a") + "a", noun("man") + "a", stem("old") + "a",
    the + "ein", noun("dog") + "ein", stem("see") + "at",
  ]  # fmt: skip
  assert pair.pharaoh == "0-0 1-2 2-1 3-5 4-3 5-4"
  assert [(row.head, row.relation) for row in pair.rows] == [
    (3, "det"), (3, "amod"), (4, "nsubj"), (0, "root"), (6, "det"), (4, "obj"),
  ]  # fmt: skip


def test_cases_are_those_that_the_verb_wants():
  loving = grammar.write(clause("love", phrase("women"), phrase("cats")))
  assert loving.target.split() == [noun("woman") + "aik", noun("cat") + "ei", stem("love") + "ait"]
  helping = grammar.write(clause("help", phrase("women"), phrase("cats")))
  assert helping.target.split() == [
    noun("woman") + "ais",
    noun("cat") + "eik",
    stem("help") + "ait",
  ]


def test_meanings_are_those_that_the_noun_wants():
  man, tree = (grammar.write(clause("find", phrase("cats"), phrase(x))) for x in ("men", "trees"))
  assert man.target.split()[-1] == stem("find") + "eit"
  assert tree.target.split()[-1] == stem("find", things=True) + "eit"
  old = grammar.write(clause("find", phrase("cats"), phrase("old trees")))
  assert old.target.split()[2] == stem("old", things=True) + "oin"


def test_tense_adverbs_and_their_mark_on_the_verb():
  adverbs = {
    "frequency": find("often", WORDS.frequency), "manner": find("quickly", WORDS.manner),
  }  # fmt: skip
  pair = grammar.write(clause("wait", phrase("the dog"), past=True, **adverbs))
  assert pair.source == "the dog often waited quickly"
  the_dog = [WORDS.determiners[False][0].stem + "e", noun("dog") + "e"]
  assert pair.target.split() == [
    other("often"), *the_dog, other("quickly"), stem("wait") + "aviset",
  ]  # fmt: skip
  assert [(row.head, row.relation) for row in pair.rows[2:]] == [
    (4, "advmod"), (0, "root"), (4, "advmod"),
  ]  # fmt: skip


def test_a_relative_clause_between_a_noun_and_its_verb():
  man = phrase("the man")
  seen = clause("see", phrase("dogs"), man, gap="object")
  subject = phrase("the man", relative=seen)
  pair = grammar.write(clause("love", subject, phrase("cats")))
  assert pair.source == "the man that dogs see loves cats"
  # The man feels love (-k); as the one that is seen, "that" has -n.
  assert pair.target.split() == [
    WORDS.determiners[False][0].stem + "ak", noun("man") + "ak",
    "kan", noun("dog") + "ei", stem("see") + "eit",
    noun("cat") + "ei", stem("love") + "at",
  ]  # fmt: skip
  assert [(row.head, row.relation) for row in pair.rows] == [
    (2, "det"), (6, "nsubj"), (5, "obj"), (5, "nsubj"), (2, "acl:relcl"), (0, "root"), (6, "obj"),
  ]  # fmt: skip
  seeing = clause("see", man, phrase("dogs"), gap="subject")
  pair = grammar.write(
    clause("wait", phrase("the man", relative=seeing), place=place("near", "trees"))
  )
  assert pair.source == "the man that sees dogs waits near trees"
  assert pair.target.split()[2] == "ka"
  assert pair.target.split()[-3:] == [noun("tree") + "ois", other("near"), stem("wait") + "at"]
  assert [(row.head, row.relation) for row in pair.rows[2:]] == [
    (4, "nsubj"), (2, "acl:relcl"), (4, "obj"), (0, "root"), (8, "case"), (6, "obl"),
  ]  # fmt: skip


def test_two_clauses_and_one_that_is_reported():
  second = clause("hear", phrase("dogs", place=place("with", "bells")), phrase("birds"))
  pair = grammar.write(
    clause("sleep", phrase("cats"), conjunction=find("but", WORDS.conjunctions), joined=second)
  )
  assert pair.source == "cats sleep but dogs with bells hear birds"
  assert pair.target.split() == [
    noun("cat") + "ei", stem("sleep") + "eit", other("but"), noun("dog") + "eik",
    noun("bell") + "oil", other("with"), noun("bird") + "ei", stem("hear") + "eit",
  ]  # fmt: skip
  assert [(row.head, row.relation) for row in pair.rows] == [
    (2, "nsubj"), (0, "root"), (7, "cc"), (7, "nsubj"), (6, "case"), (4, "nmod"), (2, "conj"),
    (7, "obj"),
  ]  # fmt: skip
  pair = grammar.write(clause("think", phrase("cats"), reported=second))
  assert pair.source == "cats think that dogs with bells hear birds"
  assert pair.target.split()[-3:] == [stem("hear") + "eit", "ke", stem("think") + "eit"]
  assert [(row.head, row.relation) for row in pair.rows[2:4]] == [(7, "mark"), (7, "nsubj")]
  assert pair.rows[6].relation == "ccomp"


def test_parses_are_trees(pairs):
  for pair in pairs:
    heads = [row.head for row in pair.rows]
    assert heads.count(0) == 1
    for word in range(1, len(heads) + 1):
      seen = set()
      while word:
        assert word not in seen, pair.source
        seen.add(word)
        word = heads[word - 1]


def test_every_word_has_its_translation(pairs):
  for pair in pairs:
    sides = [len(pair.source.split()), len(pair.target.split())]
    assert [sorted(ends) for ends in zip(*pair.links)] == [list(range(n)) for n in sides]


def test_a_parse_is_read_as_it_was_written(pairs):
  lines = "\n".join(pair.conllu for pair in pairs[:20]).splitlines()
  for pair, sentence in zip(pairs[:20], conllu.parse(lines, "here"), strict=True):
    assert sentence.text == pair.source
    assert [sentence.text[a:b] for a, b in sentence.spans] == pair.source.split()
    assert sentence.relations == [row.relation for row in pair.rows]
    assert sentence.heads == [row.head - 1 for row in pair.rows]


def test_subjects_and_verbs_agree_however_far_apart(pairs):
  nouns = [noun for group in WORDS.nouns.values() for noun in group if noun.singular != noun.plural]
  number = {n.singular: False for n in nouns} | {n.plural: True for n in nouns}
  verbs = [*WORDS.verbs, *WORDS.idle_verbs, *WORDS.speech_verbs]
  present = {lexicon.present(v, plural): plural for v in verbs for plural in (False, True)}
  distances = collections.Counter()
  for pair in pairs:
    for i, row in enumerate(pair.rows, 1):
      if row.relation == "nsubj" and row.form in number:
        verb = pair.rows[row.head - 1].form
        assert present.get(verb, number[row.form]) == number[row.form], pair.source
        distances[row.head - i] += 1
  assert min(distances) == 1 and max(distances) > 8


def test_words_are_as_frequent_as_their_rank_says(pairs):
  counts = collections.Counter(row.lemma for pair in pairs for row in pair.rows)
  for nouns in WORDS.nouns.values():
    logs = [np.log(counts[noun.singular]) for noun in nouns[:10]]
    slope, _ = np.polyfit(np.log(range(1, 11)), logs, 1)
    assert -1.25 < slope < -0.75


def test_splits_are_disjoint_and_do_not_depend_on_later_ones(drawn, pairs):
  assert {split: len(part) for split, part in drawn.items()} == SIZES
  assert len({pair.source for pair in pairs}) == sum(SIZES.values())
  first = {split: SIZES[split] for split in ("test", "dev")}
  assert grammar.generate(first, seed=0) == {split: drawn[split] for split in first}
  assert grammar.generate({"test": 60}, seed=1)["test"] != drawn["test"]


def test_the_corpus_is_the_same_for_ever(drawn):
  """Runs that go on draw their dev set anew."""
  text = "".join(f"{pair.conllu}{pair.target}{pair.pharaoh}" for pair in drawn["train"])
  assert zlib.crc32(text.encode()) == 3694976721


def test_sentences_are_short(pairs):
  lengths = [len(pair.rows) for pair in pairs]
  assert max(lengths) <= 24 and 8 <= sum(lengths) / len(lengths) <= 16


def test_impossible_sizes(monkeypatch):
  with pytest.raises(UserError, match="dev is -1"):
    grammar.generate({"dev": -1}, seed=0)
  dull = grammar_tree.draw_sentence(random.Random(0))
  monkeypatch.setattr(grammar, "draw_sentence", lambda rng: dull)
  with pytest.raises(UserError, match="sizes: 2 sentence pairs in all, but the grammar has only"):
    grammar.generate({"dev": 1, "train": 1}, seed=0)
