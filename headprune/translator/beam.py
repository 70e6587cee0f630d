"""Beam search with an explicit key/value cache: one `lax.while_loop`, compiled once per shape.

The rules are the original program's. The cache is never reordered: keys and values stay in the beam
slot they were computed in, and a small ancestry table tells which slot holds each hypothesis' word
at each position.
"""

import math

from flax import struct
import jax
import jax.numpy as jnp

from headprune.nn.config import ModelConfig
from headprune.nn.transformer import Transformer, apply

_BLOCK = 64  # words of the vocabulary whose maximum is looked at first


@struct.dataclass
class BeamConfig:
  """How to search; a pytree, so that only `beams` and `keep_unfinished` are compiled in."""

  beams: int = struct.field(pytree_node=False)
  alpha: float  # length penalty: score = log p / (1 + length / 6)^alpha
  spread: float  # drops hypotheses that are this much worse than the best finished one
  # Whether, at the length limit, an unfinished one is taken if there is no other.
  keep_unfinished: bool = struct.field(pytree_node=False, default=True)


@struct.dataclass
class _State:
  """The loop's state. Dead hypotheses have raw = -inf; ids are EOS where nothing is written."""

  t: jax.Array  # words so far
  cache: list
  ids_BWT: jax.Array
  slot_BWT: jax.Array  # the beam slot that holds the keys and values of each hypothesis' position
  raw_BW: jax.Array  # log p
  best_ids_BT: jax.Array
  best_length_B: jax.Array  # words, 0 before anything finished
  best_score_B: jax.Array
  best_raw_B: jax.Array


def beam_search(
  config: ModelConfig, params, gate_values, source, min_len_B, max_len_B, beam: BeamConfig, steps
):
  """Translates a batch; pure, to be jitted with `config` and `steps` static.

  Args:
    config: the model's sizes.
    params: the model's parameters.
    gate_values: attention type -> gate_NH.
    source: what the encoder takes: src_BS, src_segment_BS, src_position_BS.
    min_len_B: int32; a hypothesis that ends before so many words, EOS included, is lost.
    max_len_B: int32; none is extended beyond max_len + 1 words.
    beam: how to search.
    steps: T, at least max(max_len_B) + 1.
  Returns:
    (ids_BT padded with EOS, length_B, score_B, log_prob_B); length 0 and scores of -inf where
    nothing finished.
  """
  memory_BSD, _ = apply(config, params, source, gate_values, method=Transformer.encode)
  cache = apply(config, params, memory_BSD, steps, beam.beams, method=Transformer.empty_cache)
  mask_BS = source["src_segment_BS"] > 0

  def body(state):
    word_BW, past_BWM, slot_BWT = _step_inputs(state)
    logits_BWV, cache = apply(
      config, params, word_BW, state.t, state.cache, past_BWM, mask_BS, gate_values,
      method=Transformer.step,
    )  # fmt: skip
    if config.pad is not None:
      pad_11V = jnp.arange(config.tgt_vocab)[None, None] == config.pad
      logits_BWV = jnp.where(pad_11V, -jnp.inf, logits_BWV)
    state = _expand_beams(state.replace(cache=cache, slot_BWT=slot_BWT), logits_BWV)
    return _retire_finished(state, min_len_B, max_len_B, beam, config.eos)

  state = jax.lax.while_loop(
    lambda state: jnp.any(state.raw_BW > -jnp.inf),
    body,
    _initial_state(cache, len(min_len_B), steps, beam.beams, config.eos),
  )
  return state.best_ids_BT, state.best_length_B, state.best_score_B, state.best_raw_B


def _initial_state(cache, batch: int, steps: int, beams: int, eos: int) -> _State:
  """One empty hypothesis per sentence."""
  raw_W = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)
  nothing_B = jnp.full((batch,), -jnp.inf)
  return _State(
    t=jnp.int32(0),
    cache=cache,
    ids_BWT=jnp.full((batch, beams, steps), eos, jnp.int32),
    slot_BWT=jnp.zeros((batch, beams, steps), jnp.int32),
    raw_BW=jnp.broadcast_to(raw_W, (batch, beams)),
    best_ids_BT=jnp.full((batch, steps), eos, jnp.int32),
    best_length_B=jnp.zeros((batch,), jnp.int32),
    best_score_B=nothing_B,
    best_raw_B=nothing_B,
  )


