"""A built-in corpus that needs its encoder: English into an invented language, parsed and aligned.

A sentence is drawn as a tree of clauses and noun phrases, and written twice. The translation of a
word depends on others that stand far from it: a noun's case on its verb, a verb's ending on its
subject and its meaning on its object, a determiner and an adjective on their noun. Relative and
reported clauses, and prepositions with their nouns, stand between. The other language puts the verb
last and the preposition behind its noun.

As the tree is known, so is the parse of the English side (Universal Dependencies) and which word
translates which.
"""

from collections.abc import Mapping
import dataclasses
import random

from headprune.text import draws, lexicon
from headprune.text.grammar_tree import Clause, Phrase, Place, draw_sentence

LANGUAGES = ("en", "art")  # "art" is the code of languages that somebody has invented

_LONGEST = 24  # words of a sentence


@dataclasses.dataclass(frozen=True)
class Row:
  """A word of the English side."""

  form: str
  lemma: str
  tag: str  # universal part of speech
  head: int  # its governor's number, from 1; 0 is the root's
  relation: str


@dataclasses.dataclass(frozen=True)
class Pair:
  """A sentence and its translation, words separated by spaces."""

  source: str
  target: str
  rows: tuple[Row, ...]
  links: tuple[tuple[int, int], ...]  # (source word, target word), from 0

  @property
  def conllu(self) -> str:
    """The parse as a block of a CoNLL-U file; as a line, the empty one that ends it follows."""
    rows = [
      "\t".join((str(i), r.form, r.lemma, r.tag, "_", "_", str(r.head), r.relation, "_", "_"))
      for i, r in enumerate(self.rows, 1)
    ]
    return "\n".join([f"# text = {self.source}", *rows, ""])

  @property
  def pharaoh(self) -> str:
    """The alignment as a line in Pharaoh format."""
    return " ".join(f"{i}-{j}" for i, j in self.links)


def generate(sizes: Mapping[str, int], seed: int) -> dict[str, list[Pair]]:
  """Draws disjoint splits; no English sentence occurs twice.

  Args:
    sizes: number of sentence pairs of each split, such as {"dev": 500, "train": 20000}; a split
      does not depend on those behind it.
    seed: the same seed gives the same corpus.
  Raises:
    UserError: a size is negative or cannot be reached.
  """
  draws.check_sizes(sizes)
  rng, used = random.Random(seed), set()

  def draw():
    pair = write(draw_sentence(rng))
    return (pair.source, pair) if len(pair.rows) <= _LONGEST else None

  return {split: draws.unique(size, draw, "the grammar", used) for split, size in sizes.items()}


def write(clause: Clause) -> Pair:
  """Writes a main clause in both languages."""
  english, target = _english(clause, "root", None), _target(clause)
  number = {key: i for i, (key, *_) in enumerate(english)}
  rows = tuple(
    Row(form, lemma, tag, 0 if head is None else number[head] + 1, relation)
    for _, form, lemma, tag, relation, head in english
  )
  links = sorted((number[key], j) for j, (key, _) in enumerate(target))
  source, translation = (" ".join(row[1] for row in side) for side in (english, target))
  return Pair(source, translation, rows, tuple(links))


# A word's key is its node and its part there: the same word on both sides has the same key.


def _english(clause: Clause, relation: str, head) -> list[tuple]:
  """(key, form, lemma, tag, relation, key of the governor) of each word in order."""
  verb, agree = (clause, "verb"), clause.subject.plural
  that = lambda tag, role: [((clause, "that"), "that", "that", tag, role, verb)]
  adverb = lambda name: _adverb(clause, name, verb)
  form = clause.verb.past if clause.past else lexicon.present(clause.verb, agree)
  rows = []
  if clause.gap:
    rows += that("PRON", {"subject": "nsubj", "object": "obj"}[clause.gap])
  elif relation == "ccomp":
    rows += that("SCONJ", "mark")
  if clause.gap != "subject":
    rows += _english_phrase(clause.subject, "nsubj", verb)
  rows += adverb("frequency")
  rows.append((verb, form, clause.verb.form, "VERB", relation, head))
  if clause.object and clause.gap != "object":
    rows += _english_phrase(clause.object, "obj", verb)
  if clause.place:
    rows += _english_place(clause.place, "obl", verb)
  if clause.reported:
    rows += _english(clause.reported, "ccomp", verb)
  rows += adverb("manner")
  if clause.joined:
    word, second = clause.conjunction.form, (clause.joined, "verb")
    rows.append(((clause, "conjunction"), word, word, "CCONJ", "cc", second))
    rows += _english(clause.joined, "conj", verb)
  return rows


