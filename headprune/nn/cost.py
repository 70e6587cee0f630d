"""What a model costs by arithmetic alone: operations and cache sizes that follow from its sizes.

Operations are those of matrix products, two for each multiply-add, without attention's masked
upper half being spared; norms, softmax and the rest are of another order.
"""

import jax.numpy as jnp

from headprune.nn.config import ModelConfig


def source_flops(config: ModelConfig, src_len: float) -> float:
  """Operations per source token: the encoder, and the keys and values the decoder attends to.

  Args:
    config: the model's sizes.
    src_len: tokens of the sentence, EOS included.
  """
  c = config
  attention = sum(_attention(c, heads * c.enc_head_size, src_len, 4) for heads in c.enc_self)
  memory = sum(_attention(c, heads * c.dec_head_size, 0, 2) for heads in c.dec_enc)
  return attention + memory + c.enc_layers * _feed_forward(c, c.enc_ff_size)


def target_flops(config: ModelConfig, src_len: float, tgt_len: float) -> float:
  """Operations per target token: the decoder and the logits.

  Args:
    config: the model's sizes.
    src_len: source tokens that cross-attention reads.
    tgt_len: target tokens that self-attention reads.
  """
  c = config
  past = sum(_attention(c, heads * c.dec_head_size, tgt_len, 4) for heads in c.dec_self)
  cross = sum(_attention(c, heads * c.dec_head_size, src_len, 2) for heads in c.dec_enc)
  logits = 2 * c.model_size * c.tgt_vocab
  return past + cross + c.dec_layers * _feed_forward(c, c.dec_ff_size) + logits


def pair_flops(config: ModelConfig, src_len: float, tgt_len: float, beams: int = 1) -> float:
  """Operations for one sentence: scored with its translation, or translated with `beams`.

  The search reads all entries of its cache and masks those that are not a hypothesis' own.
  """
  source = src_len * source_flops(config, src_len)
  past = search_entries(tgt_len, beams)
  return source + beams * tgt_len * target_flops(config, src_len, past)


def search_entries(words: float, beams: int) -> float:
  """Entries that the cache of a search for so many words begins with.

  Hypotheses share all but their last words: with 4 beams half of Multi30k's searches need at most
  14 entries more than there are words, nine of ten 23, the worst of 200 needs 40.
  """
  return min(beams * words, words + 8 * beams)


def cache_bytes(config: ModelConfig) -> tuple[int, int]:
  """Bytes of keys and values that translation holds: (per source token, per target token).

  The second is for one hypothesis: with beams, it counts for each of them.
  """
  size = 2 * config.dec_head_size * jnp.dtype(config.attention_precision).itemsize
  return size * sum(config.dec_enc), size * sum(config.dec_self)


def _attention(config: ModelConfig, width: int, memory: float, projections: int) -> float:
  """One token's projections to `width` channels and, over `memory` tokens, scores and sum."""
  return width * (2 * projections * config.model_size + 4 * memory)


def _feed_forward(config: ModelConfig, hidden: int) -> int:
  return 4 * config.model_size * hidden
