"""Trees of the corpus "grammar": what may stand where, and how often it does."""

import random

import pytest

from headprune.text import lexicon
from headprune.text.grammar_tree import Clause, Phrase, draw_sentence

WORDS = lexicon.lexicon()


@pytest.fixture(scope="module")
def sentences():
  rng = random.Random(0)
  return [draw_sentence(rng) for _ in range(3000)]


@pytest.fixture(scope="module")
def clauses(sentences):
  return [(node, n) for s in sentences for node, n in nodes(s) if isinstance(node, Clause)]


@pytest.fixture(scope="module")
def phrases(sentences):
  return [(node, n) for s in sentences for node, n in nodes(s) if isinstance(node, Phrase)]


def nodes(node, depth=0):
  """(clause or phrase, number of clauses around it), a relative clause's antecedent once."""
  yield node, depth
  if isinstance(node, Phrase):
    inner = [(node.relative, depth + 1)]
  else:
    spoken = [getattr(node, name) for name in ("subject", "object") if name != node.gap]
    inner = [*((phrase, depth) for phrase in spoken), (node.reported, depth + 1)]
    inner.append((node.joined, depth))
  inner.append((node.place and node.place.phrase, depth))
  for part, at in inner:
    if part:
      yield from nodes(part, at)


def assert_share(hits, share):
  """Four standard deviations."""
  hits = [bool(hit) for hit in hits]
  spread = (share * (1 - share) / len(hits)) ** 0.5
  assert len(hits) > 500 and abs(sum(hits) / len(hits) - share) < 4 * spread


def test_clauses_are_in_each_other_twice_at_most(clauses):
  assert {depth for _, depth in clauses} == {0, 1, 2}


def test_determiners_fit_their_noun(phrases):
  for phrase, _ in phrases:
    known = (*WORDS.determiners[phrase.plural], *([None] if phrase.plural else []))
    assert any(phrase.determiner is word for word in known)
  assert_share([p.determiner is None for p, _ in phrases if p.plural], 0.7)
  assert_share([phrase.plural for phrase, _ in phrases], 0.5)


def test_what_stands_with_a_noun(sentences, phrases):
  for place in WORDS.adjectives:
    assert_share([any(a in place for a in phrase.adjectives) for phrase, _ in phrases], 0.3)
  behind = [node.place.phrase for s in sentences for node, _ in nodes(s) if node.place]
  assert not any(phrase.place or phrase.relative for phrase in behind)
  plain = {id(phrase) for phrase in behind}
  others = [(phrase, depth) for phrase, depth in phrases if id(phrase) not in plain]
  assert_share([phrase.place for phrase, _ in others], 0.25)
  assert_share([phrase.relative for phrase, depth in others if depth < 2], 0.15)
  living = [p for p, _ in others if p.relative and p.noun.group != "things"]
  assert_share([phrase.relative.gap == "subject" for phrase in living], 0.5)


def test_things_do_nothing(clauses):
  assert {clause.subject.noun.group for clause, _ in clauses} == {"people", "animals"}
  assert {c.object.noun.group for c, _ in clauses if c.object} == {"people", "animals", "things"}


def test_what_stands_with_a_verb(clauses):
  assert_share([clause.past for clause, _ in clauses], 0.4)
  assert_share([clause.frequency for clause, _ in clauses], 0.3)
  assert_share([c.reported for c, depth in clauses if depth < 2 and not c.gap], 0.12)
  assert not any(clause.reported for clause, _ in clauses if clause.gap)
  free = [clause for clause, _ in clauses if not clause.reported and clause.gap != "object"]
  assert_share([not clause.object for clause in free], 0.2)
  assert_share([clause.place for clause in free if not clause.object], 0.4)
  for clause, _ in clauses:
    verbs = WORDS.verbs if clause.object else WORDS.idle_verbs
    assert clause.verb in (WORDS.speech_verbs if clause.reported else verbs)
    assert not (clause.object and clause.place)


def test_no_adverb_could_be_taken_for_another_clauses(clauses):
  ends = lambda c: c.reported or c.gap != "object" and c.object and c.object.relative
  assert not any(clause.manner for clause, _ in clauses if ends(clause))
  assert_share([clause.manner for clause, _ in clauses if not ends(clause)], 0.3)


def test_two_main_clauses(sentences, clauses):
  assert_share([s.joined for s in sentences if not s.reported], 0.5)
  for clause, depth in clauses:
    assert bool(clause.joined) == bool(clause.conjunction)
    assert not clause.joined or depth == 0 and not clause.reported
