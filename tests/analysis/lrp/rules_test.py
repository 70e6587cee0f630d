"""Tests of headprune.analysis.lrp.rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.analysis.lrp import rules
from tests.analysis.lrp.definition import jacobian_rule, layer_norm, normal

linear = jax.jit(rules.linear, static_argnums=0)
ALPHA_BETA, PROPORTIONAL = rules.RULES["alpha-beta"], rules.RULES["proportional"]


def test_linear_model_equals_its_closed_form():
  x, first, second = normal(0, 1, 5), normal(1, 5, 7), normal(2, 7, 3)
  r_out = np.eye(3, dtype=np.float32)[:, None]  # one step for each output
  r_hidden = linear(PROPORTIONAL, x @ first, second, r_out)
  r_in = linear(PROPORTIONAL, x, first, r_hidden)
  # Through a linear model the shares telescope: r_u = x_u (W1 W2)_uv / y_v.
  expected = x.T * (first @ second) / (x @ first @ second)
  np.testing.assert_allclose(r_in[:, 0].T, expected, rtol=1e-3, atol=1e-4)


def test_alpha_beta_through_a_matrix_by_hand():
  x, kernel = np.array([[1.0, -2.0]]), np.array([[3.0, -1.0], [1.0, 1.0]])
  # z to output 0: 3 and -2, each alone on its side; to output 1: -1 and -2, 1/3 and 2/3.
  r_in = linear(ALPHA_BETA, x, kernel, np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
  np.testing.assert_allclose(r_in[:, 0], [[0.5, 0.5], [1 / 3, 2 / 3]], atol=1e-4)


@pytest.mark.parametrize("rule, alpha_beta", [(ALPHA_BETA, True), (PROPORTIONAL, False)])
def test_linear_and_addition_follow_the_definition(rule, alpha_beta):
  x, kernel, y = normal(0, 3, 4), normal(1, 4, 5), normal(2, 3, 4)
  r_linear, r_add = np.abs(normal(3, 1, 3, 5)), np.abs(normal(4, 1, 3, 4))
  (expected,) = jacobian_rule(lambda x: x @ kernel, [x], r_linear, alpha_beta)
  found = linear(rule, x, kernel, r_linear)
  np.testing.assert_allclose(found[0], expected, rtol=2e-3, atol=1e-4)
  expected = jacobian_rule(lambda x, y: x + y, [x, y], r_add, alpha_beta)
  found = jax.jit(rules.add, static_argnums=0)(rule, x, y, r_add)
  np.testing.assert_allclose(np.stack(found)[:, 0], np.stack(expected), rtol=2e-3, atol=1e-4)


def test_attention_is_linearised():
  q, k, v = normal(0, 1, 3, 4), normal(1, 1, 5, 4), normal(2, 1, 5, 4)
  softmax = lambda q, k: jax.nn.softmax(jnp.einsum("HQK,HMK->HQM", q, k) / 2.0)
  r_context = np.abs(normal(4, 1, 1, 3, 4))
  expected = jacobian_rule(lambda q, k, v: softmax(q, k) @ v, [q, k, v], r_context)
  found = jax.jit(ALPHA_BETA.attend)(q, k, v, jax.jit(softmax)(q, k), r_context)
  for part, right in zip(found, expected):
    np.testing.assert_allclose(part[0], right, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_layer_norm_is_linearised(epsilon):
  x, scale_D, r_normed = normal(3, 3, 6), normal(6, 6), np.abs(normal(5, 1, 3, 6))
  norm = lambda x: layer_norm(x, scale_D, epsilon)
  (expected,) = jacobian_rule(norm, [x], r_normed)
  found = jax.jit(ALPHA_BETA.norm)(x, scale_D, epsilon, r_normed)
  np.testing.assert_allclose(found[0], expected, rtol=2e-3, atol=1e-4)


def test_the_norm_of_2019_shares_the_subtraction_of_the_mean_only():
  x, scale_D, r_normed = normal(3, 3, 6), normal(6, 6), np.abs(normal(5, 1, 3, 6))
  centre = lambda x: x - x.mean(-1, keepdims=True)
  (expected,) = jacobian_rule(centre, [x], r_normed, alpha_beta=False)
  found = jax.jit(PROPORTIONAL.norm)(x, scale_D, 0.5, r_normed)
  np.testing.assert_allclose(found[0], expected, rtol=1e-2, atol=2e-3)


def test_products_share_in_proportion_to_their_parts():
  # One query, one key, one channel: context = 1 * v, score = q k.
  q, k, v, one = (np.full((1, 1, 1), value) for value in (1.0, 3.0, 4.0, 1.0))
  r_q, r_k, r_v = jax.jit(PROPORTIONAL.attend)(q, k, v, one, np.ones((1, 1, 1, 1)))
  # v takes 4 / (1 + 4); of the weight's 1 / 5, q takes 1 / 4 and k 3 / 4.
  np.testing.assert_allclose([r_v.item(), r_q.item(), r_k.item()], [0.8, 0.05, 0.15], rtol=1e-4)
