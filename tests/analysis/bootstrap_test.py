"""Resampled sentences: how many, how often, and how far their means are from each other."""

import numpy as np

from headprune.analysis import bootstrap


def test_each_resample_has_as_many_sentences():
  weights_YE = bootstrap.weights(5, 200, (0,))
  assert weights_YE.shape == (200, 5) and weights_YE.min() == 0
  np.testing.assert_array_equal(weights_YE.sum(1), 5)


def test_a_mean_spreads_by_the_standard_error():
  """Of 100 sentences, half 0 and half 1: 0.5 / sqrt(100)."""
  value_E = np.arange(100) % 2
  mean_Y = bootstrap.weights(100, 20000, (3, 4)) @ value_E / 100
  np.testing.assert_allclose([mean_Y.mean(), mean_Y.std()], [0.5, 0.05], atol=1e-3)
  low, high = np.quantile(mean_Y, bootstrap.TAILS)
  assert (low, high) == (0.4, 0.6)


def test_a_seed_gives_the_same_again():
  first = bootstrap.weights(9, 30, (1, 2)).copy()
  bootstrap.weights.cache_clear()
  np.testing.assert_array_equal(bootstrap.weights(9, 30, (1, 2)), first)
  assert (bootstrap.weights(9, 30, (2, 1)) != first).any()