def _adverb(clause: Clause, name: str, verb) -> list[tuple]:
  word = getattr(clause, name)
  return [((clause, name), word.form, word.form, "ADV", "advmod", verb)] if word else []


def _english_phrase(phrase: Phrase, relation: str, head) -> list[tuple]:
  noun = phrase, "noun"
  words = [((phrase, a.form), a.form, a.form, "ADJ", "amod", noun) for a in phrase.adjectives]
  form = phrase.noun.plural if phrase.plural else phrase.noun.singular
  words.append((noun, form, phrase.noun.singular, "NOUN", relation, head))
  rows = []
  if phrase.determiner:
    lemma = phrase.determiner.form
    form = "an" if lemma == "a" and words[0][1][0] in "aeiou" else lemma
    rows.append(((phrase, "determiner"), form, lemma, "DET", "det", noun))
  rows += words
  if phrase.place:
    rows += _english_place(phrase.place, "nmod", noun)
  if phrase.relative:
    rows += _english(phrase.relative, "acl:relcl", noun)
  return rows


def _english_place(place: Place, relation: str, head) -> list[tuple]:
  form = place.preposition.form
  preposition = ((place, "preposition"), form, form, "ADP", "case", (place.phrase, "noun"))
  return [preposition, *_english_phrase(place.phrase, relation, head)]


def _target(clause: Clause) -> list[tuple]:
  """(key, form) of each word in order."""
  cases = dict(zip(("subject", "object"), clause.verb.cases))
  rows = []
  if clause.gap:
    antecedent = clause.subject if clause.gap == "subject" else clause.object
    pronoun = "k" + lexicon.ending(antecedent.ending, cases[clause.gap])
    rows.append(((clause, "that"), pronoun))
  if clause.frequency:
    rows.append(((clause, "frequency"), clause.frequency.stem))
  if clause.gap != "subject":
    rows += _target_phrase(clause.subject, cases["subject"])
  if clause.place:
    rows += _target_place(clause.place)
  if clause.object and clause.gap != "object":
    rows += _target_phrase(clause.object, cases["object"])
  if clause.reported:
    rows += [*_target(clause.reported), ((clause.reported, "that"), "ke")]
  if clause.manner:
    rows.append(((clause, "manner"), clause.manner.stem))
  rows.append(((clause, "verb"), _target_verb(clause)))
  if clause.joined:
    rows.append(((clause, "conjunction"), clause.conjunction.stem))
    rows += _target(clause.joined)
  return rows


def _target_verb(clause: Clause) -> str:
  of_things = clause.object and clause.object.noun.group == "things"
  stem = clause.verb.stem_of_things if of_things else clause.verb.stem
  marks = ("av" if clause.frequency else "") + ("is" if clause.past else "")
  return stem + marks + lexicon.ending(clause.subject.ending, "t")


def _target_phrase(phrase: Phrase, case: str) -> list[tuple]:
  end, of_things = lexicon.ending(phrase.ending, case), phrase.noun.group == "things"
  rows = []
  if phrase.determiner:
    rows.append(((phrase, "determiner"), phrase.determiner.stem + end))
  rows.append(((phrase, "noun"), phrase.noun.stem + end))
  for adjective in phrase.adjectives:
    stem = adjective.stem_of_things if of_things else adjective.stem
    rows.append(((phrase, adjective.form), stem + end))
  if phrase.place:
    rows += _target_place(phrase.place)
  if phrase.relative:
    rows += _target(phrase.relative)
  return rows


def _target_place(place: Place) -> list[tuple]:
  noun = _target_phrase(place.phrase, place.preposition.case)
  return [*noun, ((place, "preposition"), place.preposition.stem)]
