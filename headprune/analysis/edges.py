"""Relations of parsed sentences between words, and how often heads follow each of them."""

from collections.abc import Iterable, Sequence
import dataclasses

import numpy as np

from headprune.analysis import conllu, evidence, plug
from headprune.analysis.evidence import Counted, Evidence
from headprune.analysis.result import SHARE, Column, Kind, Score, Table
from headprune.analysis.subject import Subject

KIND = "syntactic"


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


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
  """What is known about R edges: counts of each sentence."""

  offsets: dict[Edge, int]  # of each edge the most frequent one, in units
  hits_ERNH: np.ndarray
  cases_ER: np.ndarray
  baseline_ER: np.ndarray  # cases in which the most frequent offset is right


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
  """When a head is syntactic, and which sentences its cases are from."""

  relations: Sequence[str]  # names as in the files
  limit: float  # by how much accuracy must be above the baseline, 0..1
  min_cases: int  # of an edge
  type: str = "enc_self"  # attention type of the heads
  text: str = "parsed source"  # as in Evidence
  excluded: str = "EOS"  # what the largest weight is not looked for at

  @property
  def side(self) -> str:
    return "source" if self.type == "enc_self" else "target"

  def __str__(self) -> str:
    sides = "to words further left, " if self.side == "target" else ""
    return (
      f"{sides}at least {100 * self.limit:.6g} points above always pointing at the relation's most "
      f"frequent offset, in at least {self.min_cases} cases"
    )


def rule_of(options, **fields) -> Rule:
  """The rule of parsed command-line options; `fields` are those of Rule that they do not say.

  Raises:
    UserError: --syntactic is no share.
  """
  return Rule(
    relations=tuple(filter(None, map(str.strip, options.relations.split(",")))),
    limit=plug.check_share("syntactic", options.syntactic),
    min_cases=options.min_cases,
    **fields,
  )


def settings(rule: Rule, parsed_sentences: int, conllu: str) -> dict[str, float | str]:
  """The settings of a plan, see `plug.Plan`.

  Args:
    rule: when a head is syntactic.
    parsed_sentences: how many there are.
    conllu: which ones they are, such as their checksum.
  """
  own = {
    "relations": ",".join(rule.relations),
    "syntactic": rule.limit,
    "min_cases": rule.min_cases,
    "parsed_sentences": parsed_sentences,
    "conllu": conllu,
  }
  prefix = "target_" if rule.side == "target" else ""
  return {f"{prefix}{name}": value for name, value in own.items()}


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


def pointed_units(attn_NHXX, members: Sequence[Sequence[int]]) -> np.ndarray:
  """The unit (a word) that each unit looks at most: top_NHU.

  A unit's weight is the sum over its pieces. A query unit's weights are the mean over its pieces,
  of which the sum has the same largest one.

  Args:
    attn_NHXX: weights of one sentence's self-attention.
    members: pieces of each unit; pieces in no unit, such as EOS, are left out.
  """
  member_UX = np.zeros((len(members), attn_NHXX.shape[-1]), np.float32)
  for unit, pieces in enumerate(members):
    member_UX[unit, pieces] = 1.0
  return np.argmax(member_UX @ attn_NHXX @ member_UX.T, axis=-1)


def count(
  cases: Sequence[Sequence[Case]], tops: Iterable[tuple[int, np.ndarray]], heads: tuple[int, int]
) -> Counts:
  """How often heads follow each edge that there is.

  Args:
    cases: of each of E sentences.
    tops: for each sentence, in any order, its number and top_NHU, where its units look.
    heads: N and H.
  """
  offsets = most_frequent_offsets([case for part in cases for case in part])
  offsets = {edge: offsets[edge] for edge in sorted(offsets)}
  number = {edge: r for r, edge in enumerate(offsets)}
  cases_ER = np.zeros((max(1, len(cases)), len(offsets)), int)  # evidence has a sentence at least
  hits_ERNH, baseline_ER = np.zeros((*cases_ER.shape, *heads), int), np.zeros_like(cases_ER)
  for i, top_NHU in tops:
    for case in cases[i]:
      r = number[case.edge]
      hits_ERNH[i, r] += np.isin(top_NHU[..., case.query], case.targets)
      cases_ER[i, r] += 1
      baseline_ER[i, r] += case.query + offsets[case.edge] in case.targets
  return Counts(offsets, hits_ERNH, cases_ER, baseline_ER)


