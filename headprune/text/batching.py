"""Sentences in padded batches of few different shapes, for all that is not training."""

from collections.abc import Iterator, Sequence

import numpy as np

from headprune.errors import UserError

MAX_TOKENS = 8192  # padded positions a side in a batch, so that the arrays of long lines fit


def check_lengths(sources: Sequence[Sequence[int]], name: str) -> None:
  """Raises a UserError for a line that no memory suffices for, as where all line ends are lost.

  Args:
    sources: ids of lines that are to be translated.
    name: of the text in the message.
  """
  for number, ids in enumerate(sources, 1):
    if len(ids) > MAX_TOKENS:
      raise UserError(
        f"{name}, line {number}: {len(ids):,} tokens, at most {MAX_TOKENS:,} are translated as one"
      )


def pad_pairs(
  sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], src_len: int, tgt_len: int
) -> dict[str, np.ndarray]:
  """One pair a row as the batch dict that the model takes; padding has segment 0.

  Args:
    sources: token ids with their EOS, at most `src_len` each.
    targets: token ids with their EOS, at most `tgt_len` each.
    src_len: S.
    tgt_len: T.
  """
  return _pad_side("src", "S", sources, src_len) | _pad_side("tgt", "T", targets, tgt_len)


def pad_sources(sources: Sequence[Sequence[int]], src_len: int) -> dict[str, np.ndarray]:
  """`pad_pairs` without targets: what the encoder takes."""
  return _pad_side("src", "S", sources, src_len)


def batches(
  sources: Sequence[Sequence[int]],
  targets: Sequence[Sequence[int]],
  batch_size: int,
  max_tokens: int = MAX_TOKENS,
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
  """Puts pairs of similar length together.

  Args:
    sources: ids with EOS.
    targets: ids with EOS, as many.
    batch_size: pairs of a batch at most.
    max_tokens: rows times width of a batch at most, but at least one row.
  Yields:
    (number of the pair in each row, batch with S = T). The last rows of a batch may be padding
    alone: it has more rows than numbers then.
  """
  lengths = [max(len(src), len(tgt)) for src, tgt in zip(sources, targets)]
  for numbers, rows, width in group_by_length(lengths, batch_size, max_tokens):
    surplus = [[]] * (rows - len(numbers))
    sides = ([*(side[i] for i in numbers), *surplus] for side in (sources, targets))
    yield numbers, pad_pairs(*sides, width, width)


def group_by_length(
  lengths: Sequence[int], batch_size: int, max_tokens: int = MAX_TOKENS
) -> Iterator[tuple[list[int], int, int]]:
  """Shares sentences out to batches, longest first.

  Yields:
    (numbers of the sentences in a batch, its rows, its width): rows and widths are rounded up.
  """
  order = sorted(range(len(lengths)), key=lambda i: lengths[i])
  while order:
    width = round_up(lengths[order[-1]])
    rows = min(batch_size, max(1, max_tokens // width), round_up(len(order)))
    numbers, order = order[-rows:], order[:-rows]
    yield numbers, rows, width


def round_up(size: int) -> int:
  """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few shapes, less than half of them padding."""
  power = 1 << (size - 1).bit_length()
  return power * 3 // 4 if size <= power * 3 // 4 else power


def _pad_side(side: str, letter: str, rows, length: int) -> dict[str, np.ndarray]:
  ids = np.zeros((len(rows), length), np.int32)
  segment = np.zeros_like(ids)
  for i, row in enumerate(rows):
    ids[i, : len(row)] = row
    segment[i, : len(row)] = 1
  position = np.broadcast_to(np.arange(length, dtype=np.int32), ids.shape)
  return {
    f"{side}_B{letter}": ids,
    f"{side}_segment_B{letter}": segment,
    f"{side}_position_B{letter}": position,
  }
