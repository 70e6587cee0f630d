"""The layers: gated attention, feed-forward, and the residual branch that both stand in.

Training, decoding with a cache and relevance propagation run the same lines. What relevance flows
through is sown into the collection KEPT, which costs nothing unless somebody asks for it.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import ops
from headprune.nn.config import ModelConfig

KEPT = "kept"


def glorot(fan_in: int, fan_out: int):
  """Uniform in +-sqrt(6 / (fan_in + fan_out)), for kernels that stand for one flat matrix."""
  limit = np.sqrt(6.0 / (fan_in + fan_out))
  return lambda key, shape: jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def layer_norm(config: ModelConfig) -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=config.norm_epsilon, use_fast_variance=False)


class MultiHeadAttention(nn.Module):
  """Attention with one gate per head; projections of all heads are one matrix.

  Keys lie as k_BHKM and values as v_BHMK, as the two products read them fastest. A layer that lost
  all its heads computes its output bias.
  """

  config: ModelConfig
  heads: int
  head_size: int
  cross: bool  # queries of the target, keys and values of the memory

  def setup(self):
    size, heads, depth = self.config.model_size, self.heads, self.head_size
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

  def _fused(self, x_BQD):
    """q, k and v of self-attention, k and v of cross-attention; [B, Q, H, K] each."""
    fused = ops.product("BQD,DCHK->BQCHK", x_BQD, self.fused_kernel, self.config.precision)
    fused += self.fused_bias[None, None]
    return tuple(fused[:, :, c] for c in range(fused.shape[2]))

  def project(self, x_BQD):
    """Self-attention's (q_BHQK, (k_BHKM, v_BHMK)); None without heads."""
    if not self.heads:
      return None, None
    q_BQHK, k_BMHK, v_BMHK = self._fused(x_BQD)
    return q_BQHK.swapaxes(1, 2), _keys_and_values(k_BMHK, v_BMHK)

  def query(self, x_BQD):
    """Cross-attention's q_BHQK; None without heads."""
    if not self.heads:
      return None
    q_BQHK = ops.product("BQD,DHK->BQHK", x_BQD, self.q_kernel, self.config.precision)
    return (q_BQHK + self.q_bias[None, None]).swapaxes(1, 2)

  def read(self, memory_BMD):
    """Cross-attention's (k_BHKM, v_BHMK); None without heads."""
    return _keys_and_values(*self._fused(memory_BMD)) if self.heads else None

  def attend(self, q_BHQK, memory, mask_BQM, gate_H, noise=None):
    """Softmax attention; the gate multiplies a head's context before the output projection.

    Args:
      q_BHQK: queries, None without heads.
      memory: (k_BHKM, v_BHMK), None without heads.
      mask_BQM: which tokens may be looked at.
      gate_H: this layer's gates.
      noise: dropout noise, None outside training.
    Returns:
      (out_BQD, attn_BHQM); the weights are those before dropout.
    """
    if not self.heads:
      batch, queries, memories = mask_BQM.shape
      out_BQD = jnp.broadcast_to(self.out_bias, (batch, queries, self.config.model_size))
      return out_BQD, jnp.zeros((batch, 0, queries, memories))
    k_BHKM, v_BHMK = memory
    dtype = self.config.attention_precision
    score_BHQM = ops.product("BHQK,BHKM->BHQM", q_BHQK * self.head_size**-0.5, k_BHKM, dtype)
    attn_BHQM = jax.nn.softmax(jnp.where(mask_BQM[:, None], score_BHQM, -1e9), axis=-1)
    dropped_BHQM = ops.dropout(attn_BHQM, self.config.attention_dropout, noise, self.path)
    context_BHQK = ops.product("BHQM,BHMK->BHQK", dropped_BHQM, v_BHMK, dtype)
    context_BHQK *= gate_H[None, : self.heads, None, None]
    context_BQHK = context_BHQK.swapaxes(1, 2)
    out_BQD = ops.product("BQHK,HKD->BQD", context_BQHK, self.out_kernel, self.config.precision)
    keep(self, q_BHQK=q_BHQK, k_BHKM=k_BHKM, v_BHMK=v_BHMK, attn_BHQM=attn_BHQM)
    keep(self, context_BQHK=context_BQHK, out_BQD=out_BQD)
    return out_BQD + self.out_bias[None, None], attn_BHQM


def _keys_and_values(k_BMHK, v_BMHK):
  return k_BMHK.transpose(0, 2, 3, 1), v_BMHK.swapaxes(1, 2)


class FeedForward(nn.Module):
  """activation(x W1 + b1), dropout, W2 + b2."""

  config: ModelConfig
  hidden: int

  @nn.compact
  def __call__(self, x_BQD, noise=None):
    size, hidden = self.config.model_size, self.hidden
    zeros, precision = nn.initializers.zeros, self.config.precision
    in_kernel = self.param("in_kernel", glorot(size, hidden), (size, hidden))
    in_bias = self.param("in_bias", zeros, (hidden,))
    out_kernel = self.param("out_kernel", glorot(hidden, size), (hidden, size))
    out_bias = self.param("out_bias", zeros, (size,))
    in_BQF = ops.product("BQD,DF->BQF", x_BQD, in_kernel, precision) + in_bias[None, None]
    h_BQF = ops.activate(in_BQF, self.config.activation)
    site = self.path + ("hidden",)  # the residual branch around it has its path
    h_BQF = ops.dropout(h_BQF, self.config.activation_dropout, noise, site)
    out_BQD = ops.product("BQF,FD->BQD", h_BQF, out_kernel, precision)
    keep(self, h_BQF=h_BQF, out_BQD=out_BQD)
    return out_BQD + out_bias[None, None]


