"""The ids that all vocabularies made here begin with."""

from collections.abc import Sequence

import numpy as np

BOS, EOS, UNK = 0, 1, 2
RESERVED = ("_BOS_", "_EOS_", "_UNK_")


class Reserved:
  """What these ids are to a tokenizer."""

  eos = EOS  # the id that ends a sentence
  unk = UNK  # that of what the vocabulary lacks
  pad = None  # there is none of padding
  special = (BOS, EOS, UNK)  # those that are no words, in ascending order


def content(ids: Sequence[int]) -> list[int]:
  """The ids before the first EOS, without BOS; `ids` may be an array."""
  row = np.asarray(ids, np.int64).tolist()
  if EOS in row:
    row = row[: row.index(EOS)]
  return [i for i in row if i != BOS]