def most_frequent_offsets(cases: Sequence[Case]) -> dict[Edge, int]:
  """The offset in units that most cases of an edge have; of equally frequent ones the nearest."""
  offsets = {}
  for case in cases:
    counts = offsets.setdefault(case.edge, {})
    for target in case.targets:
      counts[target - case.query] = counts.get(target - case.query, 0) + 1
  return {edge: max(sorted(counts, key=abs), key=counts.get) for edge, counts in offsets.items()}


def findings(subject: Subject, found: Counts, rule: Rule, notes: Sequence[str]) -> Counted:
  """Accuracies of all heads, and the heads that beat an edge's baseline.

  Args:
    subject: says which heads are open.
    found: from `count`.
    rule: when a head is syntactic.
    notes: what the report should say about the sentences.
  """
  missing = [name for name in rule.relations if name not in {e.relation for e in found.offsets}]
  if missing:
    notes = [
      *notes,
      f"There is no case of {', '.join(missing)} in the parsed {rule.side} sentences.",
    ]
  told = gather(found, rule)
  if found.offsets and not told.usable_R.any():
    notes = [*notes, f"No relation of the {rule.side} has {rule.min_cases} cases (--min-cases)."]
  accuracy_RNH = told.shares(told.everything)[0]
  return Counted(
    scores=tuple(
      _score(subject, edge, accuracy_NH, rule)
      for edge, accuracy_NH in zip(found.offsets, accuracy_RNH)
    ),
    kinds=(Kind(KIND, rule.type, str(rule)),),
    functions=evidence.functions(subject, told),
    tables=_tables(subject, found, told, rule),
    notes=tuple(notes),
    evidence=(told,),
  )


def gather(found: Counts, rule: Rule) -> Evidence:
  """The counts of all edges as evidence."""
  return Evidence(
    kind=KIND,
    type=rule.type,
    names=tuple(map(str, found.offsets)),
    measure="accuracy",
    hits_ERNH=found.hits_ERNH,
    cases_ER=found.cases_ER,
    limit=rule.limit,
    baseline_ER=found.baseline_ER,
    allowed_R=found.cases_ER.sum(0) >= rule.min_cases,
    text=rule.text,
  )


def _score(subject: Subject, edge: Edge, accuracy_NH, rule: Rule) -> Score:
  prefix = "target-" if rule.side == "target" else ""
  meaning = (
    f"accuracy: how often the largest weight, {rule.excluded} excluded, is on the related word"
  )
  return Score(
    key=f"{prefix}{edge.key}",
    title=str(edge),
    meaning=meaning,
    values=subject.as_lists({rule.type: accuracy_NH}),
    kind=SHARE,
    full=1.0,
  )


def _tables(subject: Subject, found: Counts, told: Evidence, rule: Rule) -> tuple[Table, ...]:
  """The best open head of each edge; no table without edges or open heads."""
  open_NH, rows = subject.open_heads(rule.type), []
  if not found.offsets or not open_NH.any():
    return ()
  accuracy_RNH = np.where(open_NH, told.shares(told.everything)[0], -1.0)
  baseline_R, cases_R = told.baselines(told.everything)[0], found.cases_ER.sum(0)
  for r, (edge, offset) in enumerate(found.offsets.items()):
    n, h = (int(i) for i in np.unravel_index(np.argmax(accuracy_RNH[r]), open_NH.shape))
    best, baseline = float(accuracy_RNH[r, n, h]), float(baseline_R[r])
    rows.append((str(edge), int(cases_R[r]), best, baseline, best - baseline, offset, (n, h)))
  columns = (
    Column("relation", "text"),
    Column("cases"),
    Column("best head", "percent"),
    Column("baseline", "percent"),
    Column("difference", "points"),
    Column("offset", "offset"),
    Column("head", "head"),
  )
  title = "Syntactic relations"
  meaning = (
    f"How often the largest weight ({rule.excluded} excluded) is on the related word. A word's "
    "weight is the sum over its pieces; the weights of the word that looks are the mean over its "
    "pieces."
  )
  if rule.side == "target":
    title += " in the decoder"
    meaning += (
      " A word looks at the steps that read its pieces; only relations to words further left count."
    )
  return (Table(title, meaning, columns, tuple(rows)),)
