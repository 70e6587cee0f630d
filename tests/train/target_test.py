"""A wanted number of heads: its penalty by hand, exactly so many settled, and it is reached;
a top-K has as many at any step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import gates, topk
from headprune.train import target

HEADS = {"enc_self": (2, 3), "dec_enc": (0, 3)}  # the first layer of dec_enc has none
LOG_ALPHAS = {
  "enc_self": np.float32([[1.0, -1.0, 9.0], [0.5, 3.0, 0.5]]),  # 9 is of no head
  "dec_enc": np.float32([[9.0, 9.0, 9.0], [-2.0, 0.0, 2.0]]),
}
BY_TYPE = target.TargetConfig((("enc_self", (0, 0)), ("dec_enc", (1, 1))), 10, 20)
BY_LAYER = target.TargetConfig((("enc_self", (0, 1)), ("dec_enc", (2, 3))), 10, 20)
ALL = target.TargetConfig((("enc_self", (0, 0)), ("dec_enc", (0, 0))), 10, 20)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("start", [0.0, 2.0])
@pytest.mark.parametrize("step", [0, 5, 10, 15])
def test_penalty_by_hand(step, start):
  shift = 0.33 * np.log(0.1 / 1.1)
  multipliers = {"linear": np.float32([0.5, -2.0]), "quadratic": np.float32([0.25, 3.0])}
  want = 0.0
  for values, count, wanted, linear, quadratic in (
    ([1.0, -1.0, 0.5, 3.0, 0.5], 5, 2, 0.5, 0.25), ([-2.0, 0.0, 2.0], 3, 1, -2.0, 3.0)
  ):  # fmt: skip
    first = count * sigmoid(start - shift)  # as if all log_alphas were there
    aim = wanted + (first - wanted) * {0: 1, 5: 1 / 8, 10: 0, 15: 0}[step]
    excess = sum(sigmoid(a - shift) for a in values) - aim
    want += linear * excess + quadratic * excess**2 / count
  config = dataclasses.replace(BY_TYPE, start=start)
  got = target.penalty(config, jnp.float32([2, 1]), multipliers, LOG_ALPHAS, HEADS, step)
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
  "config, wanted, enc_self, dec_enc",
  [
    (ALL, [3], [[1, 0], [0, 1, 0]], [0, 0, 1]),
    (ALL, [4], [[1, 0], [1, 1, 0]], [0, 0, 1]),  # of two equal ones the first
    (ALL, [0], [[0, 0], [0, 0, 0]], [0, 0, 0]),
    (ALL, [8], [[1, 1], [1, 1, 1]], [1, 1, 1]),
    (BY_TYPE, [1, 2], [[0, 0], [0, 1, 0]], [0, 1, 1]),
    (BY_LAYER, [1, 2, 0, 1], [[1, 0], [1, 1, 0]], [0, 0, 1]),
  ],
)
def test_the_likeliest_heads_of_each_group_are_settled(config, wanted, enc_self, dec_enc):
  settled = target.settle(config, jnp.float32(wanted), LOG_ALPHAS, HEADS, 20)
  signs = {name: np.sign(x) for name, x in settled.items()}
  assert [signs["enc_self"][0, :2].tolist(), signs["enc_self"][1].tolist()] == [
    [2 * x - 1 for x in row] for row in enc_self
  ]
  assert signs["dec_enc"][1].tolist() == [2 * x - 1 for x in dec_enc]
  again = target.settle(config, jnp.float32(wanted), settled, HEADS, 21)
  jax.tree.map(np.testing.assert_array_equal, again, settled)


def test_layers_without_heads_are_groups_of_no_weight():
  heads = {"enc_self": (0, 3), "dec_enc": (0, 0)}
  assert target.group_sizes(BY_LAYER.groups, heads) == (0, 3, 0, 0)
  assert target.group_sizes(ALL.groups, HEADS) == (8,)
  multipliers = {name: jnp.ones(4) for name in ("linear", "quadratic")}
  args = multipliers, LOG_ALPHAS, heads, 20
  up, down = jax.grad(lambda m, a: target.penalty(BY_LAYER, jnp.zeros(4), m, a, *args[2:]), (0, 1))(
    *args[:2]
  )
  assert [up["linear"][group] for group in (0, 2, 3)] == [0.0] * 3 and up["linear"][1] > 1
  assert not np.any(down["dec_enc"]) and np.all(np.isfinite(down["enc_self"]))


def test_nothing_is_settled_before_its_step():
  same = target.settle(ALL, jnp.float32([3]), LOG_ALPHAS, HEADS, 19)
  jax.tree.map(np.testing.assert_array_equal, same, LOG_ALPHAS)


def test_settled_gates_know_no_noise():
  log_alpha = jnp.float32([topk.SURE, -topk.SURE])
  for u in (gates.EPS, 0.5, 1 - gates.EPS):
    slope = jax.vmap(jax.grad(gates.from_uniform, argnums=1), (None, 0))(jnp.float32(u), log_alpha)
    assert gates.from_uniform(jnp.float32(u), log_alpha).tolist() == [1.0, 0.0]
    assert slope.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("wanted", [2.0, 5.0])
def test_descent_and_ascent_meet_the_target(wanted):
  """Heads of different worth: the gates' loss is linear in them, multipliers climb."""
  worth = jnp.float32([0.01, 0.03, 0.02, 0.05, 0.04, 0.06])
  config = dataclasses.replace(ALL, groups=(("enc_self", (0,)),), ramp_steps=200)
  heads = {"enc_self": (6,)}

  def loss(multipliers, log_alpha_NH, step):
    args = multipliers, {"enc_self": log_alpha_NH}, heads, step
    gain = jnp.sum(worth * gates.p_open(log_alpha_NH[0]))
    return target.penalty(config, jnp.float32([wanted]), *args) - gain

  @jax.jit
  def learn(step, carry):
    multipliers, log_alpha_NH = carry
    up, down = jax.grad(loss, argnums=(0, 1))(multipliers, log_alpha_NH, step)
    climb = lambda value, slope: value + slope / 6 / 600  # l0.ascent = 1
    return jax.tree.map(climb, multipliers, up), log_alpha_NH - 0.05 * jnp.sign(down)

  start = target.new_multipliers(config), jnp.zeros((1, 6))
  _, log_alpha_NH = jax.lax.fori_loop(0, 600, learn, start)
  np.testing.assert_allclose(gates.p_open(log_alpha_NH).sum(), wanted, atol=0.5)
  kept = np.argsort(-log_alpha_NH[0])[: int(wanted)]
  assert set(kept.tolist()) == set(np.argsort(-worth)[: int(wanted)].tolist())


