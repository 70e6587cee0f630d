"""Word dropout: words that a training step reads are hidden; what it predicts stays the same.

A variant of training in "Analyzing the Source and Target Contributions to Predictions in Neural
Machine Translation" (Voita et al. 2021), where 10% of one side's words are hidden.
"""

import dataclasses

import jax
import jax.numpy as jnp

_SPARED = (1, 2)  # tokens at the beginning and at the end of each sentence, EOS included


@dataclasses.dataclass(frozen=True)
class Side:
  """How to hide words of one side; hashable."""

  rate: float  # probability
  unknown: int | None  # id that hidden words become; None: each becomes a random word
  vocab: int
  special: tuple[int, ...]  # ids that no random word is, in ascending order


def side(rate: float, by: str, tokenizer) -> Side | None:
  """How to hide words of text in this tokenizer's ids; None for a rate of 0.

  Args:
    rate: probability.
    by: "unknown" or "random".
    tokenizer: of this side, see text.tokenizer.
  """
  if not rate:
    return None
  unknown = tokenizer.unk if by == "unknown" else None
  return Side(rate, unknown, tokenizer.vocab_size, tokenizer.special)


def hide(sides: tuple[Side | None, Side | None], key, batch: dict) -> dict:
  """The batch with hidden words.

  Source words are replaced in src_BS. Of the target, tgt_BT stays what is to be predicted, and what
  the decoder reads in its place is tgt_read_BT.

  Args:
    sides: of the source and of the target.
    key: of this step.
    batch: packed or padded pairs.
  """
  names = ("src_BS", "src_segment_BS", "src_BS"), ("tgt_BT", "tgt_segment_BT", "tgt_read_BT")
  for how, side_key, (ids, segments, read) in zip(sides, jax.random.split(key), names):
    if how:
      batch = batch | {read: _hide_side(how, side_key, batch[ids], batch[segments])}
  return batch


def _hide_side(how: Side, key, ids_BT, segment_BT):
  choice_key, word_key = jax.random.split(key)
  chosen_BT = jax.random.uniform(choice_key, ids_BT.shape) < how.rate
  words_BT = _random_words(how, word_key, ids_BT.shape) if how.unknown is None else how.unknown
  return jnp.where(chosen_BT & _inner(segment_BT), words_BT, ids_BT)


def _random_words(how: Side, key, shape):
  """Ids, all equally likely but the special ones."""
  ids = jax.random.randint(key, shape, 0, how.vocab - len(how.special))
  for special in how.special:  # each makes room for itself
    ids += ids >= special
  return ids


def _inner(segment_BT):
  """Which tokens are neither among the first nor among the last of their sentence."""
  first, last = _SPARED
  before_BT = jnp.pad(segment_BT[:, :-first], ((0, 0), (first, 0)))
  behind_BT = jnp.pad(segment_BT[:, last:], ((0, 0), (0, last)))
  return (segment_BT > 0) & (before_BT == segment_BT) & (behind_BT == segment_BT)
