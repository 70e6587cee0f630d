"""Syntactic heads: they follow relations of parsed sentences (Voita et al. 2019, section 5.2)."""

from collections.abc import Sequence
import dataclasses
import functools
import itertools

import numpy as np

from headprune.analysis import annotations, conllu, plug, pointing, words
from headprune.analysis.result import SHARE, Column, Findings, Function, Kind, Score, Table
from headprune.analysis.subject import BATCH_SIZE, MAX_LENGTH, MAX_TOKENS, Subject
from headprune.text import batching
from headprune.text.tokenizer import Whitespace

KIND = "syntactic"
RELATIONS = ("nsubj", "obj", "amod", "advmod")


@dataclasses.dataclass(frozen=True, order=True)
class Edge:
  """A relation in one direction: from the word that looks to the word that is looked at."""

  relation: str
  from_head: bool  # whether the governor looks at its dependent

  def __str__(self) -> str:
    return f"{self.relation} {'head→dep' if self.from_head else 'dep→head'}"

  @property
  def key(self) -> str:
    """As a part of file names."""
    direction = "head-to-dep" if self.from_head else "dep-to-head"
    return f"{self.relation.replace(':', '-')}-{direction}"


@dataclasses.dataclass(frozen=True)
class Case:
  """A word that looks, and those that are right for it to look at (unit numbers)."""

  edge: Edge
  query: int
  targets: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Counts:
  """What is known about one edge after all sentences."""

  hits_NH: np.ndarray
  cases: int
  offset: int  # the most frequent one, in units
  baseline: float  # accuracy of always pointing there

  @property
  def accuracy_NH(self) -> np.ndarray:
    return pointing.share(self.hits_NH, self.cases)


def add_options(add) -> None:
  add("--conllu", nargs="+", help="files of parsed source sentences (plain or .gz): adds syntax")
  add("--relations", default=",".join(RELATIONS), help="comma-separated; exact names")
  add("--syntactic", type=float, default=0.1, help="accuracy above the baseline")
  add("--min-cases", type=int, default=50, help="of a relation, to count as syntactic")


def prepare(subject: Subject, options) -> plug.Plan | None:
  # A vocabulary of whole words wants text that is split as it was in training.
  spaced = isinstance(subject.run.src_tokenizer, Whitespace)
  own = [] if options.conllu else annotations.known(subject, options)
  if not (options.conllu or own):
    return None
  files = [conllu.read(path, spaced) for path in options.conllu or ()]
  blocks = [pair.conllu.splitlines() for pair in own]
  files += [conllu.parse(block, annotations.SETTING, spaced) for block in blocks]
  parsed = list(itertools.chain.from_iterable(files))[: options.sentences]
  relations = tuple(filter(None, options.relations.split(",")))
  settings = {
    "relations": ",".join(relations),
    "syntactic": options.syntactic,
    "min_cases": options.min_cases,
    "parsed_sentences": len(parsed),
  }
  if own:
    settings["conllu"] = annotations.SETTING
  limits = options.syntactic, options.min_cases
  run = functools.partial(measure, subject, parsed, relations, *limits)
  return plug.Plan(run, settings, sentences=len(parsed))


def measure(
  subject: Subject,
  parsed: Sequence[conllu.Sentence],
  relations: Sequence[str],
  limit: float,
  min_cases: int,
) -> Findings:
  """Accuracy of every encoder head on each edge, and the heads that beat an edge's baseline.

  Args:
    subject: the run; its text is not used.
    parsed: sentences with their syntax.
    relations: names as in the file.
    limit: by how much accuracy must be above the baseline, 0..1.
    min_cases: of an edge, for a head to be called syntactic.
  """
  found = count(subject, parsed, relations)
  rule = (
    f"at least {100 * limit:.0f} points above always pointing at the relation's most frequent "
    f"offset, in at least {min_cases} cases"
  )
  missing = [name for name in relations if name not in {edge.relation for edge in found}]
  notes = [f"Syntax is that of {len(parsed):,} parsed sentences."]
  if missing:
    notes.append(f"There is no case of {', '.join(missing)} in the parsed sentences.")
  return Findings(
    scores=tuple(_score(subject, edge, counts) for edge, counts in found.items()),
    kinds=(Kind(KIND, "enc_self", rule),),
    functions=tuple(find(subject, found, limit, min_cases)),
    tables=_tables(subject, found),
    notes=tuple(notes),
  )


def count(subject: Subject, parsed, relations) -> dict[Edge, Counts]:
  """How often each encoder head's largest weight follows each edge."""
  tokenizer = subject.run.src_tokenizer
  all_ids = tokenizer.encode([sentence.text for sentence in parsed])
  fitting = [(s, ids) for s, ids in zip(parsed, all_ids) if 1 < len(ids) <= MAX_LENGTH]
  units = [words.units(s.spans, tokenizer.spans(s.text)) for s, _ in fitting]
  cases = [
    find_cases(s, unit_of_word, relations) for (s, _), (unit_of_word, _) in zip(fitting, units)
  ]
  hits, numbers = {}, {}
  sides = [ids for _, ids in fitting], [[]] * len(fitting)
  for rows, batch in batching.batches(*sides, BATCH_SIZE, MAX_TOKENS):
    attn_NBHSS = np.asarray(subject.translator.encoder_attention(batch))
    for row, i in enumerate(rows):
      top_NHU = pointed_units(attn_NBHSS[:, row], units[i][1])
      for case in cases[i]:
        hit_NH = np.isin(top_NHU[..., case.query], case.targets).astype(int)
        hits[case.edge] = hits.get(case.edge, 0) + hit_NH
        numbers[case.edge] = numbers.get(case.edge, 0) + 1
    subject.progress(len(rows))
  best = baselines([case for part in cases for case in part])
  return {edge: Counts(hits[edge], numbers[edge], *best[edge]) for edge in sorted(hits)}


