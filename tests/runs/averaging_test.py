"""Which checkpoints a mean takes, and the mean."""

import numpy as np
import pytest

from headprune.runs import averaging


@pytest.mark.parametrize(
  "steps, count, settled, wanted",
  [
    (range(250, 5001, 250), 8, 0, [3250, 3500, 3750, 4000, 4250, 4500, 4750, 5000]),
    (range(250, 2001, 250), 8, 0, [1250, 1500, 1750, 2000]),
    (range(100, 1001, 100), 8, 0, [700, 800, 900, 1000]),  # 600 knows none of the last 400
    ([600, 601, 1000], 8, 0, [601, 1000]),
    (range(100, 1001, 100), 8, 700, [800, 900, 1000]),  # at 700 no step was with settled heads
    (range(100, 801, 100), 8, 700, [800]),  # the run ended early
    (range(100, 701, 100), 8, 700, [500, 600, 700]),  # nothing has settled yet
    (range(250, 5001, 250), 2, 0, [4750, 5000]),
    ([250], 8, 0, [250]),
    ([1], 8, 0, [1]),
  ],
)
def test_a_mean_does_not_reach_back_far(steps, count, settled, wanted):
  assert averaging.newest(list(steps), count, settled) == wanted


def test_the_mean_of_trees():
  trees = [{"a": np.array([1.0, 2.0]), "b": {"c": np.array(x)}} for x in (0.0, 3.0, 6.0)]
  found = averaging.mean(trees)
  np.testing.assert_array_equal(found["a"], [1.0, 2.0])
  assert found["b"]["c"] == 3.0
