"""Tests of headprune.analysis.correlation."""

import numpy as np

from headprune.analysis import correlation
from headprune.analysis.result import SHARE, Result, Score


def test_rank_correlations():
  scores = [
    np.array([1.0, 2.0, 3.0, 4.0]),
    np.log([1.0, 2.0, 3.0, 4.0]),
    np.array([9.0, 5.0, 0.0, -1.0]),
    np.array([1.0, 2.0, 4.0, 3.0]),
  ]
  found = correlation.correlations(scores)
  np.testing.assert_allclose(found[0], [1, 1, -1, 0.8], atol=1e-12)
  np.testing.assert_allclose(correlation.ranked(np.array([2.0, 1.0, 2.0, 5.0])), [2.5, 1, 2.5, 4])


def test_open_heads_are_compared():
  def score(key, *values, kind="importance"):
    return Score(key, key, "", {"enc_self": [list(values[:2]), list(values[2:])]}, kind)

  scores = [
    score("a", 1, 2, 9, 3),
    score("b", 3, 2, 0, 1),
    score("constant", 1, 1, 7, 1),
    score("share", 1, 2, 3, 4, kind=SHARE),
    Score("elsewhere", "elsewhere", "", {"dec_enc": [[1, 2], [4, 3]]}),
    Score("there too", "there too", "", {"dec_enc": [[1, 2], [4, 3]]}),  # of two open heads
  ]
  gates = {
    "enc_self": [[1.0, 0.5], [0.0, 1.0]],
    "dec_self": [],
    "dec_enc": [[1.0, 1.0], [0.0, 0.0]],
  }
  result = Result(run="r", settings={}, sentences=1, heads=gates, scores=tuple(scores))
  (found,) = correlation.correlate(result)
  assert (found.type, found.scores) == ("enc_self", ("a", "b"))
  assert found.matrix == ((1.0, -1.0), (-1.0, 1.0))
