"""A relaxed top-K: its sum, its limits, two heads by hand, and the noise's law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import gates, topk

SCORES = np.float32([0.3, -2.0, 1.0, 0.9, 4.0, 50.0, -1.0, 0.2])
MEMBERS = np.float32([[1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1], [0] * 8])  # 5, 2 and none
HEADS = {"enc_self": (2, 3), "dec_enc": (0, 3)}  # the first layer of dec_enc has none
GROUPS = (("enc_self", (0, 0)), ("dec_enc", (1, 1)))
LOG_ALPHAS = {
  "enc_self": np.float32([[1.0, -1.0, 9.0], [0.5, 3.0, 0.6]]),  # 9 is of no head
  "dec_enc": np.float32([[9.0, 9.0, 9.0], [-2.0, 0.0, 2.0]]),
}


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("wanted", [(1, 1, 0), (3, 0, 0), (5, 2, 0)])
def test_gates_of_a_group_sum_to_the_wanted_number(wanted, temperature):
  gate_M = topk.relaxed(SCORES, MEMBERS, jnp.float32(wanted), temperature)
  np.testing.assert_allclose(MEMBERS @ gate_M, wanted, atol=1e-4)
  assert gate_M.min() >= 0.0 and gate_M.max() <= 1.0 and gate_M[5] == 0.0


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_two_heads_by_hand(temperature):
  """The threshold is half-way: gates are sigmoids of half the difference."""
  first = lambda scores: topk.relaxed(scores, np.ones((1, 2)), jnp.ones(1), temperature)[0]
  want = 1 / (1 + np.exp(-0.7 / 2 / temperature))
  scores = jnp.float32([1.2, 0.5])
  np.testing.assert_allclose(first(scores), want, rtol=1e-5)
  slope = want * (1 - want) / 2 / temperature
  np.testing.assert_allclose(jax.grad(first)(scores), [slope, -slope], rtol=1e-4)


def test_equal_heads_share_what_there_is():
  gate_M = topk.relaxed(np.zeros(4), np.ones((1, 4)), jnp.float32([3]), 0.1)
  np.testing.assert_allclose(gate_M, 0.75, rtol=1e-5)


def test_cold_the_highest_scores_have_all():
  gate_M = topk.relaxed(SCORES, MEMBERS, jnp.float32([2, 1, 0]), 1e-3)
  np.testing.assert_allclose(gate_M, [0, 0, 1, 0, 1, 0, 0, 1], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 30.0])
def test_all_heads_are_ones_and_none_are_zeros(temperature):
  everything = topk.relaxed(SCORES, MEMBERS, jnp.float32([5, 2, 0]), temperature)
  np.testing.assert_array_equal(everything, MEMBERS.sum(0))
  nothing = topk.relaxed(SCORES, MEMBERS, jnp.zeros(3), temperature)
  np.testing.assert_allclose(nothing, 0.0, atol=1e-8)


def test_slopes_are_those_of_small_differences():
  gate = lambda scores: topk.relaxed(scores, MEMBERS, jnp.float32([2, 1, 0]), 0.7)
  slope_MM = jax.jacobian(gate)(SCORES)
  for m in range(8):
    small = np.float32(0.01) * (np.arange(8) == m)
    want_M = (gate(SCORES + small) - gate(SCORES - small)) / 0.02
    np.testing.assert_allclose(slope_MM[:, m], want_M, atol=1e-3)
  np.testing.assert_allclose(MEMBERS @ slope_MM, 0.0, atol=1e-6)  # sums stay
  assert not slope_MM[:5, 5:].any() and not slope_MM[6:, :6].any()  # groups know nothing of another
  assert np.all(np.diag(slope_MM)[MEMBERS.any(0)] > 0)


def test_slopes_are_finite_however_cold_or_sure():
  for temperature in (1e-4, 1.0):
    for scores in (SCORES, topk.SURE * np.sign(SCORES)):
      for wanted in ([2, 1, 0], [5, 2, 0], [0, 0, 0]):
        gate = lambda s: topk.relaxed(s, MEMBERS, jnp.float32(wanted), temperature)
        assert np.all(np.isfinite(jax.jacobian(gate)(scores)))


def test_a_cold_top_1_draws_heads_as_their_softmax_says():
  """The Gumbel-max trick."""
  chances = np.float32([0.1, 0.2, 0.7])
  log_alphas, heads = {"dec_self": jnp.log(chances)[None]}, {"dec_self": (3,)}

  def draw(key):
    uniforms = gates.draw_uniforms(key, log_alphas)
    groups = (("dec_self", (0,)),)
    return topk.train_gates(groups, jnp.ones(1), log_alphas, uniforms, heads, 1e-3)["dec_self"][0]

  shares = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 20_000)).mean(0)
  np.testing.assert_allclose(shares, chances, atol=0.012)  # more than three times its error


def test_gates_by_type_are_those_of_their_groups_for_many_numbers_at_once():
  uniforms = jax.tree.map(lambda a_NH: np.full(a_NH.shape, 0.4, np.float32), LOG_ALPHAS)
  draw = lambda wanted_G: topk.train_gates(GROUPS, wanted_G, LOG_ALPHAS, uniforms, HEADS, 0.5)
  wanted_LG = jnp.float32([[1, 2], [4, 0], [5, 3]])
  lanes = jax.jit(jax.vmap(draw))(wanted_LG)
  for lane, wanted_G in enumerate(wanted_LG):
    alone = draw(wanted_G)
    for group, (name, gate_NH) in enumerate(alone.items()):
      np.testing.assert_allclose(lanes[name][lane], gate_NH, atol=1e-6)
      np.testing.assert_allclose(gate_NH.sum(), wanted_G[group], atol=1e-4)
      there_NH = gates.present(HEADS[name], 3) > 0
      assert not np.any(gate_NH[~there_NH])
      order = np.argsort(LOG_ALPHAS[name][there_NH])  # all have the same noise
      assert np.all(np.diff(gate_NH[there_NH][order]) >= 0)


def test_the_best_are_as_many_as_wanted_and_stay():
  best = topk.best(GROUPS, jnp.float32([2, 1]), LOG_ALPHAS, HEADS)
  assert best["enc_self"][0, :2].tolist() == [topk.SURE, -topk.SURE]
  assert best["enc_self"][1].tolist() == [-topk.SURE, topk.SURE, -topk.SURE]
  assert best["dec_enc"][1].tolist() == [-topk.SURE, -topk.SURE, topk.SURE]
  again = topk.best(GROUPS, jnp.float32([2, 1]), best, HEADS)
  jax.tree.map(np.testing.assert_array_equal, again, best)
