"""Means over sentences of one source and one target length, of several runs side by side."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from headprune.analysis import bootstrap
from headprune.analysis.contributions import measures
from headprune.analysis.contributions.measures import Relevances
from headprune.analysis.contributions.prefixes import Lengths, Pairs

_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Mean:
  """Over sentences, with its bootstrap interval of 95%."""

  mean: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Curve:
  """Means over sentences at each position, with their bootstrap intervals of 95%."""

  first: int  # position of the first number, from 1
  mean: list[float]
  low: list[float]
  high: list[float]

  @property
  def positions(self) -> list[int]:
    return list(range(self.first, self.first + len(self.mean)))


@dataclasses.dataclass(frozen=True)
class Line:
  """What was found for one checkpoint of a run and one kind of prefix.

  Numbers are means over the positions of the curve of the same name.
  """

  run: str
  checkpoint: str  # "last", "best" or a step
  prefix: str  # one of prefixes.PREFIXES
  sentences: int
  source: Mean
  source_entropy: Mean
  target_entropy: Mean
  # Of `source` against the first line of the same prefix; None: this is it, or has other pairs.
  change: Mean | None
  source_curve: Curve  # by target position, as the next two
  source_entropy_curve: Curve
  target_entropy_curve: Curve
  total_curve: Curve  # by source position, as the next one
  total_without_eos_curve: Curve


@dataclasses.dataclass(frozen=True)
class Result:
  """All lines and the text that they are about."""

  pairs: int  # of the text
  source_length: int  # tokens of each sentence that was measured, EOS included
  target_length: int
  lines: tuple[Line, ...]

  def to_json(self) -> dict:
    return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
  """Each sentence's numbers, before they are averaged."""

  run: str
  checkpoint: str
  prefix: str
  pairs: Pairs
  source_BT: np.ndarray  # from the second target position on, as target_entropy_BT
  source_entropy_BT: np.ndarray
  target_entropy_BT: np.ndarray
  total_BS: np.ndarray
  total_without_eos_BS: np.ndarray


def measured(
  run: str, checkpoint: str, prefix: str, pairs: Pairs, found: Sequence[Relevances]
) -> Measured:
  """What `found` says of its pairs, which all have the same lengths."""
  rows = lambda measure: np.stack([measure(one) for one in found])
  return Measured(
    run, checkpoint, prefix, pairs,
    rows(measures.source_contribution)[:, 1:], rows(measures.source_entropy),
    rows(measures.target_entropy)[:, 1:], rows(measures.total_contribution),
    rows(lambda one: measures.total_contribution(one, eos=False)),
  )  # fmt: skip


def summarise(pairs: int, lengths: Lengths, found: Sequence[Measured]) -> Result:
  """The means of all that was measured.

  Args:
    pairs: in the text.
    lengths: of all sentences that were measured.
    found: in the order of the report; others are compared with the first of the same prefix.
  """
  lines = []
  for m in found:
    first = next(other for other in found if other.prefix == m.prefix)
    alike = first is not m and first.pairs == m.pairs
    lines.append(Line(
      m.run, m.checkpoint, m.prefix, len(m.pairs),
      mean(m.source_BT.mean(1)), mean(m.source_entropy_BT.mean(1)),
      mean(m.target_entropy_BT.mean(1)),
      mean(m.source_BT.mean(1) - first.source_BT.mean(1)) if alike else None,
      curve(m.source_BT, 2), curve(m.source_entropy_BT, 1), curve(m.target_entropy_BT, 2),
      curve(m.total_BS, 1), curve(m.total_without_eos_BS, 1),
    ))  # fmt: skip
  return Result(pairs, *lengths, tuple(lines))


def mean(value_B) -> Mean:
  """Mean of one number a sentence."""
  found = curve(value_B[:, None], 1)
  return Mean(found.mean[0], found.low[0], found.high[0])


def curve(value_BX, first: int) -> Curve:
  """Means at each position; the intervals are percentiles of means of resampled sentences."""
  mean_YX = bootstrap.weights(len(value_BX), _RESAMPLES, (0,)) @ value_BX / len(value_BX)
  low_X, high_X = np.quantile(mean_YX, bootstrap.TAILS, axis=0)
  return Curve(first, value_BX.mean(0).tolist(), low_X.tolist(), high_X.tolist())
