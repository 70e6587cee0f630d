"""Numerical pieces under the model: products, counter-based dropout, positions, activations."""

import functools
import zlib

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def product(equation: str, x, w, dtype):
  """`einsum(equation, x, w)` with operands in `dtype` and the sum in float32.

  Plain autodiff would multiply the float32 cotangent with a bfloat16 operand, which falls back to a
  slow float32 product on CPUs; here the cotangent is cast as well, so forward and backward run on
  the matrix units.

  Args:
    equation: two operands; each index stands in at least two of the three terms.
    x: first operand, any float type.
    w: second operand, any float type.
    dtype: 'bfloat16' or 'float32'.
  Returns:
    float32 array.
  """
  return jnp.einsum(
    equation,
    x.astype(dtype),
    w.astype(dtype),
    precision="highest" if dtype == "float32" else None,  # accelerators else take fewer bits
    preferred_element_type=jnp.float32,
  )


def _product_fwd(equation, x, w, dtype):
  x, w = x.astype(dtype), w.astype(dtype)
  return product(equation, x, w, dtype), (x, w)


def _product_bwd(equation, dtype, operands, cotangent):
  x, w = operands
  terms, out = equation.split("->")
  x_term, w_term = terms.split(",")
  dx = product(f"{out},{w_term}->{x_term}", cotangent, w, dtype)
  return dx, _summed_over_rows((x_term, x), (out, cotangent), w_term, dtype)


def _summed_over_rows(one, other, result: str, dtype):
  """The product of two large operands that sums over their common rows, with the smaller one first.

  XLA's products on CPUs copy a first operand whose rows are summed over into another order; of what
  feed-forward and output layers hold that takes as long as the product, or longer. The barrier
  keeps XLA from exchanging the operands again.

  Args:
    one, other: (term, array) each.
    result: the term of what is returned; its indices stand in `one`, `other` or both.
    dtype: see `product`.
  """
  (first, x), (second, y) = sorted((one, other), key=lambda operand: operand[1].size)
  shared = [i for i in result if i in first and i in second]
  own = [i for term in (first, second) for i in term if i in result and i not in shared]
  natural = "".join(shared + own)
  sum_ = product(f"{first},{second}->{natural}", x, y, dtype)
  if natural == result:
    return sum_
  return jnp.einsum(f"{natural}->{result}", jax.lax.optimization_barrier(sum_))


product.defvjp(_product_fwd, _product_bwd)


@struct.dataclass
class Noise:
  """What dropout masks are a function of: the step's key and each row's number in the whole batch.

  A mask depends on nothing else, neither on the device nor on the micro-batch that holds the row.
  """

  bits: jax.Array  # uint32 scalar, drawn from the step's key
  row_B: jax.Array  # int32, row numbers in the whole batch


def _mix(x):
  """A bijective integer hash of uint32 (multiply, xor-shift), as strong as dropout needs."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
  return x ^ (x >> 16)


def dropout(x, rate: float, noise: Noise | None, path: tuple[str, ...]):
  """Zeroes entries of `x` with probability `rate` and scales the rest by 1 / (1 - rate).

  The random bits are an integer hash of (key, path, row, position): on a CPU about 30 times faster
  than a generator's bits.

  Args:
    x: [B, ...].
    rate: probability of a zero.
    noise: None outside training: `x` is returned as it is.
    path: name of the place, so that no two places share a mask.
  """
  if noise is None or rate == 0.0:
    return x
  site = jnp.uint32(zlib.crc32("/".join(path).encode()))
  seed_B = _mix(_mix(noise.bits ^ site) ^ noise.row_B.astype(jnp.uint32))
  counter = jnp.zeros((1,) + x.shape[1:], jnp.uint32)
  stride = 1
  for axis in range(x.ndim - 1, 0, -1):
    counter += jax.lax.broadcasted_iota(jnp.uint32, counter.shape, axis) * jnp.uint32(stride)
    stride *= x.shape[axis]
  bits = _mix(counter * jnp.uint32(0x9E3779B1) ^ seed_B.reshape((-1,) + (1,) * (x.ndim - 1)))
  keep = bits >= jnp.uint32(round(rate * 2**32))
  return jnp.where(keep, x * (1.0 / (1.0 - rate)), 0.0)


def positions(length: int, model_size: int, kind: str) -> np.ndarray:
  """The sinusoidal signal [length, D]: sines in the first half of the channels, then cosines.

  Frequency j is 10000^(-j / d) with d = D/2 - 1 ("tensor2tensor", the original program) or D/2
  ("huggingface").
  """
  half = model_size // 2
  steps = {"tensor2tensor": half - 1, "huggingface": half}[kind]
  frequency = np.exp(-np.arange(half) * np.log(1e4) / steps)
  angle = np.arange(length)[:, None] * frequency[None, :]
  return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def activate(x, kind: str):
  """The feed-forward layers' non-linearity: "relu", "silu" (swish) or "gelu" (exact)."""
  if kind == "gelu":
    return jax.nn.gelu(x, approximate=False)
  return {"relu": jax.nn.relu, "silu": jax.nn.silu}[kind](x)
