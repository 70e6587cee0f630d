"""Sampling: translations drawn word by word from what the model holds for likely."""

import functools

from flax import struct
import jax
import jax.numpy as jnp

from headprune.nn.config import ModelConfig
from headprune.nn.transformer import Transformer, apply


@struct.dataclass
class Samples:
  """Translations that are being drawn, R = B * E, those of a source side by side."""

  t: jax.Array  # words so far
  cache: list
  alive_R: jax.Array
  ids_RT: jax.Array  # EOS where nothing is written
  length_R: jax.Array  # words with EOS, 0 before the end
  log_prob_R: jax.Array


@functools.partial(jax.jit, static_argnums=(0, 7, 8))
def sample(
  config: ModelConfig, params, gate_values, source, limit_B, key, temperature, samples, words
):
  """Draws translations of each source, independent of each other.

  Args:
    config: the model's sizes.
    params: the model's parameters.
    gate_values: attention type -> gate_NH.
    source: what the encoder takes, B rows.
    limit_B: int32, words, EOS included, after which a sample is given up; at most `words`.
    key: of all that is drawn.
    temperature: scores are divided by it; 1 is the model's own distribution.
    samples: E, of each source.
    words: T.
  Returns:
    (ids_BET, EOS behind the end; length_BE in words with EOS, 0 for samples that were given up;
    log_prob_BE, log p of all words by the model's own distribution, natural log).
  """
  each = lambda x: jnp.repeat(x, samples, axis=0)
  mask_RS, limit_R = each(source["src_segment_BS"] > 0), each(limit_B)
  start = _start(config, params, gate_values, source, each, words)

  def step(s: Samples) -> Samples:
    position_R = jnp.full_like(s.length_R, s.t)
    past_11T = (jnp.arange(words) <= s.t)[None, None]
    before_R1 = s.ids_RT[:, jnp.maximum(s.t - 1, 0)][:, None]
    logits_R1V, cache = apply(
      config, params, before_R1, position_R, position_R[:, None], s.cache,
      jnp.broadcast_to(past_11T, (len(mask_RS), 1, words)), mask_RS, gate_values, words,
      method=Transformer.step,
    )  # fmt: skip
    word_R, log_prob_R = _draw(config, jax.random.fold_in(key, s.t), logits_R1V[:, 0], temperature)
    word_R = jnp.where(s.alive_R, word_R, config.eos)
    ended_R = s.alive_R & (word_R == config.eos)
    return Samples(
      t=s.t + 1,
      cache=cache,
      alive_R=s.alive_R & ~ended_R & (s.t + 1 < limit_R),
      ids_RT=s.ids_RT.at[:, s.t].set(word_R),
      length_R=jnp.where(ended_R, s.t + 1, s.length_R),
      log_prob_R=s.log_prob_R + jnp.where(s.alive_R, log_prob_R, 0.0),
    )

  end = jax.lax.while_loop(lambda s: jnp.any(s.alive_R), step, start)
  of_each = lambda x: x.reshape(len(limit_B), samples, *x.shape[1:])
  return of_each(end.ids_RT), of_each(end.length_R), of_each(end.log_prob_R)


def _start(config: ModelConfig, params, gate_values, source, each, words: int) -> Samples:
  """Nothing drawn yet, every source read once."""
  memory_BSD, _ = apply(config, params, source, gate_values, method=Transformer.encode)
  read = apply(config, params, memory_BSD, method=Transformer.read_source)
  zeros_R = each(jnp.zeros(len(memory_BSD), jnp.int32))
  sides = len(zeros_R), memory_BSD.shape[1], words
  empty = apply(config, params, *sides, method=Transformer.empty_cache)
  return Samples(
    t=jnp.int32(0),
    cache=[layer | {"source": jax.tree.map(each, new)} for layer, new in zip(empty, read)],
    alive_R=zeros_R == 0,
    ids_RT=jnp.full((len(zeros_R), words), config.eos, jnp.int32),
    length_R=zeros_R,
    log_prob_R=zeros_R.astype(jnp.float32),
  )


def _draw(config: ModelConfig, key, logits_RV, temperature):
  """(word_R, its log p); padding is never drawn."""
  scores_RV = logits_RV / temperature
  if config.pad is not None:
    scores_RV = jnp.where((jnp.arange(config.tgt_vocab) == config.pad)[None], -jnp.inf, scores_RV)
  word_R = jax.random.categorical(key, scores_RV)
  logit_R1 = jnp.take_along_axis(logits_RV, word_R[:, None], axis=1)
  return word_R, logit_R1[:, 0] - jax.nn.logsumexp(logits_RV, axis=1)
