"""Beam search, one step of many: the rules for searches that stand side by side in a batch's slots.

The rules are the original program's. Each search has a clock of its own, so that a slot whose
search has ended can be given to another one while its neighbours go on. The cache is never
reordered: a word's keys and values stay in the entry that they were written to, a table tells which
entries are each hypothesis' past, and those that no living hypothesis needs are written over. As
hypotheses share most of their words, a step reads little more than the words of one.
"""

import math

from flax import struct
import jax
import jax.numpy as jnp

from headprune.nn.config import ModelConfig
from headprune.nn.transformer import Transformer, apply

_BLOCK = 64  # words of the vocabulary whose maximum is looked at first
_ROUNDING = 1e-3  # of scores


@struct.dataclass
class BeamConfig:
  """How to search; a pytree, so that only whole numbers and choices are compiled in."""

  beams: int = struct.field(pytree_node=False)
  alpha: float  # length penalty: score = log p / (1 + length / 6)^alpha
  spread: float  # drops hypotheses that are this much worse than the best finished one
  # Whether, at the length limit, an unfinished one is taken if there is no other.
  keep_unfinished: bool = struct.field(pytree_node=False, default=True)
  best: int = struct.field(pytree_node=False, default=1)  # N, finished hypotheses to keep


@struct.dataclass
class Searches:
  """The state of B searches. Dead hypotheses have raw = -inf; ids are EOS where nothing is written.

  Axes: B slots, W beams, T words, M entries of the cache, N best finished hypotheses, S source.
  """

  cache: list
  mask_BS: jax.Array  # real source tokens
  t_B: jax.Array  # words so far
  min_len_B: jax.Array
  max_len_B: jax.Array
  ids_BWT: jax.Array
  past_BWM: jax.Array  # which entries hold the keys and values of each hypothesis' words
  raw_BW: jax.Array  # log p
  best_ids_BNT: jax.Array
  best_length_BN: jax.Array  # words, 0 before anything finished
  best_score_BN: jax.Array
  best_raw_BN: jax.Array

  @property
  def alive_B(self) -> jax.Array:
    """Which searches go on."""
    return jnp.any(self.raw_BW > -jnp.inf, axis=1)

  @property
  def used_BM(self) -> jax.Array:
    """Which entries some living hypothesis needs."""
    return jnp.any(self.past_BWM & (self.raw_BW > -jnp.inf)[..., None], axis=1)


def step(config: ModelConfig, params, gate_values, searches: Searches, beam: BeamConfig):
  """Extends all hypotheses by one word; pure.

  Args:
    config: the model's sizes.
    params: the model's parameters.
    gate_values: attention type -> gate_NH.
    searches: all have as many entries free as there are beams.
    beam: how to search.
  """
  entry_BW, past_BWM = _take_entries(searches)
  logits_BWV, cache = apply(
    config, params, _last_words(searches), searches.t_B, entry_BW, searches.cache, past_BWM,
    searches.mask_BS, gate_values, searches.ids_BWT.shape[2], method=Transformer.step,
  )  # fmt: skip
  if config.pad is not None:
    pad_11V = jnp.arange(config.tgt_vocab)[None, None] == config.pad
    logits_BWV = jnp.where(pad_11V, -jnp.inf, logits_BWV)
  searches = searches.replace(cache=cache, past_BWM=past_BWM)
  return _retire_finished(_expand_beams(searches, logits_BWV), beam, config.eos)


def _take_entries(searches: Searches):
  """The first free entries, one for each hypothesis: (entry_BW, past_BWM with them)."""
  beams, entries = searches.past_BWM.shape[1:]
  _, entry_BW = jax.lax.top_k(jnp.where(searches.used_BM, 0.0, 1.0), beams)
  own_BWM = entry_BW[..., None] == jnp.arange(entries)[None, None]
  return entry_BW, searches.past_BWM | own_BWM


def _last_words(searches: Searches):
  """The newest word of each hypothesis, word_BW; any value where there is none yet."""
  last_B11 = jnp.maximum(searches.t_B - 1, 0)[:, None, None]
  return jnp.take_along_axis(searches.ids_BWT, last_B11, axis=2)[..., 0]


