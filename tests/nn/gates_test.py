"""Hard Concrete gates against the formulas and numbers of the original program."""

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import gates

LOG_11 = np.log(11.0)


def test_expected_gate_is_closed_and_open_exactly_at_ln_11():
  g = gates.expected(jnp.array([-LOG_11 - 1e-4, 0.0, LOG_11 + 1e-4]))
  np.testing.assert_allclose(g, [0.0, 0.5, 1.0], atol=1e-6)
  assert g[0] == 0.0 and g[2] == 1.0
  assert gates.expected(jnp.array(-LOG_11 + 1e-3)) > 0.0


def test_probability_of_being_open():
  np.testing.assert_allclose(gates.p_open(jnp.array([0.0, -2.398])), [0.688, 0.167], atol=5e-4)
  never, always = np.asarray(gates.p_open(jnp.array([-50.0, 50.0])), np.float64)
  np.testing.assert_allclose([never, 1 - always], 1e-6, rtol=0.05)


def test_p_open_is_the_share_of_open_gates():
  log_alphas = {"dec_self": jnp.full((400, 500), -0.7)}
  u_NH = gates.draw_uniforms(jax.random.key(0), log_alphas)["dec_self"]
  share = np.mean(gates.from_uniform(u_NH, -0.7) > 0)
  np.testing.assert_allclose(share, gates.p_open(-0.7), atol=0.005)


@hypothesis.given(st.floats(1e-6, 1 - 1e-6), st.floats(-5, 5))
@hypothesis.settings(max_examples=50, deadline=None)
def test_a_gate_in_training_follows_its_formula(u, log_alpha):
  s = 1 / (1 + np.exp(-(np.log(u) - np.log1p(-u) + log_alpha) / 0.33))
  want = np.clip(s * 1.2 - 0.1, 0, 1)
  np.testing.assert_allclose(
    gates.from_uniform(jnp.float32(u), jnp.float32(log_alpha)), want, atol=2e-5
  )


def test_gradient_is_zero_where_the_gate_is_clipped():
  grad = jax.vmap(jax.grad(lambda a: gates.from_uniform(jnp.float32(0.5), a)))
  closed, between, opened = grad(jnp.array([-3.0, 0.0, 3.0]))
  assert closed == 0.0 and opened == 0.0
  np.testing.assert_allclose(between, 1.2 * 0.25 / 0.33, rtol=1e-5)


def test_noise_is_one_number_for_each_head_type_and_key():
  log_alphas = {name: jnp.zeros((30, 40)) for name in ("enc_self", "dec_self", "dec_enc")}
  noise = gates.draw_uniforms(jax.random.key(3), log_alphas)
  everything = np.concatenate([u_NH.ravel() for u_NH in noise.values()])
  assert len(np.unique(everything)) > 3590  # float32 has 2^23 of them
  assert everything.min() >= 1e-6 and everything.max() <= 1 - 1e-6
  np.testing.assert_allclose([everything.mean(), everything.std()], [0.5, 12**-0.5], atol=0.01)
  # A type's noise does not depend on which other types have gates.
  alone = gates.draw_uniforms(jax.random.key(3), {"dec_enc": jnp.zeros((30, 40))})
  np.testing.assert_array_equal(alone["dec_enc"], noise["dec_enc"])
  other = gates.draw_uniforms(jax.random.key(4), log_alphas)
  assert not np.any(other["enc_self"] == noise["enc_self"])


def test_noise_has_no_zero_and_no_one(monkeypatch):
  bounds = []

  def uniform(key, shape, minval, maxval):
    bounds.append((minval, maxval))
    return jnp.zeros(shape)

  monkeypatch.setattr(jax.random, "uniform", uniform)
  gates.draw_uniforms(jax.random.key(0), {"enc_self": jnp.zeros((1, 2))})
  assert bounds == [(1e-6, 1 - 1e-6)]


def test_gates_of_all_types():
  fixed = {"enc_self": np.array([[1.0, 1.0], [1.0, 0.0]]), "dec_enc": np.array([[0.3, 0.0]])}
  log_alphas = {"enc_self": jnp.array([[0.0, -9.0], [9.0, 0.5]])}
  uniforms = {"enc_self": jnp.full((2, 2), 0.4)}
  train = gates.train_gates(fixed, log_alphas, uniforms)
  np.testing.assert_allclose(
    train["enc_self"], gates.from_uniform(uniforms["enc_self"], log_alphas["enc_self"])
  )
  evaluation = gates.eval_gates(fixed, log_alphas)
  # The head that the second layer lacks stays closed whatever its logit is.
  np.testing.assert_allclose(evaluation["enc_self"], [[0.5, 0.0], [1.0, 0.0]], atol=1e-6)
  for values in (train, evaluation):
    assert values.keys() == fixed.keys()
    np.testing.assert_array_equal(values["dec_enc"], fixed["dec_enc"])
  partly = gates.eval_gates({"enc_self": np.full((2, 2), 0.7)}, log_alphas)
  np.testing.assert_allclose(partly["enc_self"][0, 0], 0.5, atol=1e-6)


def test_heads_that_exist_and_are_open():
  np.testing.assert_array_equal(gates.present((2, 0, 3), 3), [[1, 1, 0], [0, 0, 0], [1, 1, 1]])
  assert gates.present((1,), 2).dtype == np.float32
  is_open = gates.open_heads(jnp.array([[0.0, 1e-3, 1.0], [0.5, 1.0, 0.0]]), (2, 1))
  np.testing.assert_array_equal(is_open, [[False, True, False], [True, False, False]])
  assert is_open.dtype == bool


def test_penalty_is_the_mean_over_modules_of_the_sum_over_heads():
  log_alphas = {"enc_self": jnp.zeros((2, 3)), "dec_enc": jnp.full((2, 3), 50.0)}
  heads = {"enc_self": (3, 3), "dec_enc": (2, 0), "dec_self": (3, 3)}
  p = float(gates.p_open(jnp.array(0.0)))
  # Modules: two with three heads at p, one with two open heads; the layer without heads is none,
  # nor is a type without gates.
  np.testing.assert_allclose(gates.penalty(log_alphas, heads), (6 * p + 2) / 3, rtol=1e-5)
  assert gates.num_modules(("enc_self", "dec_enc"), heads) == 3
  assert gates.num_modules(("enc_self",), {"enc_self": (1, 0, 2), "dec_self": (5,)}) == 2


def test_no_gates_cost_nothing():
  assert gates.penalty({}, {}) == 0.0
  assert gates.penalty({"enc_self": jnp.zeros((1, 1))}, {"enc_self": (0,)}) == 0.0


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_glorot_start_fills_its_range(heads):
  log_alpha_NH = gates.initializer("glorot")(jax.random.key(1), (500, heads))
  limit = np.sqrt(3 / heads)
  assert 0.97 * limit < float(log_alpha_NH.max()) <= limit
  assert -limit <= float(log_alpha_NH.min()) < -0.97 * limit


def test_module_has_one_array_per_type():
  module = gates.Gates((("enc_self", (3, 4)), ("dec_enc", (2, 5))), init_log_alpha="2.5")
  values, variables = module.init_with_output(jax.random.key(0))
  assert jax.tree.map(jnp.shape, variables["params"]) == {"enc_self": (3, 4), "dec_enc": (2, 5)}
  assert jnp.all(variables["params"]["dec_enc"] == 2.5)
  jax.tree.map(np.testing.assert_array_equal, values, variables["params"])