def _step_inputs(state: _State):
  """What the model's step needs at position t: (word_BW, past_BWM, slot_BWT with t written)."""
  batch, beams, steps = state.ids_BWT.shape
  word_BW = jax.lax.dynamic_index_in_dim(state.ids_BWT, state.t - 1, 2, keepdims=False)
  here_11T = jnp.arange(steps)[None, None] == state.t
  slot_BWT = jnp.where(here_11T, jnp.arange(beams)[None, :, None], state.slot_BWT)
  mine_BWTW = slot_BWT[..., None] == jnp.arange(beams)[None, None, None]
  past_BWTW = mine_BWTW & (jnp.arange(steps) <= state.t)[None, None, :, None]
  return word_BW, past_BWTW.reshape(batch, beams, steps * beams), slot_BWT


def _expand_beams(state: _State, logits_BWV) -> _State:
  """The `beams` best extensions by one word, over the whole vocabulary; ties by index."""
  beams = state.raw_BW.shape[1]
  # Only the best words of each hypothesis can be among the best of all: normalise those alone.
  top_BWK, word_BWK = _top_words(logits_BWV, min(beams, logits_BWV.shape[2]))
  log_norm_BW = jax.nn.logsumexp(logits_BWV, axis=-1)
  raw_BWK = state.raw_BW[..., None] + (top_BWK - log_norm_BW[..., None])
  raw_BW, choice_BW = jax.lax.top_k(raw_BWK.reshape(len(raw_BWK), -1), beams)
  parent_BW = choice_BW // top_BWK.shape[2]
  word_BW = jnp.take_along_axis(word_BWK.reshape(len(raw_BWK), -1), choice_BW, axis=1)
  ids_BWT = jnp.take_along_axis(state.ids_BWT, parent_BW[..., None], axis=1)
  here_11T = jnp.arange(ids_BWT.shape[2])[None, None] == state.t
  return state.replace(
    t=state.t + 1,
    ids_BWT=jnp.where(here_11T, word_BW[..., None], ids_BWT),
    slot_BWT=jnp.take_along_axis(state.slot_BWT, parent_BW[..., None], axis=1),
    raw_BW=raw_BW,
  )


def _top_words(logits_BWV, count: int):
  """`top_k` over the vocabulary, ties by index.

  On CPUs a search among the maxima of blocks first is twice as fast; blocks keep their order, so
  that ties do too. A vocabulary without a handy divisor is searched in one go.
  """
  *rows, vocab = logits_BWV.shape
  block = math.gcd(vocab, _BLOCK)
  if block < 8 or vocab // block < count:
    return jax.lax.top_k(logits_BWV, count)
  blocks = logits_BWV.reshape(*rows, -1, block)
  chosen = jnp.sort(jax.lax.top_k(jnp.max(blocks, axis=-1), count)[1], axis=-1)
  candidates = jnp.take_along_axis(blocks, chosen[..., None], axis=2).reshape(*rows, -1)
  top_BWK, place_BWK = jax.lax.top_k(candidates, count)
  block_BWK = jnp.take_along_axis(chosen, place_BWK // block, axis=2)
  return top_BWK, block_BWK * block + place_BWK % block


def _retire_finished(state: _State, min_len_B, max_len_B, beam: BeamConfig, eos: int) -> _State:
  """Updates the best finished hypotheses and drops those that are not to be extended."""
  t = state.t
  score_BW = state.raw_BW / (1.0 + t / 6.0) ** beam.alpha
  ended_BW = jax.lax.dynamic_index_in_dim(state.ids_BWT, t - 1, 2, keepdims=False) == eos
  finished_BW = ended_BW & (t >= min_len_B)[:, None]
  if beam.keep_unfinished:
    empty_B = jnp.all(state.best_ids_BT == eos, axis=1)
    finished_BW |= (empty_B & (t == max_len_B))[:, None]
  candidate_BW = jnp.where(finished_BW, score_BW, -jnp.inf)
  first_B1 = jnp.argmax(candidate_BW, axis=1)[:, None]
  better_B = jnp.max(candidate_BW, axis=1) > state.best_score_B
  pick = lambda x_BW: jnp.take_along_axis(x_BW, first_B1, axis=1)[:, 0]
  new_ids_BT = jnp.take_along_axis(state.ids_BWT, first_B1[..., None], axis=1)[:, 0]
  best_score_B = jnp.where(better_B, pick(score_BW), state.best_score_B)
  best_raw_B = jnp.where(better_B, pick(state.raw_BW), state.best_raw_B)
  alive_BW = ~ended_BW & (t <= max_len_B)[:, None]
  alive_BW &= score_BW + beam.spread >= best_score_B[:, None]
  alive_BW &= state.raw_BW + beam.spread >= best_raw_B[:, None]
  return state.replace(
    raw_BW=jnp.where(alive_BW, state.raw_BW, -jnp.inf),
    best_ids_BT=jnp.where(better_B[:, None], new_ids_BT, state.best_ids_BT),
    best_length_B=jnp.where(better_B, t, state.best_length_B),
    best_score_B=best_score_B,
    best_raw_B=best_raw_B,
  )
