"""Means over sentences of one source and one target length, of several runs side by side."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from headprune.analysis import bootstrap
from headprune.analysis.contributions import measures
from headprune.analysis.contributions.measures import Relevances
from headprune.analysis.contributions.prefixes import Lengths, Pairs


@dataclasses.dataclass(frozen=True)
class Mean:
  """Over sentences, with its bootstrap interval of 95%; None where none was asked for."""

  mean: float
  low: float | None
  high: float | None


@dataclasses.dataclass(frozen=True)
class Curve:
  """Means over sentences at each position, with intervals as those of a Mean."""

  first: int  # position of the first number, from 1
  mean: list[float]
  low: list[float | None]
  high: list[float | None]

  @property
  def positions(self) -> list[int]:
    return list(range(self.first, self.first + len(self.mean)))

  @property
  def means(self) -> list[Mean]:
    """One for each position."""
    return [Mean(*numbers) for numbers in zip(self.mean, self.low, self.high)]


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
  resamples: int = 1000  # of the sentences, for intervals; 0: there are none
  seed: int = 0  # of these


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
  """Each sentence's numbers, before they are averaged."""

  run: str
  checkpoint: str
  prefix: str
  pairs: Pairs
  source_ET: np.ndarray  # from the second target position on, as target_entropy_ET
  source_entropy_ET: np.ndarray
  target_entropy_ET: np.ndarray
  total_ES: np.ndarray
  total_without_eos_ES: np.ndarray


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


def summarise(
  pairs: int, lengths: Lengths, found: Sequence[Measured], resamples: int = 1000, seed: int = 0
) -> Result:
  """The means of all that was measured.

  Args:
    pairs: in the text.
    lengths: of all sentences that were measured.
    found: in the order of the report; others are compared with the first of the same prefix.
    resamples: of the sentences, for intervals; 0: none.
    seed: of the resamples.
  """
  means = lambda value_EX, first: curve(value_EX, first, resamples, seed)
  mean = lambda value_EX: means(value_EX.mean(1, keepdims=True), 1).means[0]
  lines = []
  for m in found:
    first = next(other for other in found if other.prefix == m.prefix)
    alike = first is not m and first.pairs == m.pairs
    less_first_ET = m.source_ET - first.source_ET if alike else None
    lines.append(Line(
      m.run, m.checkpoint, m.prefix, len(m.pairs),
      mean(m.source_ET), mean(m.source_entropy_ET), mean(m.target_entropy_ET),
      mean(less_first_ET) if alike else None,
      means(m.source_ET, 2), means(m.source_entropy_ET, 1), means(m.target_entropy_ET, 2),
      means(m.total_ES, 1), means(m.total_without_eos_ES, 1),
    ))  # fmt: skip
  return Result(pairs, *lengths, tuple(lines), resamples, seed)


def curve(value_EX, first: int, resamples: int, seed: int) -> Curve:
  """Means at each position; the intervals are percentiles of means of resampled sentences."""
  mean_X = value_EX.mean(0).tolist()
  if not resamples:
    return Curve(first, mean_X, *[[None] * len(mean_X)] * 2)
  weights_YE = bootstrap.weights(len(value_EX), resamples, (seed,))
  low_X, high_X = np.quantile(weights_YE @ value_EX / len(value_EX), bootstrap.TAILS, axis=0)
  return Curve(first, mean_X, low_X.tolist(), high_X.tolist())
