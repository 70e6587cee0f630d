"""A wanted number of open heads: a penalty that grows until it is met, then exactly that many.

Heads form groups, each with its wanted number. A group's penalty is linear * (s - t) + quadratic *
(s - t)^2 / n: s is its sum of P(open), n its heads, and t falls from where training begins to the
wanted number. The parameters learn to lower it, its two multipliers to raise it (Xia et al. 2022,
"Structured Pruning Learns Compact and Accurate Models", section 3.2).
"""

import collections
from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import gates

SURE = 20.0  # a log_alpha whose gate is 1, that of -SURE 0, whatever the noise


@dataclasses.dataclass(frozen=True)
class TargetConfig:
  """What of a target is compiled in; hashable. The wanted numbers, wanted_G, are traced."""

  groups: tuple[tuple[str, tuple[int, ...]], ...]  # (attention type, number of each layer's group)
  ramp_steps: int  # over which the target falls
  settle_step: int  # from here on wanted_G gates are 1 and all others 0


def new_multipliers(config: TargetConfig) -> dict[str, jax.Array]:
  """No penalty yet: {"linear": [G], "quadratic": [G]}, in nats per head."""
  return {name: jnp.zeros(_count(config)) for name in ("linear", "quadratic")}


def group_sizes(groups, heads: Mapping) -> tuple[int, ...]:
  """How many heads each group has; at least 1, so that one may divide by it."""
  sizes = collections.Counter()
  for name, numbers in groups:
    for number, count in zip(numbers, heads[name]):
      sizes[number] += count
  return tuple(max(sizes[number], 1) for number in range(len(sizes)))


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
  log_alpha_M, member_GM = _members(config, log_alphas, heads)
  count_G = member_GM.sum(1)
  first_G = count_G * gates.p_open(0.0)
  done = jnp.clip(step / max(config.ramp_steps, 1), 0.0, 1.0)
  excess_G = member_GM @ gates.p_open(log_alpha_M) - (first_G + (wanted_G - first_G) * done)
  quadratic_G = multipliers["quadratic"] * excess_G**2 / np.maximum(count_G, 1)
  return jnp.sum(multipliers["linear"] * excess_G + quadratic_G)


def settle(config: TargetConfig, wanted_G, log_alphas: Mapping, heads: Mapping, step) -> dict:
  """From `settle_step` on, log_alphas that keep each group's wanted_G likeliest heads for sure.

  Args and shapes are those of `penalty`; what is settled stays as it is.
  """
  log_alpha_M, member_GM = _members(config, log_alphas, heads)
  same_MM = member_GM.T @ member_GM > 0
  earlier_MM = np.tril(np.ones(same_MM.shape, bool), -1)  # of equals the first ones are kept
  mine_MM, other_MM = log_alpha_M[:, None], log_alpha_M[None, :]
  ahead_MM = (other_MM > mine_MM) | ((other_MM == mine_MM) & earlier_MM)
  rank_M = jnp.sum(ahead_MM & same_MM, axis=1)
  settled_M = jnp.where(rank_M < wanted_G @ member_GM, SURE, -SURE)
  settled_M = jnp.where(step >= config.settle_step, settled_M, log_alpha_M)
  sizes = [log_alphas[name].size for name, _ in config.groups]
  pieces = jnp.split(settled_M, np.cumsum(sizes)[:-1])
  return {
    name: piece.reshape(log_alphas[name].shape) for (name, _), piece in zip(config.groups, pieces)
  }


def _count(config: TargetConfig) -> int:
  return 1 + max(max(numbers) for _, numbers in config.groups)


def _members(config: TargetConfig, log_alphas: Mapping, heads: Mapping):
  """All log_alphas in a row, and which of them belong to which group: (log_alpha_M, member_GM)."""
  numbers = []
  for name, group_N in config.groups:
    there_NH = gates.present(heads[name], log_alphas[name].shape[1]) > 0
    numbers.append(np.where(there_NH, np.array(group_N)[:, None], -1).ravel())
  number_M = np.concatenate(numbers)
  member_GM = (number_M == np.arange(_count(config))[:, None]).astype(np.float32)
  return jnp.concatenate([log_alphas[name].ravel() for name, _ in config.groups]), member_GM
