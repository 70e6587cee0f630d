"""Beam search with an explicit key/value cache: one `lax.while_loop`, compiled once per shape.

The rules are the original program's. The cache is never reordered: keys and values stay in the beam
slot they were computed in, and a small ancestry table tells which slot holds each hypothesis' word
at each position.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from headprune.model import ModelConfig, Transformer
from headprune.tokenizer import EOS

_MAX_TOKENS = 8192  # source positions in a batch at most, so that the cache of long lines fits
_BLOCK = 64  # words of the vocabulary whose maximum is looked at first


@struct.dataclass
class BeamConfig:
  """How to search; a pytree, so that only `beams` and `keep_unfinished` are compiled in."""

  beams: int = struct.field(pytree_node=False)
  alpha: float  # length penalty: score = log p / (1 + length / 6)^alpha
  spread: float  # drops hypotheses that are this much worse than the best finished one
  # Whether, at the length limit, an unfinished one is taken if there is no other.
  keep_unfinished: bool = struct.field(pytree_node=False, default=True)


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """A translation: ids without EOS; empty, with both scores -inf, if nothing ever finished."""

  ids: list[int]
  score: float
  log_prob: float


@struct.dataclass
class _State:
  """The loop's state. Dead hypotheses have raw = -inf; ids are EOS where nothing is written."""

  t: jax.Array  # words so far
  cache: list
  ids_BWT: jax.Array
  slot_BWT: jax.Array  # the beam slot that holds the keys and values of each hypothesis' position
  raw_BW: jax.Array  # log p
  best_ids_BT: jax.Array
  best_score_B: jax.Array
  best_raw_B: jax.Array


def length_limits(length: int) -> tuple[int, int]:
  """(min_len, max_len) in words, EOS included, for a source of `length` words, EOS included."""
  return length // 4 - 1, 2 * length + 3


def exact_limits(words: int) -> Callable[[int], tuple[int, int]]:
  """Limits under which a search takes `words` steps, whatever the source's length.

  Hypotheses that end earlier are lost; one that reaches max_len is extended by one last word. A
  sentence whose hypotheses all end at once stops, its batch goes on with the others.
  """
  return lambda length: (words, words - 1)


def beam_search(model_config, params, gates, src_BS, length_B, min_len_B, max_len_B, beam, steps):
  """Translates a batch; pure, to be jitted with `model_config` and `steps` static.

  Args:
    model_config: ModelConfig.
    params: the model's parameters.
    gates: attention type -> gate_NH.
    src_BS: int32 ids, each row ended and padded by EOS.
    length_B: int32, source words with EOS.
    min_len_B: int32; a hypothesis that ends before so many words is lost.
    max_len_B: int32; none is extended beyond max_len + 1 words.
    beam: BeamConfig.
    steps: T, at least max(max_len_B) + 1.
  Returns:
    (ids_BT padded with EOS, score_B, log_prob_B); scores are -inf where nothing finished.
  """
  apply = functools.partial(Transformer(model_config).apply, {"params": params})
  mask_BS = jnp.arange(src_BS.shape[1])[None] < length_B[:, None]
  position_BS = jnp.broadcast_to(jnp.arange(src_BS.shape[1]), src_BS.shape)
  source = {"src_BS": src_BS, "src_segment_BS": mask_BS.astype(jnp.int32)}
  source["src_position_BS"] = position_BS
  memory_BSD, _ = apply(source, gates, method=Transformer.encode)
  cache = apply(memory_BSD, steps, beam.beams, method=Transformer.start)

  def body(state):
    word_BW, past_BWM, slot_BWT = _inputs(state)
    logits_BWV, cache = apply(
      word_BW, state.t, state.cache, past_BWM, mask_BS, gates, method=Transformer.step
    )
    state = _extend(state.replace(cache=cache, slot_BWT=slot_BWT), logits_BWV)
    return _finish(state, min_len_B, max_len_B, beam)

  state = jax.lax.while_loop(
    lambda state: jnp.any(state.raw_BW > -jnp.inf), body, _start(cache, len(src_BS), steps, beam)
  )
  return state.best_ids_BT, state.best_score_B, state.best_raw_B


def _start(cache, batch: int, steps: int, beam: BeamConfig) -> _State:
  """One empty hypothesis per sentence."""
  raw_W = jnp.where(jnp.arange(beam.beams) == 0, 0.0, -jnp.inf)
  nothing_B = jnp.full((batch,), -jnp.inf)
  return _State(
    t=jnp.int32(0),
    cache=cache,
    ids_BWT=jnp.full((batch, beam.beams, steps), EOS, jnp.int32),
    slot_BWT=jnp.zeros((batch, beam.beams, steps), jnp.int32),
    raw_BW=jnp.broadcast_to(raw_W, (batch, beam.beams)),
    best_ids_BT=jnp.full((batch, steps), EOS, jnp.int32),
    best_score_B=nothing_B,
    best_raw_B=nothing_B,
  )


