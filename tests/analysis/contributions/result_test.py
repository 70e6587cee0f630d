"""Tests of headprune.analysis.contributions.result."""

import numpy as np
import pytest

from headprune.analysis.contributions import result
from headprune.analysis.contributions.measures import Relevances

PAIRS = [([3, 1], [4, 5, 1]), ([6, 1], [7, 8, 1])]


def relevances(source: float) -> Relevances:
  """Two source words that contribute alike, and two target words that contribute 1 together."""
  return Relevances(
    np.full((3, 2), source / 2), np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.5, 0]], float)
  )


def measured(run, *sources, pairs=PAIRS, prefix="reference"):
  return result.measured(run, "last", prefix, pairs, [relevances(x) for x in sources])


def test_a_line_holds_means_over_sentences_and_positions():
  found = result.summarise(9, (2, 3), [measured("a", 1.0, 3.0)])
  assert (found.pairs, found.source_length, found.target_length) == (9, 2, 3)
  (line,) = found.lines
  assert (line.run, line.checkpoint, line.prefix, line.sentences) == ("a", "last", "reference", 2)
  assert line.source.mean == pytest.approx(5 / 8) and line.change is None  # 1/2 and 3/4
  assert line.source.low == pytest.approx(1 / 2) and line.source.high == pytest.approx(3 / 4)
  assert line.source_curve.positions == [2, 3]
  np.testing.assert_allclose(line.source_curve.mean, 5 / 8)
  assert line.source_entropy_curve.positions == [1, 2, 3]
  np.testing.assert_allclose(line.source_entropy_curve.mean, np.log(2))
  assert line.target_entropy_curve.positions == [2, 3]
  np.testing.assert_allclose(line.target_entropy_curve.mean, [0, np.log(2)], atol=1e-12)
  assert line.target_entropy.mean == pytest.approx(np.log(2) / 2)
  np.testing.assert_allclose(line.total_curve.mean, [1, 1])
  np.testing.assert_allclose(line.total_without_eos_curve.mean, [1])


def test_changes_are_told_on_the_same_pairs():
  others = [PAIRS[0], ([6, 1], [9, 9, 1])]
  lines = result.summarise(9, (2, 3), [
    measured("a", 1.0, 3.0), measured("b", 3.0, 9.0), measured("a", 1.0, 3.0, prefix="own"),
    measured("b", 1.0, 3.0, pairs=others, prefix="own"),
  ]).lines  # fmt: skip
  assert lines[1].change.mean == pytest.approx((1 / 4 + 3 / 20) / 2)
  assert lines[1].change.low == pytest.approx(3 / 20)
  assert lines[1].change.high == pytest.approx(1 / 4)
  assert [line.change for line in lines[::2]] == [None, None] and lines[3].change is None


def test_the_interval_is_that_of_the_mean():
  value_E1 = np.random.default_rng(0).normal(5.0, 2.0, (400, 1))
  curve, error = result.curve(value_E1, 1, 1000, 0), value_E1.std() / 20
  (found,) = curve.means
  assert curve == result.curve(value_E1, 1, 1000, 0), "always the same"
  assert found.mean == pytest.approx(value_E1.mean())
  assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.25 * error)
  assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.25 * error)
  assert result.curve(np.array([[3.0]]), 4, 10, 0) == result.Curve(4, [3.0], [3.0], [3.0])


def test_resamples_and_their_seed_change_the_interval_alone():
  value_E1 = np.random.default_rng(0).normal(5.0, 2.0, (40, 1))
  first, more, other = (
    result.curve(value_E1, 1, *given) for given in ((1000, 0), (2000, 0), (1000, 1))
  )
  assert first.mean == more.mean == other.mean
  assert len({curve.low[0] for curve in (first, more, other)}) == 3
  given = [measured("a", 1.0, 3.0), measured("b", 3.0, 9.0)]
  found = result.summarise(9, (2, 3), given, resamples=0, seed=7)
  assert (found.resamples, found.seed) == (0, 7)
  line = found.lines[1]
  assert line.source_entropy_curve == result.Curve(1, [pytest.approx(np.log(2))] * 3, [None] * 3,
                                                   [None] * 3)  # fmt: skip
  assert line.change == result.Mean(pytest.approx((1 / 4 + 3 / 20) / 2), None, None)
