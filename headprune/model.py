"""The encoder-decoder Transformer of the original program, pre-norm, with a gate on every head.

Gates are an argument, not a part of the model: training, evaluation, fixed heads and compact models
are the same `apply`. Heads are counted per layer and attention type; of a layer that has none, only
the output bias stays. All padding and packing is told by segment ids (0 is padding).
"""

from flax import linen as nn
import jax.numpy as jnp
import numpy as np

from headprune import ops
from headprune.layers import DecoderLayer, EncoderLayer, ModelConfig, glorot, layer_norm


class Transformer(nn.Module):
  """Encoder, decoder and embeddings; `__call__` scores pairs, the other methods translate."""

  config: ModelConfig

  def setup(self):
    c = self.config
    embed = nn.initializers.normal(c.model_size**-0.5)
    if c.share_embeddings:
      self.src_embed = self.tgt_embed = self.param(
        "shared_embed", embed, (c.src_vocab, c.model_size)
      )
    else:
      self.src_embed = self.param("src_embed", embed, (c.src_vocab, c.model_size))
      self.tgt_embed = self.param("tgt_embed", embed, (c.tgt_vocab, c.model_size))
      self.logits_kernel = self.param(
        "logits_kernel", glorot(c.model_size, c.tgt_vocab), (c.model_size, c.tgt_vocab)
      )
    self.src_bias = self.param("src_bias", glorot(1, c.model_size), (c.model_size,))
    self.encoder = [EncoderLayer(c, heads) for heads in c.enc_self]
    self.decoder = [DecoderLayer(c, *heads) for heads in zip(c.dec_self, c.dec_enc)]
    self.enc_norm, self.dec_norm = layer_norm(), layer_norm()

  def _signal(self, position_BS, length):
    return jnp.asarray(ops.positions(length, self.config.model_size))[position_BS]

  def embed_source(self, src_BS, position_BS, noise=None):
    """The encoder's input: emb * sqrt(D) + bias + position."""
    x_BSD = self.src_embed[src_BS] * self.config.model_size**0.5 + self.src_bias
    x_BSD += self._signal(position_BS, src_BS.shape[1])
    return ops.dropout(x_BSD, self.config.embed_dropout, noise, ("src_embed",))

  def embed_target(self, tgt_BT, position_BT, noise=None):
    """The decoder's input: emb * sqrt(D), shifted right, zeros at a segment's start, + position."""
    x_BTD = self.tgt_embed[tgt_BT] * self.config.model_size**0.5
    x_BTD = jnp.pad(x_BTD[:, :-1], ((0, 0), (1, 0), (0, 0)))
    x_BTD = jnp.where(position_BT[..., None] == 0, 0.0, x_BTD)
    x_BTD += self._signal(position_BT, tgt_BT.shape[1])
    return ops.dropout(x_BTD, self.config.embed_dropout, noise, ("tgt_embed",))

  def encode(self, batch, gates, noise=None):
    """Runs the encoder.

    Args:
      batch: src_BS, src_segment_BS, src_position_BS (int32).
      gates: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (memory_BSD after the final norm, list over layers of attn_BHSS).
    """
    x_BSD = self.embed_source(batch["src_BS"], batch["src_position_BS"], noise)
    segment_BS = batch["src_segment_BS"]
    mask_BSS = same_segment(segment_BS, segment_BS)
    attns = []
    for n, layer in enumerate(self.encoder):
      x_BSD, attn_BHSS = layer(x_BSD, mask_BSS, gates["enc_self"][n], noise)
      attns.append(attn_BHSS)
    return self.enc_norm(x_BSD), attns

  def decode(self, batch, memory_BSD, gates, noise=None):
    """Runs the decoder on a known target.

    Args:
      batch: as for `encode`, and tgt_BT, tgt_segment_BT, tgt_position_BT (int32).
      memory_BSD: what `encode` returns.
      gates: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (out_BTD after the final norm, lists over layers of attn_BHTT and of attn_BHTS).
    """
    x_BTD = self.embed_target(batch["tgt_BT"], batch["tgt_position_BT"], noise)
    segment_BT = batch["tgt_segment_BT"]
    length = segment_BT.shape[1]
    causal_TT = np.tril(np.ones((length, length), bool))
    self_mask_BTT = same_segment(segment_BT, segment_BT) & causal_TT[None]
    cross_mask_BTS = same_segment(segment_BT, batch["src_segment_BS"])
    self_attns, cross_attns = [], []
    for n, layer in enumerate(self.decoder):
      layer_gates = gates["dec_self"][n], gates["dec_enc"][n]
      x_BTD, (self_attn, cross_attn) = layer(
        x_BTD, memory_BSD, self_mask_BTT, cross_mask_BTS, layer_gates, noise
      )
      self_attns.append(self_attn)
      cross_attns.append(cross_attn)
    return self.dec_norm(x_BTD), self_attns, cross_attns

  def logits(self, out_BTD):
    """Scores over the target vocabulary; no bias."""
    if self.config.share_embeddings:
      return ops.product("BTD,VD->BTV", out_BTD, self.tgt_embed, self.config.precision)
    return ops.product("BTD,DV->BTV", out_BTD, self.logits_kernel, self.config.precision)

  def __call__(self, batch, gates, noise=None):
    """Scores target words given their sources.

    Args:
      batch: src_BS, src_segment_BS, src_position_BS, tgt_BT, tgt_segment_BT, tgt_position_BT.
      gates: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (logits_BTV, attention type -> list over layers of attn_BHQM).
    """
    memory_BSD, enc_self = self.encode(batch, gates, noise)
    out_BTD, dec_self, dec_enc = self.decode(batch, memory_BSD, gates, noise)
    return self.logits(out_BTD), {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}

  def start(self, memory_BSD, length: int, beams: int):
    """An empty key/value cache for `length` output positions; one entry per decoder layer."""
    batch, depth = memory_BSD.shape[0], self.config.head_size
    dtype = ops.attention_dtype(self.config.precision)
    cache = []
    for layer in self.decoder:
      past = cross = None
      if layer.self_heads:
        rows, entries = (batch, layer.self_heads), length * beams
        past = (
          jnp.zeros((*rows, depth, entries), dtype),
          jnp.zeros((*rows, entries, depth), dtype),
        )
      if layer.cross_heads:
        k_BSHK, v_BSHK = layer.cross_attention.project(memory_BSD)
        cross = k_BSHK.transpose(0, 2, 3, 1).astype(dtype), v_BSHK.swapaxes(1, 2).astype(dtype)
      cache.append({"self": past, "cross": cross})
    return cache

  def step(self, token_BW, t, cache, past_BWM, src_mask_BS, gates):
    """Scores the next word of every beam.

    Args:
      token_BW: int32, the word at position t - 1 (any value at t = 0).
      t: int32 scalar, the position to score.
      cache: from `start` or the previous step.
      past_BWM: bool, M = T * W, which cached (position, beam) entries belong to each beam's past,
        position t included.
      src_mask_BS: bool, real source tokens.
      gates: attention type -> gate_NH.
    Returns:
      (logits_BWV, cache).
    """
    length = past_BWM.shape[-1] // token_BW.shape[1]
    x_BWD = self.tgt_embed[token_BW] * self.config.model_size**0.5
    x_BWD = jnp.where(t == 0, 0.0, x_BWD) + self._signal(t, length)
    cross_mask_BWS = jnp.broadcast_to(src_mask_BS[:, None], token_BW.shape + src_mask_BS.shape[1:])
    new_cache = []
    for n, layer in enumerate(self.decoder):
      layer_gates = gates["dec_self"][n], gates["dec_enc"][n]
      x_BWD, entry = layer.step(x_BWD, cache[n], t, past_BWM, cross_mask_BWS, layer_gates)
      new_cache.append(entry)
    return self.logits(self.dec_norm(x_BWD)), new_cache