def _expand_beams(searches: Searches, logits_BWV) -> Searches:
  """The `beams` best extensions by one word, over the whole vocabulary; ties by index."""
  beams = searches.raw_BW.shape[1]
  # Only the best words of each hypothesis can be among the best of all.
  logp_BWK, word_BWK = _best_words(logits_BWV, min(beams, logits_BWV.shape[2]))
  raw_BWK = searches.raw_BW[..., None] + logp_BWK
  raw_BW, choice_BW = jax.lax.top_k(raw_BWK.reshape(len(raw_BWK), -1), beams)
  parent_BW1 = (choice_BW // word_BWK.shape[2])[..., None]
  word_BW = jnp.take_along_axis(word_BWK.reshape(len(raw_BWK), -1), choice_BW, axis=1)
  ids_BWT = jnp.take_along_axis(searches.ids_BWT, parent_BW1, axis=1)
  here_B1T = (jnp.arange(ids_BWT.shape[2])[None] == searches.t_B[:, None])[:, None]
  return searches.replace(
    t_B=searches.t_B + 1,
    ids_BWT=jnp.where(here_B1T, word_BW[..., None], ids_BWT),
    past_BWM=jnp.take_along_axis(searches.past_BWM, parent_BW1, axis=1),
    raw_BW=raw_BW,
  )


def _best_words(logits_BWV, count: int):
  """The most probable words, ties by index: (logp_BWK, word_BWK).

  On CPUs it is several times faster to look at the maxima of blocks of words first, C words each,
  and then at the words of the K best blocks alone. A vocabulary without a handy divisor is searched
  in one go.
  """
  *rows, vocab = logits_BWV.shape
  block = math.gcd(vocab, _BLOCK)
  if block < 8 or vocab // block < count:
    top_BWK, word_BWK = jax.lax.top_k(logits_BWV, count)
    return top_BWK - jax.nn.logsumexp(logits_BWV, axis=-1, keepdims=True), word_BWK
  blocks_BWNC = logits_BWV.reshape(*rows, -1, block)
  _, best_BWK = jax.lax.top_k(jnp.max(blocks_BWNC, axis=-1), count)
  logit_BWKC = jnp.take_along_axis(blocks_BWNC, best_BWK[..., None], axis=2)
  word_BWKC = best_BWK[..., None] * block + jnp.arange(block)[None, None, None]
  tops, words = [], []
  for _ in range(count):
    tops.append(jnp.max(logit_BWKC, axis=(2, 3)))
    is_top_BWKC = logit_BWKC == tops[-1][..., None, None]
    words.append(jnp.min(jnp.where(is_top_BWKC, word_BWKC, vocab), axis=(2, 3)))
    logit_BWKC = jnp.where(word_BWKC == words[-1][..., None, None], -jnp.inf, logit_BWKC)
  sum_BW = jnp.sum(jnp.exp(blocks_BWNC - tops[0][..., None, None]), axis=(2, 3))
  logp_BWK = jnp.stack(tops, 2) - (tops[0] + jnp.log(sum_BW))[..., None]
  return logp_BWK, jnp.stack(words, 2)


def _retire_finished(searches: Searches, beam: BeamConfig, eos: int) -> Searches:
  """Updates the best finished hypotheses and drops those that are not to be extended."""
  s, t_B1 = searches, searches.t_B[:, None]
  score_BW = s.raw_BW / (1.0 + t_B1 / 6.0) ** beam.alpha
  ended_BW = _last_words(s) == eos
  finished_BW = ended_BW & (t_B1 >= s.min_len_B[:, None])
  if beam.keep_unfinished:
    empty_B = jnp.all(s.best_ids_BNT[:, 0] == eos, axis=1)
    finished_BW |= (empty_B & (s.t_B == s.max_len_B))[:, None]
  # What was found before comes first, and so stays before its equals.
  all_scores = jnp.concatenate([s.best_score_BN, jnp.where(finished_BW, score_BW, -jnp.inf)], 1)
  best_score_BN, best_BN = jax.lax.top_k(all_scores, s.best_score_BN.shape[1])
  pick = lambda old, new: jnp.take_along_axis(jnp.concatenate([old, new], 1), best_BN, axis=1)
  all_ids = jnp.concatenate([s.best_ids_BNT, s.ids_BWT], axis=1)
  best_raw_BN = pick(s.best_raw_BN, s.raw_BW)
  alive_BW = ~ended_BW & (t_B1 <= s.max_len_B[:, None])
  alive_BW &= score_BW + beam.spread >= best_score_BN[:, :1]
  alive_BW &= s.raw_BW + beam.spread >= best_raw_BN[:, :1]
  # A search ends where none can come among the best any more: log p only falls, and the length
  # penalty is greatest at one end of what is left. Dropping single ones would let others in.
  at_end_BW = s.raw_BW / (1.0 + (s.max_len_B[:, None] + 1) / 6.0) ** beam.alpha
  hopeful_BW = jnp.maximum(score_BW, at_end_BW) + _ROUNDING >= best_score_BN[:, -1:]
  alive_BW &= jnp.any(alive_BW & hopeful_BW, axis=1, keepdims=True)
  return s.replace(
    raw_BW=jnp.where(alive_BW, s.raw_BW, -jnp.inf),
    best_ids_BNT=jnp.take_along_axis(all_ids, best_BN[..., None], axis=1),
    best_length_BN=pick(s.best_length_BN, jnp.broadcast_to(t_B1, s.raw_BW.shape)),
    best_score_BN=best_score_BN,
    best_raw_BN=best_raw_BN,
  )
