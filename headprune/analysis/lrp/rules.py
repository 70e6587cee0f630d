"""Rules of layer-wise relevance propagation through single operations.

The default is the rule of 2021, `alpha-beta`: its shares are never negative, so that a head's part
of its layer is a share. With the signed shares of 2019 relevances of thousands cancel each other: a
head's part has no bound, and float32 conserves the sum only to the rounding of such numbers.

Arrays are of one sentence. Relevance has a leading axis G, one entry per generation step: each is
propagated through the same activations. Biases take no relevance.

`z` below is how much an input adds to an output. Every rule is linear in the relevance:
r_in = sum over outputs of |z| d + z e, with coefficients d and e that depend on the output alone,
so that signed shares need no matrix larger than the forward pass has.
"""

from collections.abc import Callable
import dataclasses

import jax.numpy as jnp

DEFAULT = "alpha-beta"
EPS = 1e-5
ROUNDING = 1e-4  # a side (positive or negative) below this part of the whole is float32 rounding


@dataclasses.dataclass(frozen=True)
class Rule:
  """How relevance is shared out.

  Attributes:
    coefficients: (sum of |z|, sum of z, relevance) of outputs, of the same rank -> (d, e).
    attend: relevance of heads' contexts -> relevance of queries, keys and values.
    norm: (its input, its scale_D, its epsilon, relevance) -> relevance through a layer norm.
    conserve: (relevance before, relevance after, summed axes) -> relevance after, corrected.
  """

  coefficients: Callable
  attend: Callable
  norm: Callable
  conserve: Callable


def linear(rule: Rule, x_XI, kernel_IO, r_GXO):
  """Through a matrix: z = x W."""
  x_1XI = x_XI[None]
  size_1XO, total_1XO = jnp.abs(x_1XI) @ jnp.abs(kernel_IO), x_1XI @ kernel_IO
  d_GXO, e_GXO = rule.coefficients(size_1XO, total_1XO, r_GXO)
  r_GXI = jnp.abs(x_1XI) * (d_GXO @ jnp.abs(kernel_IO).T) + x_1XI * (e_GXO @ kernel_IO.T)
  return rule.conserve(r_GXO, r_GXI, (1, 2))


def add(rule: Rule, x_XD, y_XD, r_GXD):
  """Through x + y: (relevance of x, relevance of y)."""
  x_1XD, y_1XD = x_XD[None], y_XD[None]
  d_GXD, e_GXD = rule.coefficients(jnp.abs(x_1XD) + jnp.abs(y_1XD), x_1XD + y_1XD, r_GXD)
  parts = jnp.stack([jnp.abs(part) * d_GXD + part * e_GXD for part in (x_1XD, y_1XD)], axis=1)
  parts = rule.conserve(r_GXD[:, None], parts, (1, 2, 3))
  return parts[:, 0], parts[:, 1]


def _half_and_half(size, total, r):
  """alpha = beta = 0.5: half by the shares of positive parts, half by those of negative parts."""
  sides = (size + total) / 2, (size - total) / 2
  up, down = (jnp.where(side > ROUNDING * size, 0.5 * r / (side + EPS), 0.0) for side in sides)
  return (up + down) / 2, (up - down) / 2


def _rescaled(before, after, axes):
  """Keeps the sum of absolute values of each step (and head)."""
  target = jnp.sum(jnp.abs(before), axis=axes, keepdims=True)
  found = jnp.sum(jnp.abs(after), axis=axes, keepdims=True)
  return after * (target / jnp.where(found > 0, found, 1.0))


def _attend_jacobian(q_HQK, k_HMK, v_HMK, attn_HQM, r_GHQK):
  """Attention linearised at q, k and v: z = d context / d input * input."""
  context_HQK = attn_HQM @ v_HMK
  # d context_c / d score_m = attn_m (v_mc - context_c); the score is the product of q and k.
  slope_HQMK = attn_HQM[..., None] * (v_HMK[:, None] - context_HQK[:, :, None])
  score_HQMJ = q_HQK[:, :, None] * k_HMK[:, None] * q_HQK.shape[-1] ** -0.5
  query_HQKJ = jnp.einsum("HQMK,HQMJ->HQKJ", slope_HQMK, score_HQMJ)
  sizes = (
    attn_HQM @ jnp.abs(v_HMK),
    jnp.einsum("HQMK,HQM->HQK", jnp.abs(slope_HQMK), jnp.abs(score_HQMJ).sum(-1)),
    jnp.abs(query_HQKJ).sum(-1),
  )
  # Keys and queries enter the same product: both contribute its slope.
  total_HQK = context_HQK + 2 * query_HQKJ.sum(-1)
  d, e = _half_and_half(sum(sizes)[None], total_HQK[None], r_GHQK)
  sided = lambda z, spread: spread(jnp.abs(z), d) + spread(z, e)
  r_GHQJ = sided(query_HQKJ, lambda z, c: jnp.einsum("HQKJ,GHQK->GHQJ", z, c))
  values = lambda c: jnp.einsum("HQM,GHQK->GHMK", attn_HQM, c)
  r_v_GHMK = jnp.abs(v_HMK)[None] * values(d) + v_HMK[None] * values(e)
  r_k_GHMK = _keys(score_HQMJ, slope_HQMK, d, e)
  return _by_head(_rescaled, r_GHQK, r_GHQJ, r_k_GHMK, r_v_GHMK)


