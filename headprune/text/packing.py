"""Training batches of one fixed shape: encode, filter by length, shuffle, pack, prefetch."""

import dataclasses
import itertools

import grain
import grain.experimental
import numpy as np

from headprune.errors import UserError

_CHUNK = 10_000  # lines encoded at a time: Python's lists of ids are large

# What grain's packing calls its arrays -> the model's names.
_NAMES = {
  "src": "src_BS",
  "src_segment_ids": "src_segment_BS",
  "src_positions": "src_position_BS",
  "tgt": "tgt_BT",
  "tgt_segment_ids": "tgt_segment_BT",
  "tgt_positions": "tgt_position_BT",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """Encoded sentence pairs, EOS included, as two flat arrays; a random-access grain source."""

  src_ids: np.ndarray  # int32, all sources one after the other
  src_ends: np.ndarray  # int64, where each source ends
  tgt_ids: np.ndarray
  tgt_ends: np.ndarray

  def __len__(self) -> int:
    return len(self.src_ends)

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    return {
      "src": self.src_ids[self.src_ends[i - 1] if i else 0 : self.src_ends[i]],
      "tgt": self.tgt_ids[self.tgt_ends[i - 1] if i else 0 : self.tgt_ends[i]],
    }


@dataclasses.dataclass(frozen=True)
class Report:
  """What the length filter did to one split."""

  kept: int
  empty: int
  too_long: int

  def __str__(self) -> str:
    dropped = f"{self.empty:,} with an empty side, {self.too_long:,} too long"
    return f"{self.kept:,} pairs (dropped: {dropped})"


def encode(src_lines, tgt_lines, tokenizers, row_length: int) -> tuple[Pairs, Report]:
  """Encodes parallel lines and drops pairs with an empty side or more than `row_length` tokens.

  Args:
    src_lines: text.
    tgt_lines: text, as many.
    tokenizers: (source, target).
    row_length: tokens of a packed row, EOS included.
  Returns:
    (pairs, report).
  Raises:
    UserError: no pair is left.
  """
  sides = [_encode_side(t, lines) for t, lines in zip(tokenizers, (src_lines, tgt_lines))]
  lengths = np.stack([lengths for _, lengths in sides])  # [2, pairs]
  empty = (lengths == 1).any(0)
  too_long = (lengths > row_length).any(0) & ~empty
  kept = ~empty & ~too_long
  report = Report(int(kept.sum()), int(empty.sum()), int(too_long.sum()))
  if not report.kept:
    raise UserError(f"no pair fits into config.data.row_length={row_length}: {report}")
  flat = []
  for ids, lengths in sides:
    flat += [ids[np.repeat(kept, lengths)], np.cumsum(lengths[kept])]
  return Pairs(*flat), report


def _encode_side(tokenizer, lines) -> tuple[np.ndarray, np.ndarray]:
  """The ids of all lines as one int32 array, and each line's length."""
  ids, lengths = [], []
  for first in range(0, len(lines), _CHUNK):
    rows = tokenizer.encode(lines[first : first + _CHUNK])
    ids.append(np.fromiter(itertools.chain.from_iterable(rows), np.int32))
    lengths += map(len, rows)
  return np.concatenate(ids), np.array(lengths, np.int64)


def _pack(dataset: grain.IterDataset, row_length: int, bins: int, seed: int, shuffle: bool):
  packed = grain.experimental.FirstFitPackIterDataset(
    dataset,
    length_struct={"src": row_length, "tgt": row_length},
    num_packing_bins=bins,
    seed=seed,
    shuffle_bins=shuffle,
  )
  return packed.map(lambda row: {new: row[old] for old, new in _NAMES.items()})


def train_batches(
  pairs: Pairs, rows: int, row_length: int, bins: int, seed: int, share: int = 0, shares: int = 1
):
  """An endless, checkpointable iterator of one process's share of packed batches.

  Each epoch has its own order; batches are prepared in a thread while the device works.

  Args:
    pairs: training pairs.
    rows: B of this process.
    row_length: S and T.
    bins: rows that are filled at a time.
    seed: of the order.
    share: number of this process.
    shares: number of processes.
  Returns:
    A grain DatasetIterator of dicts of int32 [rows, row_length].
  """
  dataset = grain.MapDataset.source(pairs).seed(seed).shuffle()[share::shares].repeat()
  dataset = _pack(dataset.to_iter_dataset(), row_length, bins, seed, shuffle=True)
  dataset = dataset.batch(rows, drop_remainder=True)
  return iter(grain.experimental.ThreadPrefetchIterDataset(dataset, prefetch_buffer_size=4))


def eval_batches(
  pairs: Pairs, rows: int, row_length: int, bins: int, share: int = 0, shares: int = 1
):
  """Packed batches of all pairs once, in order; the last one is filled up with empty rows.

  `rows` is B of the whole batch: process `share` of `shares` gets its own rows of it.
  """
  dataset = grain.MapDataset.source(pairs).to_iter_dataset()
  packed = list(_pack(dataset, row_length, bins, seed=0, shuffle=False))
  count = rows // shares
  mine = slice(share * count, (share + 1) * count)
  for first in range(0, len(packed), rows):
    chunk = packed[first : first + rows]
    chunk += [{name: np.zeros_like(x) for name, x in packed[0].items()}] * (rows - len(chunk))
    yield {name: np.stack([row[name] for row in chunk[mine]]) for name in _NAMES.values()}


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
