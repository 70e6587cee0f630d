"""How sure findings are: intervals over resampled sentences (the bootstrap), and chance beside."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from headprune.analysis import compare
from headprune.analysis.bootstrap import TAILS
from headprune.analysis.evidence import Evidence
from headprune.analysis.result import TITLES, Column, Function, Kind, Result, Table

TOTAL = "with a function"

Counts = dict[str, dict[str, int]]  # attention type -> kind -> open heads


def tell(
  result: Result,
  evidence: Sequence[Evidence],
  resamples: int,
  by_chance: Sequence[Counts],
  seed: int,
) -> Result:
  """The result with intervals and chance levels, a table of both, and a note that explains them.

  What had no case, such as rare words in a text without any, has neither.

  Args:
    result: what was found.
    evidence: what its functions stand on.
    resamples: of the sentences; with none there are no intervals.
    by_chance: counts of each model that was drawn by lot; may be empty.
    seed: of the resamples.
  """
  functions, bounds = result.functions, {}
  if resamples:
    functions = tuple(_with_interval(f, evidence, resamples, seed) for f in functions)
    for name in compare.count_kinds(result):
      bounds[name] = count_surely(result, evidence, name, resamples, seed)
  kinds = tuple(
    dataclasses.replace(
      kind,
      interval=bounds[kind.type][kind.name] if resamples else None,
      chance=_mean(by_chance, kind.type, [kind.name]),
    )
    if _has_case(kind, evidence)
    else kind
    for kind in result.kinds
  )
  told = dataclasses.replace(result, kinds=kinds, functions=functions)
  if not kinds or not (resamples or by_chance):
    return told
  totals = {name: found[TOTAL] for name, found in bounds.items()}
  table = _table(told, totals, by_chance)
  notes = (*result.notes, _explain(resamples, len(by_chance)))
  return dataclasses.replace(told, tables=(table, *result.tables), notes=notes)


def count_surely(
  result: Result, evidence: Sequence[Evidence], name: str, resamples: int, seed: int
) -> dict[str, tuple[int, int]]:
  """How many open heads of a type are of each kind: kind -> (surely, perhaps).

  Surely are those that are of the kind in at least 97.5% of the resamples, perhaps those that are
  in at least 2.5%. Quantiles of the number in a resample would be biased: each resample adds some
  of the heads that are just below the limit. As in compare.count_kinds a head counts once in each
  resample, under its first kind. TOTAL are all kinds that are useful. Kinds without evidence have
  the same heads in every resample.
  """
  layers = result.heads[name]
  shape = len(layers), max(1, *map(len, layers))
  taken_YNH = ~np.broadcast_to(_mask(result.list_open(name), shape), (resamples, *shape))
  bounds, useful_YNH = {}, np.zeros_like(taken_YNH)
  for kind in (kind for kind in result.kinds if kind.type == name):
    mine = [part for part in evidence if (part.kind, part.type) == (kind.name, name)]
    if mine:
      having_YNH = sum(p.passing(p.weights(resamples, seed)).any(1) for p in mine) > 0
    else:
      heads = (
        h for f in result.functions if (f.kind, f.type) == (kind.name, name) for h in f.heads
      )
      having_YNH = np.broadcast_to(_mask(heads, shape), taken_YNH.shape)
    first_YNH = having_YNH & ~taken_YNH
    taken_YNH = taken_YNH | having_YNH
    bounds[kind.name] = _bounds(first_YNH)
    if kind.useful:
      useful_YNH = useful_YNH | first_YNH
  return bounds | {TOTAL: _bounds(useful_YNH)}


def _has_case(kind: Kind, evidence: Sequence[Evidence]) -> bool:
  """Whether a head could be found to be of a kind; kinds without evidence say nothing of cases."""
  mine = [part for part in evidence if (part.kind, part.type) == (kind.name, kind.type)]
  return not mine or any(part.usable_R.any() for part in mine)


def _mask(heads, shape: tuple[int, int]) -> np.ndarray:
  mask_NH = np.zeros(shape, bool)
  for head in heads:
    mask_NH[head] = True
  return mask_NH


def _with_interval(
  function: Function, evidence: Sequence[Evidence], resamples: int, seed: int
) -> Function:
  """The function with the interval of its strongest head."""
  for part in evidence:
    if (part.kind, part.type) == (function.kind, function.type) and function.name in part.names:
      best = part.strongest(function.name, function.heads)
      share_Y = part.shares(part.weights(resamples, seed))[(slice(None), *best)]
      bounds = sorted(part.strength(float(x)) for x in np.quantile(share_Y, TAILS))
      return dataclasses.replace(function, interval=tuple(bounds))
  return function


def _bounds(having_YNH: np.ndarray) -> tuple[int, int]:
  """Heads that have something in nearly all resamples, and those that have it in a few at least."""
  low, high = TAILS
  share_NH = having_YNH.mean(0)
  return int(np.sum(share_NH >= high)), int(np.sum(share_NH >= low))


def _mean(by_chance: Sequence[Counts], name: str, kinds: Sequence[str]) -> float | None:
  counts = [sum(count[name][kind] for kind in kinds) for count in by_chance]
  return sum(counts) / len(counts) if counts and kinds else None


def _table(result: Result, totals: dict, by_chance: Sequence[Counts]) -> Table:
  """A line for each kind and one for all that are useful; `result` has the intervals."""
  rows = []
  for name, counts in compare.count_kinds(result).items():
    kinds = [kind for kind in result.kinds if kind.type == name]
    for kind in kinds:
      bounds = kind.interval or (None, None)
      rows.append((TITLES[name], kind.name, counts[kind.name], *bounds, kind.chance))
    useful = [kind for kind in kinds if kind.useful]
    told = [k.name for k in useful if k.interval is not None or k.chance is not None]
    total = sum(counts[kind.name] for kind in useful)
    bounds = totals[name] if told and name in totals else (None, None)
    chance = _mean(by_chance, name, told)
    rows.append((TITLES[name], TOTAL, total, *bounds, chance))
  columns = (
    Column("attention", "text"),
    Column("kind", "text"),
    Column("heads"),
    Column("95%: from"),
    Column("to"),
    Column("by chance"),
  )
  meaning = "Open heads, each under its first kind. Idle heads have no function."
  return Table("How sure the counts are", meaning, columns, tuple(rows))


def _explain(resamples: int, draws: int) -> str:
  parts = []
  if resamples:
    parts.append(
      f"Intervals are of {resamples:,} resamples of the sentences: of counts from the heads that "
      "pass in at least 97.5% of them to those that pass in at least 2.5%; of shares and "
      "accuracies the middle 95%."
    )
  if draws:
    models = "one model that differs" if draws == 1 else f"the mean of {draws} models that differ"
    parts.append(
      f"By chance is {models} from this one in that the numbers within "
      "each head's query and key projections are shuffled, in all layers at once."
    )
  return " ".join(parts)
