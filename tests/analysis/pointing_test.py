"""Tests of headprune.analysis.pointing."""

import numpy as np

from headprune.analysis import pointing
from tests.analysis import subjects


def test_words_are_real_tokens_without_eos():
  assert pointing.words(np.array([[1, 1, 1, 0], [0, 0, 0, 0]])).tolist() == [
    [True, True, False, False],
    [False] * 4,
  ]


def test_share_divides_along_the_first_axes_and_has_no_zero_division():
  hits_2NH, cases_2 = np.array([[[1, 2]], [[3, 0]]]), np.array([4, 0])
  assert pointing.share(hits_2NH, cases_2).tolist() == [[[0.25, 0.5]], [[3.0, 0.0]]]
  assert pointing.share(np.array([[1, 2]]), 4).tolist() == [[0.25, 0.5]]


def test_the_largest_weight_is_one_that_is_allowed():
  attn = subjects.one_head(np.array([[0.2, 0.1, 0.7], [0.0, 0.0, 1.0]], np.float32))
  memory_BM = np.array([[True, True, False]])
  assert pointing.largest(attn, memory_BM).tolist() == [[[[0, 0]]]]


def test_readers_are_real_steps_but_the_first():
  assert pointing.readers(np.array([[1, 1, 1, 0], [0, 0, 0, 0]])).tolist() == [
    [False, True, True, False],
    [False] * 4,
  ]


def test_hits_of_each_sentence():
  hit_NBHQ = np.array([[[[True, True, False]], [[False, False, True]]]])  # one layer, two rows
  assert pointing.by_sentence(hit_NBHQ).tolist() == [[[2]], [[1]]]
