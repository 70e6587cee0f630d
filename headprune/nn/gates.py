"""Hard Concrete gates on attention heads (Louizos et al. 2018; Voita et al. 2019, section 3).

Pure functions on log_alpha, of any shape; `Gates` is the module that owns the parameters, one
[layers, heads] array per attention type. The constants are the original program's.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn.config import TYPES

TEMPERATURE = 0.33
LOW, HIGH = -0.1, 1.1  # the stretched interval
CLOSED = float(np.log(-LOW / HIGH))  # -ln 11, the highest log_alpha whose test-time gate is 0
EPS = 1e-6
_EDGE = float(np.log(1.0 / EPS - 1.0))
# At these log_alphas and beyond P(open) is clipped: no penalty moves them.
STUCK = TEMPERATURE * CLOSED - _EDGE, TEMPERATURE * CLOSED + _EDGE


def from_uniform(u, log_alpha):
  """The training-time gate for a uniform number `u` in (0, 1): stretched, clipped concrete."""
  logit = (jnp.log(u) - jnp.log1p(-u) + log_alpha) / TEMPERATURE
  return jnp.clip(jax.nn.sigmoid(logit) * (HIGH - LOW) + LOW, 0.0, 1.0)


def expected(log_alpha):
  """The test-time gate, without temperature: 0 iff log_alpha <= -ln 11, 1 iff >= ln 11."""
  return jnp.clip(jax.nn.sigmoid(log_alpha) * (HIGH - LOW) + LOW, 0.0, 1.0)


def p_open(log_alpha):
  """P(gate > 0), the differentiable count of open heads: the L0 term."""
  return jnp.clip(jax.nn.sigmoid(log_alpha - TEMPERATURE * CLOSED), EPS, 1.0 - EPS)


def draw_uniforms(key, log_alphas: dict) -> dict:
  """The noise of one step: attention type -> u_NH in (0, 1), shared by the whole batch."""
  keys = jax.random.split(key, len(TYPES))
  return {
    name: jax.random.uniform(keys[TYPES.index(name)], a_NH.shape, minval=EPS, maxval=1.0 - EPS)
    for name, a_NH in log_alphas.items()
  }


def train_gates(fixed_gates: dict, log_alphas: dict, uniforms: dict) -> dict:
  """Training-time gates of all types: Hard Concrete where there is a log_alpha, else fixed."""
  return fixed_gates | {
    name: from_uniform(uniforms[name], a_NH) for name, a_NH in log_alphas.items()
  }


def eval_gates(fixed_gates: dict, log_alphas: dict) -> dict:
  """Test-time gates of all types: the expected gate where there is a log_alpha, else fixed.

  Heads that a layer lacks are zero in `fixed_gates` and stay zero.
  """
  return fixed_gates | {
    name: expected(a_NH) * (fixed_gates[name] > 0) for name, a_NH in log_alphas.items()
  }


def penalty(log_alphas: dict, heads: dict) -> jax.Array:
  """Mean over gated attention modules of the sum of P(open) over the module's heads.

  Args:
    log_alphas: type -> log_alpha_NH.
    heads: type -> heads of each layer; columns past a layer's heads do not count.
  Returns:
    float32 scalar; coef times this is the loss's L0 term, so that the paper's lambda, which
    multiplies a plain sum over heads, is coef / number of gated modules.
  """
  total = jnp.float32(0.0)
  for name, log_alpha_NH in log_alphas.items():
    total += jnp.sum(p_open(log_alpha_NH) * present(heads[name], log_alpha_NH.shape[1]))
  return total / max(num_modules(log_alphas, heads), 1)


def num_modules(types, heads: dict) -> int:
  """How many attention modules carry gates: those of `types` that have heads."""
  return sum(count > 0 for name in types for count in heads[name])


def present(heads: tuple[int, ...], width: int) -> np.ndarray:
  """1.0 where layer n has a head h, as [N, width] float32."""
  return (np.arange(width)[None, :] < np.array(heads)[:, None]).astype(np.float32)


def open_heads(gate_NH, heads: tuple[int, ...]) -> np.ndarray:
  """Which heads exist and have a gate above 0: bool [N, H]."""
  return (np.asarray(gate_NH) > 0) & (present(heads, np.shape(gate_NH)[1]) > 0)


def initializer(init: str):
  """How log_alpha_NH starts: 'glorot' (uniform in +-sqrt(3 / H)) or a number for all gates."""
  if init == "glorot":
    return lambda key, shape: (
      jax.random.uniform(key, shape, minval=-1.0, maxval=1.0) * np.sqrt(3.0 / shape[1])
    )
  return nn.initializers.constant(float(init))


class Gates(nn.Module):
  """Gate logits: one log_alpha_NH parameter per gated attention type."""

  shapes: tuple[tuple[str, tuple[int, int]], ...]  # (attention type, (N, H))
  init_log_alpha: str

  @nn.compact
  def __call__(self) -> dict:
    """Returns type -> log_alpha_NH."""
    init = initializer(self.init_log_alpha)
    return {name: self.param(name, init, shape) for name, shape in self.shapes}