def _keys(score_HQMJ, slope_HQMK, d_GHQK, e_GHQK):
  """Relevance of the keys: z = slope * score, whose sign is the product of the two signs."""
  d_GHQM = jnp.einsum("HQMK,GHQK->GHQM", jnp.abs(slope_HQMK), d_GHQK)
  e_GHQM = jnp.einsum("HQMK,GHQK->GHQM", slope_HQMK, e_GHQK)
  sided = lambda z_HQMJ, c_GHQM: jnp.einsum("HQMJ,GHQM->GHMJ", z_HQMJ, c_GHQM)
  return sided(jnp.abs(score_HQMJ), d_GHQM) + sided(score_HQMJ, e_GHQM)


def _by_head(conserve, before, *parts):
  """Conserves the relevance of each head over its queries, keys and values."""
  joined = conserve(before, jnp.concatenate(parts, axis=2), (2, 3))
  cuts = [parts[0].shape[2], parts[0].shape[2] + parts[1].shape[2]]
  return tuple(jnp.split(joined, cuts, axis=2))


def _norm_jacobian(x_XD, scale_D, epsilon: float, r_GXD):
  """Layer norm linearised: its mean and variance depend on the input as well."""
  centred_XD = x_XD - x_XD.mean(-1, keepdims=True)
  inverse_X1 = (jnp.mean(centred_XD**2, axis=-1, keepdims=True) + epsilon) ** -0.5
  normed_XD = centred_XD * inverse_X1
  size = x_XD.shape[-1]
  outer_XDE = normed_XD[:, :, None] * normed_XD[:, None, :]
  slope_XDE = (jnp.eye(size)[None] - 1.0 / size - outer_XDE / size) * inverse_X1[..., None]
  z_XDE = slope_XDE * scale_D[None, :, None] * x_XD[:, None, :]
  d, e = _half_and_half(jnp.abs(z_XDE).sum(-1)[None], z_XDE.sum(-1)[None], r_GXD)
  spread = lambda z, c: jnp.einsum("XDE,GXD->GXE", z, c)
  return _rescaled(r_GXD, spread(jnp.abs(z_XDE), d) + spread(z_XDE, e), (1, 2))


def _proportional(size, total, r):
  """r z / sum of z, kept finite where the sum vanishes."""
  return jnp.zeros_like(r), _divide(r, total)


def _divide(r, total):
  """r / total, with the divisor pushed away from 0."""
  return r / jnp.where(total < 0, total - EPS, total + EPS)


def _refilled(before, after, axes):
  """Keeps the sum of each step (and head): what `_divide` lost goes where relevance went."""
  missing = jnp.sum(before, axis=axes, keepdims=True) - jnp.sum(after, axis=axes, keepdims=True)
  size = jnp.sum(jnp.abs(after), axis=axes, keepdims=True)
  return after + jnp.abs(after) * (missing / jnp.where(size > 0, size, 1.0))


def _attend_products(q_HQK, k_HMK, v_HMK, attn_HQM, r_GHQK):
  """Sums share by their terms, products u v by u and v themselves; softmax passes unchanged."""
  e_GHQK = _divide(r_GHQK, (attn_HQM @ v_HMK)[None])
  weight_HQM1, value_H1MK = attn_HQM[..., None], v_HMK[:, None]
  term_HQMK = weight_HQM1 * value_H1MK
  to_value_HQMK = term_HQMK * _divide(value_H1MK, weight_HQM1 + value_H1MK)
  to_weight_HQMK = term_HQMK - to_value_HQMK
  r_v_GHMK = jnp.einsum("HQMK,GHQK->GHMK", to_value_HQMK, e_GHQK)
  r_score_GHQM = jnp.einsum("HQMK,GHQK->GHQM", to_weight_HQMK, e_GHQK)
  product_HQMK = q_HQK[:, :, None] * k_HMK[:, None]
  e_GHQM = _divide(r_score_GHQM, product_HQMK.sum(-1)[None])
  to_key_HQMK = product_HQMK * _divide(k_HMK[:, None], q_HQK[:, :, None] + k_HMK[:, None])
  r_q_GHQK = jnp.einsum("HQMK,GHQM->GHQK", product_HQMK - to_key_HQMK, e_GHQM)
  r_k_GHMK = jnp.einsum("HQMK,GHQM->GHMK", to_key_HQMK, e_GHQM)
  return _by_head(_refilled, r_GHQK, r_q_GHQK, r_k_GHMK, r_v_GHMK)


def _norm_centred(x_XD, scale_D, epsilon: float, r_GXD):
  """Only the subtraction of the mean mixes neurons; the scales pass relevance unchanged."""
  del scale_D, epsilon
  e_GXD = _divide(r_GXD, (x_XD - x_XD.mean(-1, keepdims=True))[None])
  return _refilled(r_GXD, x_XD[None] * (e_GXD - e_GXD.mean(-1, keepdims=True)), (1, 2))


RULES = {
  # Voita, Sennrich and Titov 2021, section 3: shares are never negative.
  "alpha-beta": Rule(_half_and_half, _attend_jacobian, _norm_jacobian, _rescaled),
  # Voita et al. 2019, after Ding et al. 2017: shares are signed.
  "proportional": Rule(_proportional, _attend_products, _norm_centred, _refilled),
}
