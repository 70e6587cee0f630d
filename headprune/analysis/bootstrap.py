"""The bootstrap: sentences are drawn again and again from those that there are."""

from collections.abc import Sequence
import functools

import numpy as np

TAILS = (0.025, 0.975)  # of the 95% interval


@functools.lru_cache(maxsize=4)
def weights(sentences: int, resamples: int, seed: Sequence[int]) -> np.ndarray:
  """How often each sentence is in each resample of as many: weights_YE.

  Args:
    sentences: E, at least 1.
    resamples: Y.
    seed: hashable; the same one gives the same resamples.
  """
  rng = np.random.default_rng(seed)
  return rng.multinomial(sentences, np.full(sentences, 1 / sentences), resamples)
