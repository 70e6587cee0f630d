"""Text as ids: encoded once, filtered by length, in memory or in files that are mapped into it."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import time
import zlib

import numpy as np

from headprune.errors import UserError
from headprune.files import write_text, writing

_CHUNK = 10_000  # lines encoded at a time: Python's lists of ids are large
_SAY_EVERY = 1.0  # seconds
_LONGEST = 10_000  # tokens; longer pairs count as of this length, which is advised to nobody
_HEADER = "header.json"
_ARRAYS = {"src_ids": np.int32, "src_ends": np.int64, "tgt_ids": np.int32, "tgt_ends": np.int64}


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """Encoded sentence pairs, EOS included, as flat arrays, which may lie in files."""

  src_ids: np.ndarray  # int32, all sources one after the other
  src_ends: np.ndarray  # int64, where each source ends
  tgt_ids: np.ndarray
  tgt_ends: np.ndarray

  def __len__(self) -> int:
    return len(self.src_ends)

  def side(self, side: str, i: int) -> np.ndarray:
    """The ids of pair `i` on one side, "src" or "tgt"."""
    ids, ends = (getattr(self, f"{side}_{part}") for part in ("ids", "ends"))
    return ids[ends[i - 1] if i else 0 : ends[i]]

  def lengths(self, i: int) -> tuple[int, int]:
    """Tokens of pair `i` on the source and on the target side."""
    src, tgt = self.src_ends, self.tgt_ends
    return (src[i] - src[i - 1], tgt[i] - tgt[i - 1]) if i else (src[0], tgt[0])


@dataclasses.dataclass(frozen=True)
class Report:
  """What the length filter did to one split."""

  kept: int
  empty: int
  too_long: int
  keeps_99: int = 0  # the least row_length that keeps 99% of those with words, if this one does not
  seen: dict[str, float] = dataclasses.field(default_factory=dict)  # see overlap.shares

  def __str__(self) -> str:
    dropped = f"{self.empty:,} with an empty side, {self.too_long:,} too long"
    keeps = f"; config.data.row_length={self.keeps_99} keeps 99%" if self.keeps_99 else ""
    return f"{self.kept:,} pairs (dropped: {dropped}{keeps})"


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
  parts = {name: [] for name in _ARRAYS}
  report = _encode(src_lines, tgt_lines, tokenizers, row_length, lambda n, x: parts[n].append(x))
  return Pairs(**{name: np.concatenate(arrays) for name, arrays in parts.items()}), report


def encode_to(
  folder: pathlib.Path,
  key,
  src_lines,
  tgt_lines,
  tokenizers,
  row_length: int,
  say: Callable,
  seen: Mapping[str, float] = {},
) -> None:
  """`encode` into files of `folder`, chunk by chunk, for `load`; what was there is replaced.

  Args:
    folder: of these files alone.
    key: JSON value that names text, tokenizers and length; `load` asks for it.
    src_lines: text, as for the rest `encode`.
    tgt_lines: text.
    tokenizers: (source, target).
    row_length: tokens.
    say: tells a person how far it is, every second.
    seen: for the report.
  Raises:
    UserError: no pair is left, or the disk does not take what is written.
  """
  shutil.rmtree(folder, ignore_errors=True)
  sums = dict.fromkeys(_ARRAYS, 0)
  with writing(folder), contextlib.ExitStack() as stack:
    folder.mkdir(parents=True)
    files = {name: stack.enter_context((folder / name).open("wb")) for name in _ARRAYS}

    def write(name, array):
      data = array.astype(_ARRAYS[name]).tobytes()
      files[name].write(data)
      sums[name] = zlib.crc32(data, sums[name])

    report = _encode(src_lines, tgt_lines, tokenizers, row_length, write, say)
  report = dataclasses.replace(report, seen=dict(seen))
  header = {"key": key, "report": dataclasses.asdict(report), "sums": sums}
  write_text(folder / _HEADER, json.dumps(header))  # the last file: without it there is nothing


def link(there: pathlib.Path, here: pathlib.Path) -> None:
  """Gives `here` the files of `there`, which nobody changes, where possible without a copy."""

  def one(source, target):
    try:
      os.link(source, target)
    except OSError:
      shutil.copy2(source, target)

  shutil.rmtree(here, ignore_errors=True)
  with writing(here):
    shutil.copytree(there, here, copy_function=one)


def load(folder: pathlib.Path, key) -> tuple[Pairs, Report] | None:
  """What `encode_to` wrote, mapped into memory; None if it is not there, damaged or of another key.

  All is read once for its checksums, at the speed of the disk.
  """
  try:
    header = json.loads((folder / _HEADER).read_text())
    if header["key"] != json.loads(json.dumps(key)):
      return None
    arrays = {name: _map(folder / name, dtype) for name, dtype in _ARRAYS.items()}
    if any(_sum(array) != header["sums"][name] for name, array in arrays.items()):
      return None
    return Pairs(**arrays), Report(**header["report"])
  except (OSError, KeyError, TypeError, ValueError):
    return None


def _map(path: pathlib.Path, dtype) -> np.ndarray:
  # As a plain array, whose elements are quicker to get than those of np.memmap.
  return np.asarray(np.memmap(path, dtype, mode="r"))


def _sum(array: np.ndarray) -> int:
  total, data = 0, memoryview(array).cast("B")
  for first in range(0, len(data), 1 << 24):
    total = zlib.crc32(data[first : first + (1 << 24)], total)
  return total


def _encode(src_lines, tgt_lines, tokenizers, row_length: int, put: Callable, say=None) -> Report:
  """Encodes chunk by chunk; `put(name, array)` takes the parts of the arrays of Pairs."""
  counts, seen, ends, told = np.zeros(3, np.int64), 0, dict(src=0, tgt=0), time.monotonic()
  histogram = np.zeros(_LONGEST + 1, np.int64)  # of the pairs' longer sides
  for chunk in _chunks(src_lines, tgt_lines):
    sides = [_encode_side(t, lines) for t, lines in zip(tokenizers, chunk)]
    lengths = np.stack([lengths for _, lengths in sides])  # [2, pairs]
    empty = (lengths == 1).any(0)
    too_long = (lengths > row_length).any(0) & ~empty
    kept = ~empty & ~too_long
    longer = lengths.max(0)[~empty].clip(max=_LONGEST)
    histogram += np.bincount(longer, minlength=_LONGEST + 1)
    counts += [kept.sum(), empty.sum(), too_long.sum()]
    for side, (ids, lengths) in zip(ends, sides):
      put(f"{side}_ids", ids[np.repeat(kept, lengths)])
      chunk_ends = ends[side] + np.cumsum(lengths[kept])
      put(f"{side}_ends", chunk_ends)
      ends[side] = chunk_ends[-1] if len(chunk_ends) else ends[side]
    seen += len(kept)
    if say and time.monotonic() - told > _SAY_EVERY:
      say(f"encoding: {seen:,} of {len(src_lines):,} pairs")
      told = time.monotonic()
  keeps_99 = int(np.searchsorted(np.cumsum(histogram), 0.99 * histogram.sum()))
  report = Report(*map(int, counts), keeps_99 if row_length < keeps_99 < _LONGEST else 0)
  if not report.kept:
    raise UserError(f"no pair fits into config.data.row_length={row_length}: {report}")
  return report


def _chunks(src_lines, tgt_lines) -> Iterator[tuple[list[str], list[str]]]:
  src, tgt = iter(src_lines), iter(tgt_lines)
  while lines := list(itertools.islice(src, _CHUNK)):
    yield lines, list(itertools.islice(tgt, _CHUNK))


def _encode_side(tokenizer, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
  """The ids of all lines as one int32 array, and each line's length."""
  rows = tokenizer.encode(lines)
  ids = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
  return ids, np.fromiter(map(len, rows), np.int64, len(rows))
