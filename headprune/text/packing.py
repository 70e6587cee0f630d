"""Training batches of one fixed shape: shuffle, pack, prefetch."""

from collections.abc import Sequence

import grain
import grain.experimental
import numpy as np

from headprune.errors import UserError
from headprune.text.encoding import Pairs


class _Batches:
  """Endless batches of one process's rows; where it stands is the same in every process.

  A group of `bins` rows is filled from a place in the order on, each pair into the first row where
  it fits; with the pair that fits nowhere the next group begins. Only lengths are looked at, so
  that a process fills its own rows alone: all plan the whole (some two million tokens a second
  on one core), none has to be told what the others have.
  """

  def __init__(
    self, pairs: Pairs, rows: int, mine: slice, row_length: int, bins: int, seed: int, fill
  ):
    self._pairs, self._rows, self._mine, self._row_length = pairs, rows, mine, row_length
    self._bins, self._seed, self._fill_rows = bins, seed, fill
    self._order = grain.MapDataset.range(len(pairs)).seed(seed).shuffle().repeat()
    self._place = (0, 0, 0)  # where the group begins in the order, rows taken of it, rows taken
    self._group = None  # the group in its order, and where the next one begins

  def __next__(self) -> dict[str, np.ndarray]:
    chosen = [self._next_row() for _ in range(self._rows)]
    return _fill(self._pairs, chosen[self._mine], self._row_length)

  def _next_row(self) -> list[int]:
    begin, taken, count = self._place
    if self._group is None:
      rows, end = self._fill_rows(self._pairs, self._order, begin, self._row_length, self._bins)
      permuted = np.random.default_rng(self._seed + count - taken).permuted(range(len(rows)))
      self._group = [rows[i] for i in permuted], end
    rows, end = self._group
    last = taken + 1 == len(rows)
    self._place = (end, 0, count + 1) if last else (begin, taken + 1, count + 1)
    self._group = None if last else self._group
    return rows[taken]

  def get_state(self) -> dict:
    begin, taken, count = self._place
    return {"parent": {"next_index": begin}, "next_row": taken, "counter": count}

  def set_state(self, state: dict) -> None:
    self._place = (state["parent"]["next_index"], state["next_row"], state["counter"])
    self._group = None


def first_fit(pairs: Pairs, order: Sequence[int], begin: int, row_length: int, bins: int):
  """Fills rows with pairs, each into the first row where it fits, until one fits nowhere.

  Args:
    pairs: of at most `row_length` tokens a side.
    order: numbers of pairs.
    begin: place in `order` to start from.
    row_length: S and T.
    bins: rows to fill at most.
  Returns:
    (rows as lists of numbers of pairs, place in `order` of the first pair that is in none).
  """
  rows, src_free, tgt_free = [], [], []
  for place in range(begin, len(order)):
    number = order[place]
    src, tgt = pairs.lengths(number)
    row = next((i for i, n in enumerate(src_free) if src <= n and tgt <= tgt_free[i]), len(rows))
    if row == bins:
      return rows, place
    if row == len(rows):
      rows.append([])
      src_free.append(row_length)
      tgt_free.append(row_length)
    rows[row].append(number)
    src_free[row] -= src
    tgt_free[row] -= tgt
  return rows, len(order)


def _one_each(pairs: Pairs, order: Sequence[int], begin: int, row_length: int, bins: int):
  """`first_fit` with one pair a row."""
  return [[order[place]] for place in range(begin, begin + bins)], begin + bins


def _fill(pairs: Pairs, rows: Sequence[Sequence[int]], row_length: int) -> dict[str, np.ndarray]:
  """The batch dict of rows that are lists of numbers of pairs."""
  batch = {}
  for side, letter in (("src", "S"), ("tgt", "T")):
    ids, segment, position = np.zeros((3, len(rows), row_length), np.int32)
    for b, numbers in enumerate(rows):
      end = 0
      for k, number in enumerate(numbers, 1):
        found = pairs.side(side, number)
        begin, end = end, end + len(found)
        ids[b, begin:end] = found
        segment[b, begin:end] = k
        position[b, begin:end] = np.arange(len(found))
    batch |= {
      f"{side}_B{letter}": ids,
      f"{side}_segment_B{letter}": segment,
      f"{side}_position_B{letter}": position,
    }
  return batch


def train_batches(
  pairs: Pairs,
  rows: int,
  row_length: int,
  bins: int,
  seed: int,
  share: int = 0,
  shares: int = 1,
  packed: bool = True,
):
  """An endless, checkpointable iterator of one process's rows of packed batches.

  Each epoch has its own order. Batches and the iterator's state are the same however many processes
  there are; they are prepared in a thread while the device works.

  Args:
    pairs: training pairs.
    rows: B, over all processes.
    row_length: S and T.
    bins: rows that are filled at a time.
    seed: of the order.
    share: number of this process.
    shares: number of processes, which divides `rows`.
    packed: whether a row may hold several pairs.
  Returns:
    An iterator of dicts of int32 [rows / shares, row_length] with `get_state` and `set_state`.
  """
  fill = first_fit if packed else _one_each
  batches = _Batches(pairs, rows, _own_rows(rows, share, shares), row_length, bins, seed, fill)
  return grain.experimental.ThreadPrefetchDatasetIterator(batches, prefetch_buffer_size=4)


def eval_batches(
  pairs: Pairs, rows: int, row_length: int, bins: int, share: int = 0, shares: int = 1
):
  """One process's rows of packed batches of all pairs once, in order.

  The last batch is filled up with empty rows. The arguments are those of `train_batches`.
  """
  packed, place = [], 0
  while place < len(pairs):
    group, place = first_fit(pairs, range(len(pairs)), place, row_length, bins)
    packed += group
  packed += [[]] * (-len(packed) % rows)
  for first in range(0, len(packed), rows):
    chosen = packed[first : first + rows]
    yield _fill(pairs, chosen[_own_rows(rows, share, shares)], row_length)


def _own_rows(rows: int, share: int, shares: int) -> slice:
  """The rows of a whole batch that lie on the devices of one process."""
  count = rows // shares
  return slice(share * count, (share + 1) * count)


def batch_rows(batch_tokens: int, row_length: int, accumulate: int, devices: int) -> int:
  """Rows of a whole batch: at most `batch_tokens` slots, in equal micro-batches on every device."""
  unit = accumulate * devices
  rows = batch_tokens // row_length // unit * unit
  if rows < 1:
    raise UserError(
      f"config.train.batch_tokens={batch_tokens} is less than one row of {row_length} tokens for "
      f"each of {devices} devices x {accumulate} micro-batches: raise it to at least "
      f"{unit * row_length}"
    )
  return rows
