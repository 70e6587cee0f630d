"""Padded batches of few shapes: what stands in a row, which rows stand together."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from headprune.text import batching


def test_pairs_are_padded_with_segment_zero():
  batch = batching.pad_pairs([[5, 6, 1], [7]], [[8], []], 4, 2)
  assert {name: x.tolist() for name, x in batch.items()} == {
    "src_BS": [[5, 6, 1, 0], [7, 0, 0, 0]],
    "src_segment_BS": [[1, 1, 1, 0], [1, 0, 0, 0]],
    "src_position_BS": [[0, 1, 2, 3]] * 2,
    "tgt_BT": [[8, 0], [0, 0]],
    "tgt_segment_BT": [[1, 0], [0, 0]],
    "tgt_position_BT": [[0, 1]] * 2,
  }
  assert {x.dtype for x in batch.values()} == {np.dtype(np.int32)}
  sources = batching.pad_sources([[5, 6, 1], [7]], 4)
  assert sources.keys() == {"src_BS", "src_segment_BS", "src_position_BS"}
  assert all(np.array_equal(sources[name], batch[name]) for name in sources)
  with pytest.raises(ValueError):
    batching.pad_sources([[5, 6, 1]], 2)


def test_sizes_are_rounded_up_to_powers_of_two_and_those_times_one_and_a_half():
  assert [batching.round_up(n) for n in range(1, 18)] == [
    1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16, 24
  ]  # fmt: skip
  assert batching.round_up(33) == 48 and batching.round_up(64) == 64
  for n in range(1, 2000):
    assert n <= batching.round_up(n) < 2 * n or n == 1


def test_groups_by_hand():
  lengths = [3, 9, 1, 9, 2, 5]
  # The longest first, of equal length in the given order; rows and widths rounded up.
  assert list(batching.group_by_length(lengths, 2)) == [
    ([1, 3], 2, 12),
    ([0, 5], 2, 6),
    ([2, 4], 2, 2),
  ]
  assert list(batching.group_by_length(lengths, 4)) == [([0, 5, 1, 3], 4, 12), ([2, 4], 2, 2)]
  # Five left are six rows; of two tokens more than a row none is alone.
  assert list(batching.group_by_length([2] * 5, 8)) == [([0, 1, 2, 3, 4], 6, 2)]
  assert list(batching.group_by_length([2] * 7, 5)) == [([2, 3, 4, 5, 6], 5, 2), ([0, 1], 2, 2)]
  assert list(batching.group_by_length([3, 3, 3, 3], 8, max_tokens=8)) == [
    ([2, 3], 2, 3), ([0, 1], 2, 3)
  ]  # fmt: skip
  assert list(batching.group_by_length([9, 9], 8, max_tokens=8)) == [([1], 1, 12), ([0], 1, 12)]
  assert list(batching.group_by_length([], 8)) == []
  assert batching.MAX_TOKENS == 8192
  assert [rows for _, rows, _ in batching.group_by_length([1000] * 20, 99)] == [8, 8, 4]


@hypothesis.given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 9), st.integers(1, 99))
@hypothesis.settings(max_examples=60, deadline=None)
def test_groups_hold_every_sentence_once(lengths, batch_size, max_tokens):
  seen, last = [], 10**9
  for numbers, rows, width in batching.group_by_length(lengths, batch_size, max_tokens):
    assert 0 < len(numbers) <= rows <= batch_size
    assert rows == 1 or rows * width <= max_tokens
    assert width == batching.round_up(max(lengths[i] for i in numbers)) <= last
    last = width
    seen += numbers
  assert sorted(seen) == list(range(len(lengths)))


def test_batches_of_pairs():
  sources, targets = [[5, 1], [6, 6, 6, 1], [1], [7, 1]], [[2, 1], [3, 1], [4, 4, 4, 4, 1], [2, 1]]
  (first, wide), (second, narrow) = batching.batches(sources, targets, 2)
  assert (first, second) == ([1, 2], [0, 3])  # by the longer side
  assert wide["src_BS"].tolist() == [[6, 6, 6, 1, 0, 0], [1, 0, 0, 0, 0, 0]]
  assert wide["tgt_BT"].tolist() == [[3, 1, 0, 0, 0, 0], [4, 4, 4, 4, 1, 0]]
  assert narrow["src_BS"].tolist() == [[5, 1], [7, 1]]
  assert narrow["tgt_segment_BT"].tolist() == [[1, 1], [1, 1]]


def test_surplus_rows_are_padding():
  ((numbers, batch),) = batching.batches([[5, 1]] * 5, [[6, 1]] * 5, 8)
  assert numbers == [0, 1, 2, 3, 4] and batch["src_BS"].shape == (6, 2)
  for side in ("src_segment_BS", "tgt_segment_BT"):
    assert batch[side].tolist() == [[1, 1]] * 5 + [[0, 0]]
  sizes = [len(numbers) for numbers, _ in batching.batches([[5, 1]] * 5, [[6, 1]] * 5, 8, 4)]
  assert sizes == [2, 2, 1]
