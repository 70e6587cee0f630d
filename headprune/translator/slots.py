"""Slots for searches: begun, advanced until some are free, moved to slots of another size.

A search ends after as many words as its translation has. Batches that wait for their slowest
sentence compute a third of their steps for sentences that have ended; here a free slot is filled
with the next sentence while its neighbours go on.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from headprune.nn.config import ModelConfig
from headprune.nn.transformer import Transformer, apply
from headprune.translator import beam as beam_lib
from headprune.translator.beam import BeamConfig, Searches


class Sizes(NamedTuple):
  """What a program is compiled for."""

  slots: int  # B
  source: int  # S, tokens of the longest source
  words: int  # T, of the longest translation
  entries: int  # M, of a search's cache: keys and values of words


@functools.partial(jax.jit, static_argnums=(0, 2))
def empty(config: ModelConfig, params, sizes: Sizes, beam: BeamConfig) -> Searches:
  """Slots without searches."""
  slots, source, words, entries = sizes
  nothing_BN = jnp.full((slots, beam.best), -jnp.inf)
  zeros_B = jnp.zeros((slots,), jnp.int32)
  return Searches(
    cache=apply(config, params, slots, source, entries, method=Transformer.empty_cache),
    mask_BS=jnp.zeros((slots, source), bool),
    t_B=zeros_B,
    min_len_B=zeros_B,
    max_len_B=zeros_B,
    ids_BWT=jnp.full((slots, beam.beams, words), config.eos, jnp.int32),
    past_BWM=jnp.zeros((slots, beam.beams, entries), bool),
    raw_BW=jnp.full((slots, beam.beams), -jnp.inf),
    best_ids_BNT=jnp.full((slots, beam.best, words), config.eos, jnp.int32),
    best_length_BN=jnp.zeros((slots, beam.best), jnp.int32),
    best_score_BN=nothing_BN,
    best_raw_BN=nothing_BN,
  )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=3)
def fill(
  config: ModelConfig, params, gate_values, searches: Searches, slot_R, source, min_len_R, max_len_R
) -> Searches:
  """Begins R searches.

  Args:
    config: the model's sizes.
    params: the model's parameters.
    gate_values: attention type -> gate_NH.
    searches: is used up.
    slot_R: int32, the slot of each; a number that there is not for what is only padding.
    source: what the encoder takes, R rows as wide as the slots.
    min_len_R: int32; a hypothesis that ends before so many words, EOS included, is lost.
    max_len_R: int32; none is extended beyond max_len + 1 words.
  """
  memory_RSD, _ = apply(config, params, source, gate_values, method=Transformer.encode)
  read = apply(config, params, memory_RSD, method=Transformer.read_source)
  raw_W = jnp.where(jnp.arange(searches.raw_BW.shape[1]) == 0, 0.0, -jnp.inf)

  put = lambda old, new: old.at[slot_R].set(new, mode="drop")
  s = searches
  return s.replace(
    cache=[{**layer, "source": jax.tree.map(put, layer["source"], new)}
           for layer, new in zip(s.cache, read)],
    mask_BS=put(s.mask_BS, source["src_segment_BS"] > 0),
    t_B=put(s.t_B, 0),
    min_len_B=put(s.min_len_B, min_len_R),
    max_len_B=put(s.max_len_B, max_len_R),
    ids_BWT=put(s.ids_BWT, config.eos),
    past_BWM=put(s.past_BWM, False),
    raw_BW=put(s.raw_BW, raw_W[None]),
    best_ids_BNT=put(s.best_ids_BNT, config.eos),
    best_length_BN=put(s.best_length_BN, 0),
    best_score_BN=put(s.best_score_BN, -jnp.inf),
    best_raw_BN=put(s.best_raw_BN, -jnp.inf),
  )  # fmt: skip


@functools.partial(jax.jit, static_argnums=0, donate_argnums=3)
def advance(
  config: ModelConfig, params, gate_values, searches: Searches, beam: BeamConfig, wanted
) -> tuple[Searches, dict]:
  """Goes on until so many slots are free, or a search's cache has no room for its next words.

  Args:
    config: the model's sizes.
    params: the model's parameters.
    gate_values: attention type -> gate_NH.
    searches: are used up.
    beam: how to search.
    wanted: int32, free slots.
  Returns:
    (searches, what there is to know of them: "alive_B", "used_B", which is how many entries are in
    use, and of the best finished hypotheses "ids_BNT", "length_BN", "score_BN", "raw_BN").
  """
  used_B = lambda s: jnp.sum(s.used_BM, axis=1)

  def goes_on(s):
    _, beams, entries = s.past_BWM.shape
    few_free = jnp.sum(~s.alive_B) < jnp.minimum(wanted, len(s.t_B))
    return few_free & (jnp.max(used_B(s)) + beams <= entries)

  body = functools.partial(beam_lib.step, config, params, gate_values, beam=beam)
  s = jax.lax.while_loop(goes_on, body, searches)
  best = s.best_ids_BNT, s.best_length_BN, s.best_score_BN, s.best_raw_BN
  report = {"alive_B": s.alive_B, "used_B": used_B(s)}
  return s, report | dict(zip(("ids_BNT", "length_BN", "score_BN", "raw_BN"), best))


@functools.partial(jax.jit, static_argnums=(0, 1))
def move(sizes: Sizes, eos: int, searches: Searches, slot_B) -> Searches:
  """The searches in slots of other sizes.

  Args:
    sizes: room for all that the searches hold.
    eos: what ids are where nothing is written.
    searches: some of these are moved.
    slot_B: int32, which search each new slot takes; a number that there is not for none.
  """
  taken = lambda x, fill: x.at[slot_B].get(mode="fill", fill_value=fill)

  def fit(x, axis, size, fill=0):
    x = jax.lax.slice_in_dim(x, 0, min(size, x.shape[axis]), axis=axis)
    missing = [(0, size - n) if i == axis else (0, 0) for i, n in enumerate(x.shape)]
    return jnp.pad(taken(x, fill), missing, constant_values=fill)

  used_BM = searches.used_BM
  _, entry_BM = jax.lax.top_k(jnp.where(used_BM, 1.0, 0.0), min(sizes.entries, used_BM.shape[1]))

  def pack(x, axis, size, fill=0):
    """The entries in use come first, so that none is cut off."""
    others = [i for i in range(1, x.ndim) if i != axis]
    return fit(jnp.take_along_axis(x, jnp.expand_dims(entry_BM, others), axis), axis, size, fill)

  def layer(old):
    keys_and_values = lambda f, pair, size: pair and (f(pair[0], 3, size), f(pair[1], 2, size))
    return {
      "self": keys_and_values(pack, old["self"], sizes.entries),
      "source": keys_and_values(fit, old["source"], sizes.source),
    }

  s = searches
  return s.replace(
    cache=[layer(old) for old in s.cache],
    mask_BS=fit(s.mask_BS, 1, sizes.source, False),
    ids_BWT=fit(s.ids_BWT, 2, sizes.words, eos),
    past_BWM=pack(s.past_BWM, 2, sizes.entries, False),
    best_ids_BNT=fit(s.best_ids_BNT, 2, sizes.words, eos),
    t_B=taken(s.t_B, 0),
    min_len_B=taken(s.min_len_B, 0),
    max_len_B=taken(s.max_len_B, 0),
    raw_BW=taken(s.raw_BW, -jnp.inf),
    best_length_BN=taken(s.best_length_BN, 0),
    best_score_BN=taken(s.best_score_BN, -jnp.inf),
    best_raw_BN=taken(s.best_raw_BN, -jnp.inf),
  )
