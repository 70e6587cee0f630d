"""A wanted number of open heads: a penalty that grows until it is met, then exactly that many.

Heads form groups, each with its wanted number. A group's penalty is linear * (s - t) + quadratic *
(s - t)^2 / n: s is its sum of P(open), n its heads, and t falls from where training begins to the
wanted number. The parameters learn to lower it, its two multipliers to raise it (Xia et al. 2022,
"Structured Pruning Learns Compact and Accurate Models", section 3.2).

With temperatures there is no penalty: a step's gates are a relaxed top-K of their groups (nn/topk),
ever closer to a hard one.
"""

import collections
from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import gates, topk


@dataclasses.dataclass(frozen=True)
class TargetConfig:
  """What of a target is compiled in; hashable. The wanted numbers, wanted_G, are traced."""

  groups: tuple[tuple[str, tuple[int, ...]], ...]  # (attention type, number of each layer's group)
  ramp_steps: int  # over which the target falls
  settle_step: int  # from here on wanted_G gates are 1 and all others 0
  temperatures: tuple[float, float] | None = None  # of a top-K without penalty, first and last
  start: float = 0.0  # of log_alphas


def new_multipliers(config: TargetConfig) -> dict[str, jax.Array]:
  """No penalty yet: {"linear": [G], "quadratic": [G]}, in nats per head."""
  return {name: jnp.zeros(topk.count(config.groups)) for name in ("linear", "quadratic")}


def group_sizes(groups, heads: Mapping) -> tuple[int, ...]:
  """How many heads each group has."""
  sizes = collections.Counter()
  for name, numbers in groups:
    for number, count in zip(numbers, heads[name]):
      sizes[number] += count
  return tuple(sizes[number] for number in range(len(sizes)))


def aim(config: TargetConfig, wanted_G, count_G, step) -> jax.Array:
  """t at a step: how many open heads of each group are aimed at, of count_G that there are.

  It falls by the cube of what is left of the ramp (Zhu and Gupta 2017, "To Prune, or Not to Prune",
  equation 1): fast where there are many heads, slowly where the last ones compete.
  """
  first_G = count_G * gates.p_open(config.start)
  left = 1.0 - jnp.clip(step / max(config.ramp_steps, 1), 0.0, 1.0)
  return wanted_G + (first_G - wanted_G) * left**3


def penalty(
  config: TargetConfig, wanted_G, multipliers: Mapping, log_alphas: Mapping, heads: Mapping, step
) -> jax.Array:
  """What too many or too few open heads cost at a step, in nats.

  Args:
    config: see TargetConfig.
    wanted_G: heads to keep of each group.
    multipliers: from `new_multipliers`, or learned since.
    log_alphas: type -> log_alpha_NH.
    heads: type -> heads of each layer.
    step: steps taken.
  """
  log_alpha_M, member_GM = topk.members(config.groups, log_alphas, heads)
  count_G = member_GM.sum(1)
  excess_G = member_GM @ gates.p_open(log_alpha_M) - aim(config, wanted_G, count_G, step)
  quadratic_G = multipliers["quadratic"] * excess_G**2 / np.maximum(count_G, 1)
  return jnp.sum(multipliers["linear"] * excess_G + quadratic_G)


def settle(config: TargetConfig, wanted_G, log_alphas: Mapping, heads: Mapping, step) -> dict:
  """From `settle_step` on, log_alphas that keep each group's wanted_G likeliest heads for sure.

  Args and shapes are those of `penalty`; what is settled stays as it is.
  """
  best = topk.best(config.groups, wanted_G, log_alphas, heads)
  return jax.tree.map(lambda b, a: jnp.where(step >= config.settle_step, b, a), best, log_alphas)


def train_gates(
  config: TargetConfig, wanted_G, log_alphas: Mapping, uniforms: Mapping, heads: Mapping, step
) -> dict:
  """Training-time gates of a top-K, which `settle` makes hard: type -> gate_NH.

  Args and shapes are those of `penalty`; uniforms are from `gates.draw_uniforms`.
  """
  first, last = config.temperatures
  done = jnp.clip(step / max(config.settle_step, 1), 0.0, 1.0)
  temperature = first * (last / first) ** done
  soft = topk.train_gates(config.groups, wanted_G, log_alphas, uniforms, heads, temperature)
  hard = jax.tree.map(gates.from_uniform, dict(uniforms), dict(log_alphas))
  return jax.tree.map(lambda h, s: jnp.where(step >= config.settle_step, h, s), hard, soft)
