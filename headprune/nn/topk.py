"""The best K of each group of heads, exactly or relaxed: Gumbel top-K (Li et al. 2021).

Li, Cotterell and Sachan, "Differentiable Subset Pruning of Transformer Heads", relax it by K
softmaxes one after the other (Xie and Ermon 2019), which may take a head again: gates above 1. Here
it is the projection of Amos et al. 2019 ("The Limited Multi-Label Projection Layer"): sigmoids
around the one threshold at which they sum to K. It has the same limit, gates are in [0, 1] at any
temperature, and the cost does not depend on K, which may be traced.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import gates

SURE = 20.0  # a log_alpha whose gate is 1, that of -SURE 0, whatever the noise
_BISECTIONS = 40  # 24 bits of a float32, with room for scores that are far apart


def relaxed(score_M, member_GM, wanted_G, temperature) -> jax.Array:
  """Gates in [0, 1] that sum to wanted_G in each group; cold, the highest scores have all.

  Args:
    score_M: a head's score, in the unit of log_alpha.
    member_GM: 1 where head m is in group g, else 0; a head is in one group, or has gate 0.
    wanted_G: heads to keep of each group; may be traced.
    temperature: above 0, in the unit of the scores.
  Returns:
    gate_M = sigmoid(score_M / temperature - threshold of its group).
  """
  x_1M = score_M[None, :] / temperature
  still_1M = jax.lax.stop_gradient(x_1M)
  threshold_G1 = _threshold(still_1M, member_GM, wanted_G)
  # Sums stay: the threshold follows each score by its share of the sigmoids' slopes.
  away_GM = still_1M - threshold_G1
  slope_GM = jax.nn.log_sigmoid(away_GM) + jax.nn.log_sigmoid(-away_GM)
  share_GM = jax.nn.softmax(slope_GM, where=member_GM > 0)
  threshold_G1 += jnp.sum(share_GM * (x_1M - still_1M), axis=1, keepdims=True)
  return jnp.sum(member_GM * jax.nn.sigmoid(x_1M - threshold_G1), axis=0)


def _threshold(x_1M, member_GM, wanted_G) -> jax.Array:
  """threshold_G1 with sum of sigmoid(x - threshold) = wanted, by bisection."""

  def halve(_, ends):
    low_G1, high_G1 = ends
    middle_G1 = (low_G1 + high_G1) / 2
    sum_G1 = jnp.sum(member_GM * jax.nn.sigmoid(x_1M - middle_G1), axis=1, keepdims=True)
    more_G1 = sum_G1 > wanted_G[:, None]
    return jnp.where(more_G1, middle_G1, low_G1), jnp.where(more_G1, high_G1, middle_G1)

  zero_G1 = jnp.zeros_like(wanted_G)[:, None]
  ends = zero_G1 + jnp.min(x_1M) - SURE, zero_G1 + jnp.max(x_1M) + SURE  # all are 1, all are 0
  low_G1, high_G1 = jax.lax.fori_loop(0, _BISECTIONS, halve, ends)
  return (low_G1 + high_G1) / 2


def train_gates(groups, wanted_G, log_alphas: Mapping, uniforms: Mapping, heads, temperature):
  """Training-time gates: the relaxed best of each group by log_alpha and Gumbel noise.

  Args:
    groups: for each attention type (its name, the group of each of its layers).
    wanted_G: heads to keep of each group.
    log_alphas: type -> log_alpha_NH.
    uniforms: from `gates.draw_uniforms`.
    heads: type -> heads of each layer.
    temperature: see `relaxed`.
  Returns:
    type -> gate_NH.
  """
  noisy = {name: a_NH - jnp.log(-jnp.log(uniforms[name])) for name, a_NH in log_alphas.items()}
  score_M, member_GM = members(groups, noisy, heads)
  return _by_type(groups, relaxed(score_M, member_GM, wanted_G, temperature), log_alphas)


def best(groups, wanted_G, log_alphas: Mapping, heads: Mapping) -> dict:
  """log_alphas that keep each group's wanted_G likeliest heads for sure, and no other.

  Args and shapes are those of `train_gates`; the best stay as they are.
  """
  log_alpha_M, member_GM = members(groups, log_alphas, heads)
  same_MM = member_GM.T @ member_GM > 0
  earlier_MM = np.tril(np.ones(same_MM.shape, bool), -1)  # of equals the first ones are kept
  mine_MM, other_MM = log_alpha_M[:, None], log_alpha_M[None, :]
  ahead_MM = (other_MM > mine_MM) | ((other_MM == mine_MM) & earlier_MM)
  rank_M = jnp.sum(ahead_MM & same_MM, axis=1)
  return _by_type(groups, jnp.where(rank_M < wanted_G @ member_GM, SURE, -SURE), log_alphas)


def members(groups, log_alphas: Mapping, heads: Mapping):
  """All log_alphas in a row, and which of them belong to which group: (log_alpha_M, member_GM)."""
  numbers = []
  for name, group_N in groups:
    there_NH = gates.present(heads[name], log_alphas[name].shape[1]) > 0
    numbers.append(np.where(there_NH, np.array(group_N)[:, None], -1).ravel())
  number_M = np.concatenate(numbers)
  member_GM = (number_M == np.arange(count(groups))[:, None]).astype(np.float32)
  return jnp.concatenate([log_alphas[name].ravel() for name, _ in groups]), member_GM


def count(groups) -> int:
  """How many groups there are."""
  return 1 + max(max(numbers) for _, numbers in groups)


def _by_type(groups, value_M, like: Mapping) -> dict:
  """A row of values as type -> value_NH, in the shapes of `like`."""
  ends = np.cumsum([like[name].size for name, _ in groups])[:-1]
  pieces = jnp.split(value_M, ends)
  return {name: piece.reshape(like[name].shape) for (name, _), piece in zip(groups, pieces)}
