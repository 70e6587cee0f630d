"""The encoder-decoder Transformer of the original program, pre-norm, with a gate on every head.

Gates are an argument, not a part of the model: training, evaluation, fixed heads and compact models
are the same `apply`. Heads are counted per layer and attention type; of a layer that has none, only
the output bias stays. All padding and packing is told by segment ids (0 is padding).
"""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from headprune import ops


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes and rates; hashable, so that modules compare equal and compiled code is reused."""

  src_vocab: int
  tgt_vocab: int
  model_size: int
  head_size: int
  ff_size: int
  enc_self: tuple[int, ...]  # heads of each layer
  dec_self: tuple[int, ...]
  dec_enc: tuple[int, ...]
  share_embeddings: bool = False
  embed_dropout: float = 0.0
  residual_dropout: float = 0.0
  attention_dropout: float = 0.0
  relu_dropout: float = 0.0
  precision: str = "float32"  # of the operands of matrix products; everything else is float32

  @property
  def layers(self) -> int:
    return len(self.enc_self)

  @property
  def heads(self) -> dict[str, tuple[int, ...]]:
    """Attention type -> heads of each layer."""
    return {"enc_self": self.enc_self, "dec_self": self.dec_self, "dec_enc": self.dec_enc}

  @property
  def max_heads(self) -> int:
    """Width of the [layers, heads] gate arrays."""
    return max(1, *self.enc_self, *self.dec_self, *self.dec_enc)


def glorot(fan_in: int, fan_out: int):
  """Uniform in +-sqrt(6 / (fan_in + fan_out)), for kernels that stand for one flat matrix."""
  limit = np.sqrt(6.0 / (fan_in + fan_out))
  return lambda key, shape: jax.random.uniform(key, shape, minval=-limit, maxval=limit)


class Attention(nn.Module):
  """Multi-head attention with one gate per head; projections of all heads are one matrix."""

  config: ModelConfig
  heads: int
  cross: bool

  def setup(self):
    size, heads, depth = self.config.model_size, self.heads, self.config.head_size
    zeros = nn.initializers.zeros
    if heads:
      if self.cross:
        self.q_kernel = self.param("q_kernel", glorot(size, heads * depth), (size, heads, depth))
        self.q_bias = self.param("q_bias", zeros, (heads, depth))
      fused = 2 if self.cross else 3
      init = glorot(size, fused * heads * depth)
      name = "kv" if self.cross else "qkv"
      self.fused_kernel = self.param(f"{name}_kernel", init, (size, fused, heads, depth))
      self.fused_bias = self.param(f"{name}_bias", zeros, (fused, heads, depth))
      self.out_kernel = self.param("out_kernel", glorot(heads * depth, size), (heads, depth, size))
    self.out_bias = self.param("out_bias", zeros, (size,))

  def project(self, x_BQD):
    """q, k and v of self-attention, k and v of cross-attention; [B, Q, H, K] each."""
    fused = ops.product("BQD,DCHK->BQCHK", x_BQD, self.fused_kernel, self.config.precision)
    fused += self.fused_bias
    return tuple(fused[:, :, c] for c in range(fused.shape[2]))

  def query(self, x_BQD):
    """q_BQHK of cross-attention."""
    return ops.product("BQD,DHK->BQHK", x_BQD, self.q_kernel, self.config.precision) + self.q_bias

  def attend(self, q_BQHK, k_BMHK, v_BMHK, mask_BQM, gate_H, noise=None):
    """Softmax attention; the gate multiplies a head's context before the output projection.

    Returns:
      (out_BQD, attn_BHQM); the weights are those before dropout.
    """
    precision = self.config.precision
    dtype = ops.attention_dtype(precision)
    q_BQHK = q_BQHK * self.config.head_size**-0.5
    score_BHQM = ops.product("BQHK,BMHK->BHQM", q_BQHK, k_BMHK, dtype)
    attn_BHQM = jax.nn.softmax(jnp.where(mask_BQM[:, None], score_BHQM, -1e9), axis=-1)
    dropped_BHQM = ops.dropout(attn_BHQM, self.config.attention_dropout, noise, self.path)
    context_BQHK = ops.product("BHQM,BMHK->BQHK", dropped_BHQM, v_BMHK, dtype)
    context_BQHK *= gate_H[None, None, : self.heads, None]
    out_BQD = ops.product("BQHK,HKD->BQD", context_BQHK, self.out_kernel, precision)
    return out_BQD + self.out_bias, attn_BHQM

  def attend_cached(self, q_BWHK, k_BHKM, v_BHMK, mask_BWM, gate_H):
    """`attend` for decoding: keys and values lie as the two products read them fastest."""
    dtype = ops.attention_dtype(self.config.precision)
    q_BHWK = q_BWHK.swapaxes(1, 2) * self.config.head_size**-0.5
    score_BHWM = ops.product("BHWK,BHKM->BHWM", q_BHWK, k_BHKM, dtype)
    attn_BHWM = jax.nn.softmax(jnp.where(mask_BWM[:, None], score_BHWM, -1e9), axis=-1)
    context_BHWK = ops.product("BHWM,BHMK->BHWK", attn_BHWM, v_BHMK, dtype)
    context_BHWK *= gate_H[None, : self.heads, None, None]
    out_BWD = ops.product(
      "BWHK,HKD->BWD", context_BHWK.swapaxes(1, 2), self.out_kernel, self.config.precision
    )
    return out_BWD + self.out_bias

  def no_heads(self, x_BQD, length: int):
    """What a layer that lost all its heads computes: its output bias."""
    batch, queries, _ = x_BQD.shape
    out_BQD = jnp.broadcast_to(self.out_bias, x_BQD.shape)
    return out_BQD, jnp.zeros((batch, 0, queries, length))

  def __call__(self, x_BQD, memory_BMD, mask_BQM, gate_H, noise=None):
    """Attention from `x` to `memory` (to itself if not `cross`); (out_BQD, attn_BHQM)."""
    if not self.heads:
      return self.no_heads(x_BQD, mask_BQM.shape[-1])
    if self.cross:
      q_BQHK = self.query(x_BQD)
      k_BMHK, v_BMHK = self.project(memory_BMD)
    else:
      q_BQHK, k_BMHK, v_BMHK = self.project(x_BQD)
    return self.attend(q_BQHK, k_BMHK, v_BMHK, mask_BQM, gate_H, noise)


class FeedForward(nn.Module):
  """relu(x W1 + b1), dropout, W2 + b2."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BQD, noise=None):
    size, hidden = self.config.model_size, self.config.ff_size
    zeros, precision = nn.initializers.zeros, self.config.precision
    in_kernel = self.param("in_kernel", glorot(size, hidden), (size, hidden))
    in_bias = self.param("in_bias", zeros, (hidden,))
    out_kernel = self.param("out_kernel", glorot(hidden, size), (hidden, size))
    out_bias = self.param("out_bias", zeros, (size,))
    h_BQF = jax.nn.relu(ops.product("BQD,DF->BQF", x_BQD, in_kernel, precision) + in_bias)
    h_BQF = ops.dropout(h_BQF, self.config.relu_dropout, noise, self.path)
    return ops.product("BQF,FD->BQD", h_BQF, out_kernel, precision) + out_bias