def find_cases(
  sentence: conllu.Sentence, unit_of_word: Sequence[int], relations: Sequence[str]
) -> list[Case]:
  """The sentence's relations between units, both directions apart.

  A word with several dependents of one relation is one case with several right answers.

  Args:
    sentence: a parsed sentence.
    unit_of_word: from words.units.
    relations: names as in the file; subtypes (nsubj:pass) are relations of their own.
  """
  targets = {}
  for dependent, (head, relation) in enumerate(zip(sentence.heads, sentence.relations)):
    pair = unit_of_word[head], unit_of_word[dependent]
    if relation in relations and head >= 0 and min(pair) >= 0 and pair[0] != pair[1]:
      for from_head, (query, target) in ((True, pair), (False, pair[::-1])):
        targets.setdefault((Edge(relation, from_head), query), set()).add(target)
  return [Case(edge, query, tuple(sorted(units))) for (edge, query), units in targets.items()]


def pointed_units(attn_NHSS, members: Sequence[Sequence[int]]) -> np.ndarray:
  """The unit (a word) that each unit looks at most: top_NHU.

  A unit's weight is the sum over its pieces. A query unit's weights are the mean over its pieces,
  of which the sum has the same largest one.

  Args:
    attn_NHSS: one sentence's encoder weights.
    members: pieces of each unit; pieces in no unit, such as EOS, are left out.
  """
  member_US = np.zeros((len(members), attn_NHSS.shape[-1]), np.float32)
  for unit, pieces in enumerate(members):
    member_US[unit, pieces] = 1.0
  return np.argmax(member_US @ attn_NHSS @ member_US.T, axis=-1)


def baselines(cases: Sequence[Case]) -> dict[Edge, tuple[int, float]]:
  """Always pointing at the most frequent offset: edge -> (offset in units, accuracy)."""
  offsets, totals = {}, {}
  for case in cases:
    counts = offsets.setdefault(case.edge, {})
    totals[case.edge] = totals.get(case.edge, 0) + 1
    for target in case.targets:
      counts[target - case.query] = counts.get(target - case.query, 0) + 1
  result = {}
  for edge, counts in offsets.items():
    offset = max(sorted(counts, key=abs), key=counts.get)
    result[edge] = offset, counts[offset] / totals[edge]
  return result


def find(subject: Subject, found: dict, limit: float, min_cases: int) -> list[Function]:
  """The edges that open heads follow."""
  functions = []
  for edge, counts in found.items():
    accuracy_NH = counts.accuracy_NH
    # Rounded: a share of exactly ten points above counts.
    above_NH = np.round(accuracy_NH - counts.baseline - limit, 9) >= 0
    heads = subject.find_heads("enc_self", above_NH) if counts.cases >= min_cases else ()
    if heads:
      strength = max(float(accuracy_NH[head]) for head in heads)
      functions.append(
        Function(KIND, str(edge), "enc_self", heads, "accuracy", strength, counts.baseline)
      )
  return functions


def _score(subject: Subject, edge: Edge, counts: Counts) -> Score:
  return Score(
    key=edge.key,
    title=str(edge),
    meaning="accuracy: how often the largest weight, EOS excluded, is on the related word",
    values=subject.as_lists({"enc_self": counts.accuracy_NH}),
    kind=SHARE,
    full=1.0,
  )


def _tables(subject: Subject, found: dict) -> tuple[Table, ...]:
  """The best open head of each edge."""
  open_NH, rows = subject.open_heads("enc_self"), []
  for edge, counts in found.items() if open_NH.any() else ():
    accuracy_NH = np.where(open_NH, counts.accuracy_NH, -1.0)
    n, h = (int(i) for i in np.unravel_index(np.argmax(accuracy_NH), accuracy_NH.shape))
    best = float(accuracy_NH[n, h])
    difference = best - counts.baseline
    rows.append((str(edge), counts.cases, best, counts.baseline, difference, counts.offset, (n, h)))
  columns = (
    Column("relation", "text"),
    Column("cases"),
    Column("best head", "percent"),
    Column("baseline", "percent"),
    Column("difference", "points"),
    Column("offset", "offset"),
    Column("head", "head"),
  )
  meaning = (
    "How often the largest weight (EOS excluded) is on the related word. A word's weight is the "
    "sum over its pieces; the weights of the word that looks are the mean over its pieces."
  )
  return (Table("Syntactic relations", meaning, columns, tuple(rows)),) if rows else ()
