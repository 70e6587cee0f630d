"""Packing, order, exact resume and batch sizes of the training data."""

import hashlib

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.text import encoding, packing, special

LENGTH = 8


def _pairs(sizes) -> encoding.Pairs:
  """Pairs of given (source, target) sizes without EOS; pair i repeats id 10 + i."""
  sides = []
  for lengths in zip(*sizes):
    rows = [[10 + i] * n + [special.EOS] for i, n in enumerate(lengths)]
    sides += [np.concatenate(rows).astype(np.int32), np.cumsum([len(row) for row in rows])]
  return encoding.Pairs(*sides)


def _pair(pairs, i) -> tuple[list[int], list[int]]:
  return pairs.side("src", i).tolist(), pairs.side("tgt", i).tolist()


def _segments(batch, row, side):
  """{segment: (ids, positions)} of one row of a batch."""
  letter = {"src": "S", "tgt": "T"}[side]
  ids, segment, position = (
    batch[f"{side}{part}_B{letter}"][row] for part in ("", "_segment", "_position")
  )
  return {
    int(s): (ids[segment == s].tolist(), position[segment == s].tolist())
    for s in np.unique(segment[segment > 0])
  }


def _unpack(batches):
  """All pairs in the batches, in order, as (source ids, target ids); checks their positions."""
  found = []
  for batch in batches:
    for row in range(len(batch["src_BS"])):
      sources, targets = _segments(batch, row, "src"), _segments(batch, row, "tgt")
      assert sources.keys() == targets.keys()
      for segment in sources:
        for ids, positions in (sources[segment], targets[segment]):
          assert positions == list(range(len(ids)))
        found.append((sources[segment][0], targets[segment][0]))
  return found


def _take(iterator, count):
  return [next(iterator) for _ in range(count)]


def _train(pairs, rows=2, bins=4, seed=0, **share):
  return packing.train_batches(pairs, rows, LENGTH, bins, seed, **share)


def _same(a, b) -> bool:
  return len(a) == len(b) and all(np.array_equal(x[k], y[k]) for x, y in zip(a, b) for k in x)


_SIZE = st.integers(1, LENGTH - 1)
_SIZES = st.lists(st.tuples(_SIZE, _SIZE), min_size=1, max_size=20)