def _inputs(state: _State):
  """What the model's step needs at position t: (word_BW, past_BWM, slot_BWT with t written)."""
  batch, beams, steps = state.ids_BWT.shape
  word_BW = jax.lax.dynamic_index_in_dim(state.ids_BWT, state.t - 1, 2, keepdims=False)
  here_11T = jnp.arange(steps)[None, None] == state.t
  slot_BWT = jnp.where(here_11T, jnp.arange(beams)[None, :, None], state.slot_BWT)
  mine_BWTW = slot_BWT[..., None] == jnp.arange(beams)
  past_BWTW = mine_BWTW & (jnp.arange(steps) <= state.t)[:, None]
  return word_BW, past_BWTW.reshape(batch, beams, steps * beams), slot_BWT


def _extend(state: _State, logits_BWV) -> _State:
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


def _finish(state: _State, min_len_B, max_len_B, beam: BeamConfig) -> _State:
  """Updates the best finished hypotheses and drops those that are not to be extended."""
  t = state.t
  score_BW = state.raw_BW / (1.0 + t / 6.0) ** beam.alpha
  ended_BW = jax.lax.dynamic_index_in_dim(state.ids_BWT, t - 1, 2, keepdims=False) == EOS
  finished_BW = ended_BW & (t >= min_len_B)[:, None]
  if beam.keep_unfinished:
    empty_B = jnp.all(state.best_ids_BT == EOS, axis=1)
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
    best_score_B=best_score_B,
    best_raw_B=best_raw_B,
  )


_search = jax.jit(beam_search, static_argnames=("model_config", "steps"))


def translate(
  model_config: ModelConfig,
  params: dict,
  gates: dict,
  sources: Sequence[Sequence[int]],
  beam: BeamConfig,
  batch_size: int,
  limits: Callable[[int], tuple[int, int]] = length_limits,
) -> list[Hypothesis]:
  """Translates sentences, sorted by length into batches of few different shapes.

  Args:
    model_config: the model's sizes.
    params: the model's parameters.
    gates: attention type -> gate_NH.
    sources: ids without EOS.
    beam: how to search.
    batch_size: sentences in a batch; fewer where they are long.
    limits: source length with EOS -> (min_len, max_len) in words with EOS; not decreasing.
  Returns:
    One hypothesis per source, in the order given.
  """
  params = cast_kernels(params, model_config.precision)
  order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
  results = [None] * len(sources)
  while order:
    width = round_up(len(sources[order[-1]]) + 1)
    rows = min(batch_size, max(1, _MAX_TOKENS // width), round_up(len(order)))
    chosen, order = order[-rows:], order[:-rows]
    batch = _batch([sources[i] for i in chosen], rows, width, limits)
    steps = limits(width)[1] + 1
    found = _search(model_config, params, gates, beam=beam, steps=steps, **batch)
    for i, *hypothesis in zip(chosen, *map(np.asarray, found)):
      results[i] = _hypothesis(*hypothesis)
  return results


def cast_kernels(params: dict, precision: str) -> dict:
  """Parameters with the matrices in the type their products take, so that no step casts them."""
  return jax.tree_util.tree_map_with_path(
    lambda path, x: jnp.asarray(x, precision) if path[-1].key.endswith("kernel") else x, params
  )


def round_up(size: int) -> int:
  """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few shapes, at most half again too large."""
  power = 1 << (size - 1).bit_length()
  return power * 3 // 4 if size <= power * 3 // 4 else power


def _batch(sources, rows: int, width: int, limits) -> dict:
  """Arrays of one batch; surplus rows are empty sentences."""
  src_BS = np.full((rows, width), EOS, np.int32)
  for row, ids in enumerate(sources):
    src_BS[row, : len(ids)] = ids
  lengths = [len(ids) + 1 for ids in sources] + [1] * (rows - len(sources))
  min_len_B, max_len_B = np.array([limits(n) for n in lengths], np.int32).T
  length_B = np.array(lengths, np.int32)
  return {"src_BS": src_BS, "length_B": length_B, "min_len_B": min_len_B, "max_len_B": max_len_B}


def _hypothesis(ids_T, score, log_prob) -> Hypothesis:
  """Cuts at the first EOS."""
  ids = ids_T.tolist()
  return Hypothesis((ids + [EOS])[: (ids + [EOS]).index(EOS)], float(score), float(log_prob))