def same_segment(query_BQ, memory_BM):
  """mask_BQM: true where both tokens are of the same pair and real."""
  return (query_BQ[:, :, None] == memory_BM[:, None, :]) & (memory_BM[:, None, :] > 0)


def ones(config: ModelConfig) -> dict:
  """Gates that change nothing: attention type -> ones [N, H]."""
  return {name: jnp.ones((config.layers, config.max_heads)) for name in config.heads}


def unpacked_batch(sources: list[list[int]], targets: list[list[int]], src_len: int, tgt_len: int):
  """One pair a row, padded with EOS (id 1), as the batch dict that the model takes.

  Args:
    sources: token ids with their EOS, at most `src_len` each.
    targets: token ids with their EOS, at most `tgt_len` each.
    src_len: S.
    tgt_len: T.
  """
  batch = {}
  for side, letter, rows, length in (
    ("src", "S", sources, src_len),
    ("tgt", "T", targets, tgt_len),
  ):
    ids = np.ones((len(rows), length), np.int32)
    segment = np.zeros_like(ids)
    for i, row in enumerate(rows):
      ids[i, : len(row)] = row
      segment[i, : len(row)] = 1
    batch[f"{side}_B{letter}"] = ids
    batch[f"{side}_segment_B{letter}"] = segment
    batch[f"{side}_position_B{letter}"] = np.broadcast_to(
      np.arange(length, dtype=np.int32), ids.shape
    )
  return batch