@hypothesis.given(_SIZES, st.integers(1, 4), st.integers(1, 6))
@hypothesis.settings(max_examples=30, deadline=None)
def test_evaluation_sees_every_pair_once(sizes, rows, bins):
  pairs = _pairs(sizes)
  batches = list(packing.eval_batches(pairs, rows, LENGTH, bins))
  assert all(x.shape == (rows, LENGTH) for batch in batches for x in batch.values())
  want = [_pair(pairs, i) for i in range(len(pairs))]
  assert sorted(_unpack(batches)) == sorted(want)
  packed = sum(bool(batch["src_segment_BS"][row].any()) for batch in batches for row in range(rows))
  assert len(batches) == -(-packed // rows)


@hypothesis.given(_SIZES, st.integers(0, 9))
@hypothesis.settings(max_examples=8, deadline=None)
def test_training_sees_every_pair_once_in_an_epoch(sizes, seed):
  pairs = _pairs(sizes)
  iterator = _train(pairs, rows=2, bins=4, seed=seed)
  found = []
  while len(found) < 3 * len(pairs):
    batch = next(iterator)
    assert {x.shape for x in batch.values()} == {(2, LENGTH)}
    found += _unpack([batch])
  # Rows that are filled at a time may hold pairs of two epochs: counts differ by that at most.
  counts = np.bincount([src[0] - 10 for src, _ in found], minlength=len(pairs))
  assert counts.min() >= 2 and counts.max() - counts.min() <= 1 + 4 * LENGTH // len(pairs)
  assert all(pair == _pair(pairs, pair[0][0] - 10) for pair in found)


def test_epochs_have_different_orders():
  pairs = _pairs([(LENGTH - 1, LENGTH - 1)] * 50)  # one pair a row
  iterator = _train(pairs, rows=50, bins=1)
  first, second = ([src[0] for src, _ in _unpack([next(iterator)])] for _ in range(2))
  assert sorted(first) == sorted(second) == list(range(10, 60))
  assert first != second and first != sorted(first)


def test_without_packing_each_row_has_one_pair_and_an_epoch_has_all():
  pairs = _pairs([(n % 3 + 1, n % 2 + 1) for n in range(20)])
  iterator = _train(pairs, rows=5, packed=False)
  first = _take(iterator, 4)
  place = iterator.get_state()
  second = _take(iterator, 4)
  for epoch in (first, second):
    assert all(batch["src_segment_BS"].max() == 1 for batch in epoch)
    assert all((batch["src_segment_BS"][:, 0] == 1).all() for batch in epoch)
    assert sorted(src[0] for src, _ in _unpack(epoch)) == list(range(10, 30))
  assert not _same(first, second)
  resumed = _train(pairs, rows=5, packed=False)
  resumed.set_state(place)
  assert _same(_take(resumed, 4), second)


def test_the_seed_decides_the_order():
  pairs = _pairs([(n % 7 + 1, n % 5 + 1) for n in range(40)])
  first = _take(_train(pairs, seed=3), 12)
  assert _same(first, _take(_train(pairs, seed=3), 12))
  assert not _same(first, _take(_train(pairs, seed=4), 12))


@pytest.mark.parametrize("taken", [0, 1, 3, 7, 20])
def test_exact_resume_at_the_place_of_the_consumer(taken):
  pairs = _pairs([(n % 7 + 1, n % 5 + 1) for n in range(40)])
  iterator = _train(pairs)
  _take(iterator, taken)
  place = iterator.get_state()  # while the thread has more batches ready
  rest = _take(iterator, 10)
  assert iterator.get_state() != place
  resumed = _train(pairs)
  _take(resumed, 2)
  resumed.set_state(place)
  assert _same(rest, _take(resumed, 10))


def test_processes_have_the_rows_of_the_same_batches_also_when_others_go_on():
  pairs = _pairs([(n % 7 + 1, n % 5 + 1) for n in range(40)])
  whole = _take(_train(pairs, rows=6), 12)
  place, seen = None, []
  for shares in (1, 2, 3):
    iterators = [_train(pairs, rows=6, share=share, shares=shares) for share in range(shares)]
    for iterator in iterators:
      iterator.set_state(place) if place else None
    for _ in range(4):
      parts = [next(iterator) for iterator in iterators]
      seen.append({k: np.concatenate([part[k] for part in parts]) for k in parts[0]})
    places = [iterator.get_state() for iterator in iterators]
    place = places[0]
    assert places == [place] * shares
  assert _same(whole, seen)


def test_the_order_stays_what_it_was_when_runs_that_exist_began():
  rng = np.random.default_rng(1)
  lengths = rng.integers(2, 30, (2, 500))
  sides = [np.arange(side.sum(), dtype=np.int32) % 997 for side in lengths]
  pairs = encoding.Pairs(sides[0], np.cumsum(lengths[0]), sides[1], np.cumsum(lengths[1]))
  iterator = packing.train_batches(pairs, 7, 48, 8, seed=5)
  digest = hashlib.sha256()
  for batch in _take(iterator, 40):
    for name in sorted(batch):
      digest.update(name.encode() + batch[name].tobytes())
  assert digest.hexdigest()[:16] == "956a041756e608e8"
  iterator = packing.train_batches(pairs, 7, 48, 8, seed=5)
  _take(iterator, 24)
  state = {"parent": {"next_index": 422}, "next_row": 0, "counter": 168}
  assert iterator.get_state() == state, "checkpoints hold this"


def test_processes_share_evaluation_batches():
  pairs = _pairs([(n % 7 + 1, n % 5 + 1) for n in range(23)])
  whole = list(packing.eval_batches(pairs, 6, LENGTH, 3))
  assert len(whole) > 1 and not whole[-1]["src_BS"][-1].any()  # filled up
  shares = [list(packing.eval_batches(pairs, 6, LENGTH, 3, share, 3)) for share in range(3)]
  joined = [
    {k: np.concatenate([part[k] for part in parts]) for k in whole[0]} for parts in zip(*shares)
  ]
  assert _same(whole, joined)


def test_evaluation_batches_are_in_order():
  pairs = _pairs([(LENGTH - 1, LENGTH - 1)] * 5)
  first, second = packing.eval_batches(pairs, 4, LENGTH, bins=1)
  assert first["src_BS"][:, 0].tolist() == [10, 11, 12, 13]
  assert second["src_BS"][:, 0].tolist() == [14, 0, 0, 0]


@pytest.mark.parametrize(
  "tokens, length, accumulate, devices, rows",
  [(4096, 64, 1, 1, 64), (4096, 64, 1, 8, 64), (4095, 64, 1, 8, 56), (512, 64, 8, 1, 8),
   (1000, 64, 3, 2, 12), (64, 64, 1, 1, 1)],
)  # fmt: skip
def test_batch_rows(tokens, length, accumulate, devices, rows):
  assert packing.batch_rows(tokens, length, accumulate, devices) == rows


def test_a_batch_that_is_too_small():
  message = "batch_tokens=511 .*64 tokens for each of 4 devices x 2 .*raise it to at least 512"
  with pytest.raises(UserError, match=message):
    packing.batch_rows(511, 64, 2, 4)
  assert packing.batch_rows(512, 64, 2, 4) == 8