def layer_norm() -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=1e-6, use_fast_variance=False)


class EncoderLayer(nn.Module):
  """x + dropout(attention(LN(x))), then the same with the feed-forward layer."""

  config: ModelConfig
  heads: int

  def setup(self):
    self.self_attention = Attention(self.config, self.heads, cross=False)
    self.ffn = FeedForward(self.config)
    self.self_norm, self.ffn_norm = layer_norm(), layer_norm()

  def _add(self, x, out, noise, name):
    return x + ops.dropout(out, self.config.residual_dropout, noise, self.path + (name,))

  def __call__(self, x_BSD, mask_BSS, gate_H, noise=None):
    h_BSD = self.self_norm(x_BSD)
    out_BSD, attn_BHSS = self.self_attention(h_BSD, h_BSD, mask_BSS, gate_H, noise)
    x_BSD = self._add(x_BSD, out_BSD, noise, "self")
    out_BSD = self.ffn(self.ffn_norm(x_BSD), noise)
    return self._add(x_BSD, out_BSD, noise, "ffn"), attn_BHSS


class DecoderLayer(nn.Module):
  """Self-attention, attention to the memory and feed-forward, each a residual branch."""

  config: ModelConfig
  self_heads: int
  cross_heads: int

  def setup(self):
    self.self_attention = Attention(self.config, self.self_heads, cross=False)
    self.cross_attention = Attention(self.config, self.cross_heads, cross=True)
    self.ffn = FeedForward(self.config)
    self.self_norm, self.cross_norm, self.ffn_norm = layer_norm(), layer_norm(), layer_norm()

  def _add(self, x, out, noise, name):
    return x + ops.dropout(out, self.config.residual_dropout, noise, self.path + (name,))

  def __call__(self, x_BTD, memory_BSD, self_mask_BTT, cross_mask_BTS, gates, noise=None):
    """`gates`: (self_gate_H, cross_gate_H). Returns (x_BTD, (self_attn_BHTT, cross_attn_BHTS))."""
    h_BTD = self.self_norm(x_BTD)
    out_BTD, self_attn = self.self_attention(h_BTD, h_BTD, self_mask_BTT, gates[0], noise)
    x_BTD = self._add(x_BTD, out_BTD, noise, "self")
    h_BTD = self.cross_norm(x_BTD)
    out_BTD, cross_attn = self.cross_attention(h_BTD, memory_BSD, cross_mask_BTS, gates[1], noise)
    x_BTD = self._add(x_BTD, out_BTD, noise, "cross")
    out_BTD = self.ffn(self.ffn_norm(x_BTD), noise)
    return self._add(x_BTD, out_BTD, noise, "ffn"), (self_attn, cross_attn)

  def step(self, x_BWD, cache, t, self_mask_BWM, cross_mask_BWS, gates):
    """One output position of all beams; the beams stand where queries stand in training.

    Args:
      x_BWD: input of this position.
      cache: {"self": (k_BHKM, v_BHMK) with M = T * W, "cross": (k_BHKS, v_BHSK)}; None for a part
        without heads.
      t: int32 scalar, the position.
      self_mask_BWM: which cached (position, beam) entries are a beam's own past.
      cross_mask_BWS: the source's real tokens.
      gates: (self_gate_H, cross_gate_H).
    Returns:
      (x_BWD, cache with position t written).
    """
    h_BWD = self.self_norm(x_BWD)
    if self.self_heads:
      q_BWHK, k_BWHK, v_BWHK = self.self_attention.project(h_BWD)
      past = _write(cache["self"], k_BWHK, v_BWHK, t)
      cache = {**cache, "self": past}
      out_BWD = self.self_attention.attend_cached(q_BWHK, *past, self_mask_BWM, gates[0])
    else:
      out_BWD, _ = self.self_attention.no_heads(h_BWD, 0)
    x_BWD = x_BWD + out_BWD
    h_BWD = self.cross_norm(x_BWD)
    if self.cross_heads:
      q_BWHK = self.cross_attention.query(h_BWD)
      out_BWD = self.cross_attention.attend_cached(
        q_BWHK, *cache["cross"], cross_mask_BWS, gates[1]
      )
    else:
      out_BWD, _ = self.cross_attention.no_heads(h_BWD, 0)
    x_BWD = x_BWD + out_BWD
    return x_BWD + self.ffn(self.ffn_norm(x_BWD)), cache


def _write(past, k_BWHK, v_BWHK, t):
  """Puts the keys and values of position t into the cache."""
  k_BHKM, v_BHMK = past
  k_BHKW, v_BHWK = k_BWHK.transpose(0, 2, 3, 1), v_BWHK.swapaxes(1, 2)
  m = t * k_BWHK.shape[1]
  return (
    jax.lax.dynamic_update_slice_in_dim(k_BHKM, k_BHKW.astype(k_BHKM.dtype), m, 3),
    jax.lax.dynamic_update_slice_in_dim(v_BHMK, v_BHWK.astype(v_BHMK.dtype), m, 2),
  )


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
