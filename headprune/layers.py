"""Sizes and layers of the Transformer: gated attention, feed-forward, residual branches."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from headprune import ops

PRECISIONS = ("bfloat16", "float32")


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
  precision: str = "float32"  # of matrix products' operands, in PRECISIONS; all else is float32

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
    # Heads before positions: the gradient of the two products then takes half the time on a CPU.
    q_BHQK = q_BQHK.swapaxes(1, 2) * self.config.head_size**-0.5
    k_BHMK, v_BHMK = k_BMHK.swapaxes(1, 2), v_BMHK.swapaxes(1, 2)
    score_BHQM = ops.product("BHQK,BHMK->BHQM", q_BHQK, k_BHMK, dtype)
    attn_BHQM = jax.nn.softmax(jnp.where(mask_BQM[:, None], score_BHQM, -1e9), axis=-1)
    dropped_BHQM = ops.dropout(attn_BHQM, self.config.attention_dropout, noise, self.path)
    context_BHQK = ops.product("BHQM,BHMK->BHQK", dropped_BHQM, v_BHMK, dtype)
    context_BHQK *= gate_H[None, : self.heads, None, None]
    context_BQHK = context_BHQK.swapaxes(1, 2)
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
