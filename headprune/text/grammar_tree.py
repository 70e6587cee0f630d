"""Trees of the corpus "grammar": clauses and noun phrases, and how they are drawn."""

import dataclasses
import random

from headprune.text import lexicon
from headprune.text.lexicon import Adjective, Invariable, Noun, Verb

_DEPTH = 2  # clauses within clauses at most
_RELATIVE = 0.15  # share of nouns with a relative clause, where there may be one
_PHRASE = 0.25  # share of nouns with a preposition and its noun
_JOINED = 0.5  # share of sentences with a second clause behind "and" or "but"
_REPORTED = 0.12  # share of clauses that report another
_IDLE = 0.2  # share of clauses without an object
_PLACE = 0.4  # share of those that say where
_ADJECTIVE = 0.3  # share of nouns with an adjective of each of the three kinds
_ADVERB = 0.3  # share of clauses with each kind of adverb
_PLURAL = 0.5  # share of nouns
_BARE = 0.7  # share of plurals without a determiner
_PAST = 0.4  # share of clauses

_LIVING = ("people", "animals")
_ALL = ("people", "animals", "things")


# Nodes of the tree are compared by identity: two phrases with the same words are two.
@dataclasses.dataclass(frozen=True, eq=False)
class Phrase:
  """A noun and what goes with it."""

  determiner: Invariable | None
  adjectives: tuple[Adjective, ...]
  noun: Noun
  plural: bool
  place: "Place | None" = None
  relative: "Clause | None" = None

  @property
  def ending(self) -> lexicon.Ending:
    return self.noun.group, self.plural


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
  """A preposition and its noun."""

  preposition: Invariable
  phrase: Phrase


@dataclasses.dataclass(frozen=True, eq=False)
class Clause:
  """A verb and what goes with it. In a relative clause the antecedent is "that"."""

  verb: Verb
  past: bool
  subject: Phrase
  object: Phrase | None = None
  place: Place | None = None
  reported: "Clause | None" = None
  frequency: Invariable | None = None
  manner: Invariable | None = None
  gap: str = ""  # what "that" stands for in a relative clause: "subject" or "object"
  conjunction: Invariable | None = None
  joined: "Clause | None" = None  # what follows the conjunction


def draw_sentence(rng: random.Random) -> Clause:
  """Draws a main clause, or two of them."""
  first = draw_clause(rng)
  if first.reported or rng.random() >= _JOINED:
    return first
  conjunction = lexicon.zipf(lexicon.lexicon().conjunctions, rng)
  return dataclasses.replace(first, conjunction=conjunction, joined=draw_clause(rng))


def draw_clause(rng: random.Random, depth: int = 0, **given) -> Clause:
  """Draws a clause.

  Args:
    rng: source of chance.
    depth: number of clauses around it.
    **given: fields that are not drawn: what a relative clause stands behind, and its `gap`.
  """
  words, fields = lexicon.lexicon(), {"past": rng.random() < _PAST} | given
  if "subject" not in fields:
    fields["subject"] = draw_phrase(rng, depth, _LIVING)
  if depth < _DEPTH and not given and rng.random() < _REPORTED:
    fields |= {
      "verb": lexicon.zipf(words.speech_verbs, rng),
      "reported": draw_clause(rng, depth + 1),
    }
  elif "object" not in fields and rng.random() < _IDLE:
    fields["verb"] = lexicon.zipf(words.idle_verbs, rng)
    if rng.random() < _PLACE:
      fields["place"] = draw_place(rng)
  else:
    fields["verb"] = lexicon.zipf(words.verbs, rng)
    if "object" not in fields:
      fields["object"] = draw_phrase(rng, depth, _ALL)
  if rng.random() < _ADVERB:
    fields["frequency"] = lexicon.zipf(words.frequency, rng)
  # Behind another clause one would take it for that one's.
  ends = fields.get("reported") or fields.get("gap") != "object" and fields.get("object")
  if not (isinstance(ends, Clause) or ends and ends.relative) and rng.random() < _ADVERB:
    fields["manner"] = lexicon.zipf(words.manner, rng)
  return Clause(**fields)


def draw_phrase(rng: random.Random, depth: int, groups: tuple[str, ...], plain=False) -> Phrase:
  """Draws a noun of one of `groups` and what goes with it; `plain` has nothing behind the noun."""
  words, plural = lexicon.lexicon(), rng.random() < _PLURAL
  noun = lexicon.zipf(words.nouns[rng.choice(groups)], rng)
  adjectives = tuple(
    lexicon.zipf(place, rng) for place in words.adjectives if rng.random() < _ADJECTIVE
  )
  determiner = lexicon.zipf(words.determiners[plural], rng)
  if plural and rng.random() < _BARE:
    determiner = None
  phrase, behind = Phrase(determiner, adjectives, noun, plural), rng.random()
  if plain:
    return phrase
  if depth < _DEPTH and behind < _RELATIVE:
    gap = "subject" if noun.group in _LIVING and rng.random() < 0.5 else "object"
    relative = draw_clause(rng, depth + 1, gap=gap, **{gap: phrase})
    return dataclasses.replace(phrase, relative=relative)
  if behind > 1 - _PHRASE:
    return dataclasses.replace(phrase, place=draw_place(rng))
  return phrase


def draw_place(rng: random.Random) -> Place:
  preposition = lexicon.zipf(lexicon.lexicon().prepositions, rng)
  return Place(preposition, draw_phrase(rng, 0, _ALL, plain=True))
