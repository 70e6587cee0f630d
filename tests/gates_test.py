"""Hard Concrete gates against the formulas and numbers of the original program."""

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import gates

LOG_11 = np.log(11.0)


def test_expected_gate_is_closed_and_open_exactly_at_ln_11():
  g = gates.expected(jnp.array([-LOG_11 - 1e-4, 0.0, LOG_11 + 1e-4]))
  np.testing.assert_allclose(g, [0.0, 0.5, 1.0], atol=1e-6)
  assert g[0] == 0.0 and g[2] == 1.0
  assert gates.expected(jnp.array(-LOG_11 + 1e-3)) > 0.0


def test_probability_of_being_open():
  np.testing.assert_allclose(gates.p_open(jnp.array([0.0, -2.398])), [0.688, 0.167], atol=5e-4)
  np.testing.assert_allclose(gates.p_open(jnp.array([-50.0, 50.0])), [1e-6, 1 - 1e-6], rtol=1e-5)


def test_p_open_is_the_share_of_open_samples():
  log_alpha = jnp.full((200_000,), -0.7)
  share = jnp.mean(gates.sample(jax.random.key(0), log_alpha) > 0)
  assert abs(float(share) - float(gates.p_open(jnp.array(-0.7)))) < 0.005


@hypothesis.given(st.floats(1e-6, 1 - 1e-6), st.floats(-5, 5))
@hypothesis.settings(max_examples=50, deadline=None)
def test_sample_follows_its_formula(u, log_alpha):
  s = 1 / (1 + np.exp(-(np.log(u) - np.log1p(-u) + log_alpha) / 0.33))
  want = np.clip(s * 1.2 - 0.1, 0, 1)
  np.testing.assert_allclose(
    gates.from_uniform(jnp.float32(u), jnp.float32(log_alpha)), want, atol=2e-5
  )


def test_gradient_is_zero_where_the_sample_is_clipped():
  grad = jax.vmap(jax.grad(lambda a: gates.from_uniform(jnp.float32(0.5), a)))
  closed, between, opened = grad(jnp.array([-3.0, 0.0, 3.0]))
  assert closed == 0.0 and opened == 0.0
  np.testing.assert_allclose(between, 1.2 * 0.25 / 0.33, rtol=1e-5)


def test_penalty_is_the_mean_over_modules_of_the_sum_over_heads():
  log_alphas = {"enc_self": jnp.zeros((2, 3)), "dec_enc": jnp.full((2, 3), 50.0)}
  heads = {"enc_self": (3, 3), "dec_enc": (2, 0)}
  p = float(gates.p_open(jnp.array(0.0)))
  # Modules: two with three heads at p, one with two open heads; the layer without heads is none.
  np.testing.assert_allclose(gates.penalty(log_alphas, heads), (6 * p + 2) / 3, rtol=1e-5)
  assert gates.num_modules(("enc_self", "dec_enc"), heads) == 3


def test_no_gates_cost_nothing():
  assert gates.penalty({}, {}) == 0.0


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_glorot_start_fills_its_range(heads):
  log_alpha_NH = gates.initializer("glorot")(jax.random.key(1), (500, heads))
  limit = np.sqrt(3 / heads)
  assert 0.97 * limit < float(jnp.abs(log_alpha_NH).max()) <= limit


def test_module_has_one_array_per_type():
  module = gates.Gates(("enc_self", "dec_enc"), layers=3, heads=4, init_log_alpha="2.5")
  params = module.init(jax.random.key(0))["params"]
  assert jax.tree.map(jnp.shape, params) == {"enc_self": (3, 4), "dec_enc": (3, 4)}
  assert jnp.all(params["dec_enc"] == 2.5)