class EncoderLayer(nn.Module):
  """Self-attention and feed-forward, each a residual branch."""

  config: ModelConfig
  heads: int

  def setup(self):
    c = self.config
    self.self_attention = MultiHeadAttention(c, self.heads, c.enc_head_size, cross=False)
    self.ffn = FeedForward(c, c.enc_ff_size)
    self.self_norm, self.ffn_norm = layer_norm(c), layer_norm(c)

  def __call__(self, x_BSD, mask_BSS, gate_H, noise=None):
    """Returns (x_BSD, attn_BHSS)."""

    def attend(h_BSD):
      return self.self_attention.attend(
        *self.self_attention.project(h_BSD), mask_BSS, gate_H, noise
      )

    x_BSD, attn_BHSS = residual(self, "self", x_BSD, attend, noise)
    x_BSD, _ = residual(self, "ffn", x_BSD, lambda h_BSD: (self.ffn(h_BSD, noise), None), noise)
    return x_BSD, attn_BHSS


class DecoderLayer(nn.Module):
  """Self-attention, attention to the source and feed-forward, each a residual branch."""

  config: ModelConfig
  self_heads: int
  cross_heads: int

  def setup(self):
    c = self.config
    self.self_attention = MultiHeadAttention(c, self.self_heads, c.dec_head_size, cross=False)
    self.cross_attention = MultiHeadAttention(c, self.cross_heads, c.dec_head_size, cross=True)
    self.ffn = FeedForward(c, c.dec_ff_size)
    self.self_norm, self.cross_norm, self.ffn_norm = layer_norm(c), layer_norm(c), layer_norm(c)

  def __call__(
    self,
    x_BTD,
    source,
    self_mask_BTM,
    cross_mask_BTS,
    layer_gates,
    noise=None,
    past=None,
    entry_BW=None,
  ):
    """A known target, or with `past` one position of it, beams standing where positions stand.

    Args:
      x_BTD: the layer's input.
      source: (k_BHKS, v_BHSK) from `cross_attention.read`.
      self_mask_BTM: which target positions may be looked at: M = T, or the cache's entries.
      cross_mask_BTS: the source's real tokens.
      layer_gates: (self_gate_H, cross_gate_H).
      noise: dropout noise, None outside training.
      past: None, or the cached (k_BHKM, v_BHMK).
      entry_BW: with `past`, which of M takes each beam's position, int32.
    Returns:
      (x_BTD, self_attn_BHTM, cross_attn_BHTS, keys and values of self-attention: `past` with this
      position written, if it was given).
    """

    def attend_self(h_BTD):
      q_BHTK, own = self.self_attention.project(h_BTD)
      memory = own if past is None else _write(past, own, entry_BW)
      out_BTD, attn_BHTM = self.self_attention.attend(
        q_BHTK, memory, self_mask_BTM, layer_gates[0], noise
      )
      return out_BTD, (attn_BHTM, memory)

    def attend_source(h_BTD):
      q_BHTK = self.cross_attention.query(h_BTD)
      return self.cross_attention.attend(q_BHTK, source, cross_mask_BTS, layer_gates[1], noise)

    x_BTD, (self_attn, keys_and_values) = residual(self, "self", x_BTD, attend_self, noise)
    x_BTD, cross_attn = residual(self, "cross", x_BTD, attend_source, noise)
    x_BTD, _ = residual(self, "ffn", x_BTD, lambda h_BTD: (self.ffn(h_BTD, noise), None), noise)
    return x_BTD, self_attn, cross_attn, keys_and_values


def residual(layer: nn.Module, name: str, x_BQD, branch: Callable, noise):
  """One branch f: x + f(LN(x)), or LN(x + f(x)) where the config says "post" (Xiong et al. 2020).

  Args:
    layer: owns the norm, `{name}_norm`.
    name: "self", "cross" or "ffn".
    x_BQD: what the branch is added to.
    branch: h_BQD -> (out_BQD, whatever else the caller wants to have).
    noise: dropout noise, None outside training.
  Returns:
    (x_BQD, the branch's second result).
  """
  norm, pre = getattr(layer, f"{name}_norm"), layer.config.norm == "pre"
  h_BQD = norm(x_BQD) if pre else x_BQD
  out_BQD, other = branch(h_BQD)
  site = layer.path + (name,)
  sum_BQD = x_BQD + ops.dropout(out_BQD, layer.config.residual_dropout, noise, site)
  keep(layer, **{f"{name}_x_BQD": x_BQD, f"{name}_h_BQD": h_BQD, f"{name}_sum_BQD": sum_BQD})
  return (sum_BQD if pre else norm(sum_BQD)), other


def keep(module: nn.Module, **arrays) -> None:
  """Sows activations under their names, for those who ask for the collection."""
  for name, array in arrays.items():
    module.sow(KEPT, name, array, reduce_fn=lambda _, new: new, init_fn=lambda: None)


def _write(past, new, entry_BW):
  """Puts keys and values, one for each beam W, into the cache, each into an entry of its own."""
  (k_BHKM, v_BHMK), (k_BHKW, v_BHWK) = past, new
  row_B1 = jnp.arange(len(entry_BW))[:, None]
  k_BWHK = jnp.moveaxis(k_BHKW, 3, 1).astype(k_BHKM.dtype)
  v_BWHK = jnp.moveaxis(v_BHWK, 2, 1).astype(v_BHMK.dtype)
  return (
    k_BHKM.at[row_B1, :, :, entry_BW].set(k_BWHK, unique_indices=True),
    v_BHMK.at[row_B1, :, entry_BW].set(v_BWHK, unique_indices=True),
  )