TOPK = dataclasses.replace(BY_TYPE, ramp_steps=0, temperatures=(2.0, 0.02))


@pytest.mark.parametrize(
  "step, temperature", [(0, 2.0), (5, 2 * 0.1**0.5), (10, 0.2), (19, 0.02518)]
)
def test_the_temperature_of_a_top_k_falls_geometrically(step, temperature):
  uniforms = gates.draw_uniforms(jax.random.key(0), LOG_ALPHAS)
  wanted_G = jnp.float32([2, 1])
  got = target.train_gates(TOPK, wanted_G, LOG_ALPHAS, uniforms, HEADS, step)
  want = topk.train_gates(TOPK.groups, wanted_G, LOG_ALPHAS, uniforms, HEADS, temperature)
  for name in HEADS:
    np.testing.assert_allclose(got[name], want[name], rtol=1e-3, atol=1e-6)


def test_settled_a_top_k_knows_no_noise():
  wanted_G = jnp.float32([2, 1])
  settled = target.settle(TOPK, wanted_G, LOG_ALPHAS, HEADS, 20)
  for seed in range(20):
    uniforms = gates.draw_uniforms(jax.random.key(seed), LOG_ALPHAS)
    got = target.train_gates(TOPK, wanted_G, settled, uniforms, HEADS, 20)
    for name in HEADS:
      np.testing.assert_array_equal(got[name], settled[name] > 0)


def test_a_top_k_keeps_the_heads_that_are_of_use():
  """Heads of different worth, a lane for each wanted number: noise tries all, the best stay."""
  worth = jnp.float32([0.01, 0.03, 0.02, 0.05, 0.04, 0.06])
  config = target.TargetConfig((("enc_self", (0,)),), 0, 400, (1.0, 0.1))
  heads = {"enc_self": (6,)}

  @jax.vmap
  def learn(wanted_G):
    def loss(log_alpha_NH, step):
      log_alphas = {"enc_self": log_alpha_NH}
      uniforms = gates.draw_uniforms(jax.random.fold_in(jax.random.key(0), step), log_alphas)
      gate_NH = target.train_gates(config, wanted_G, log_alphas, uniforms, heads, step)["enc_self"]
      return -jnp.sum(worth * gate_NH[0])

    descend = lambda step, a_NH: a_NH - 20.0 * jax.grad(loss)(a_NH, step)
    last = {"enc_self": jax.lax.fori_loop(0, 400, descend, jnp.zeros((1, 6)))}
    return target.settle(config, wanted_G, last, heads, 400)["enc_self"][0]

  best = np.argsort(-worth)
  for count, log_alpha_H in zip((1, 2, 5), learn(jnp.float32([[1], [2], [5]]))):
    assert set(np.flatnonzero(log_alpha_H > 0)) == set(best[:count])
