"""How scores of the same heads agree: Spearman's rank correlation."""

from collections.abc import Sequence

import numpy as np

from headprune.analysis.result import IMPORTANCE, Correlation, Result
from headprune.nn.config import TYPES


def correlate(result: Result) -> tuple[Correlation, ...]:
  """Correlations between the importances of the open heads of each attention type.

  Types with fewer than three open heads are left out, and so are scores that are the same for all
  of them, which have no order.
  """
  found = []
  for name in TYPES:
    heads = list(result.list_open(name))
    values = {
      score.key: np.array([score.values[name][n][h] for n, h in heads])
      for score in result.scores
      if score.kind == IMPORTANCE and name in score.values
    }
    values = {key: x for key, x in values.items() if x.size > 2 and np.ptp(x) > 0}
    if len(values) > 1:
      matrix = correlations(list(values.values())).round(3).tolist()
      found.append(Correlation(name, tuple(values), tuple(map(tuple, matrix))))
  return tuple(found)


def correlations(values: Sequence[np.ndarray]) -> np.ndarray:
  """Spearman's rank correlation of each pair of scores, none of which is constant: [P, P]."""
  rank = np.stack([ranked(score) for score in values])
  rank -= rank.mean(1, keepdims=True)
  norm_P = np.linalg.norm(rank, axis=1)
  return rank @ rank.T / np.outer(norm_P, norm_P)


def ranked(score: np.ndarray) -> np.ndarray:
  """Ranks from 1; equal values share the mean of their ranks."""
  _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
  return (np.cumsum(count) - (count - 1) / 2)[inverse]
