"""Products, dropout, positions and the token loss against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import ops

EQUATIONS = [
  "BQD,DCHK->BQCHK",
  "BQHK,BMHK->BHQM",
  "BHQM,BMHK->BQHK",
  "BQHK,HKD->BQD",
  "BTD,VD->BTV",
]
SIZES = dict(B=2, Q=3, M=4, D=8, C=3, H=2, K=4, T=3, V=5)


def operands(equation, seed=0):
  rng = np.random.default_rng(seed)
  terms = equation.split("->")[0].split(",")
  return [rng.normal(size=[SIZES[i] for i in term]).astype(np.float32) for term in terms]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_product_and_its_gradients_are_those_of_einsum(equation):
  x, w = operands(equation)
  cotangent = np.random.default_rng(1).normal(size=np.einsum(equation, x, w).shape)
  run = lambda f: jax.value_and_grad(lambda x, w: jnp.sum(f(x, w) * cotangent), (0, 1))(x, w)
  got = run(lambda x, w: ops.product(equation, x, w, "float32"))
  want = run(lambda x, w: jnp.einsum(equation, x, w, precision="highest"))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)


def test_bfloat16_product_rounds_operands_and_sums_in_float32():
  x = np.full((1, 300), 1.0, np.float32)
  w = np.full((300, 1), 1.0 + 2**-9, np.float32)  # bfloat16 rounds it to 1
  out = ops.product("BD,DV->BV", x, w, "bfloat16")
  assert out.dtype == jnp.float32 and out[0, 0] == 300.0  # a bfloat16 sum would stop at 256


def noise(seed, rows):
  return ops.Noise(jnp.uint32(seed), jnp.arange(rows))


def test_dropout_keeps_the_right_share_and_the_mean():
  x = jnp.ones((64, 100, 50))
  y = ops.dropout(x, 0.3, noise(1, 64), ("a",))
  assert abs(float(jnp.mean(y == 0)) - 0.3) < 0.003
  np.testing.assert_allclose(float(jnp.max(y)), 1 / 0.7, rtol=1e-6)
  # Neither rows nor positions nor channels share a fate.
  for axis in range(3):
    share = jnp.mean(y == 0, axis=tuple({0, 1, 2} - {axis}))
    assert float(jnp.std(share)) < 0.02


def test_dropout_is_a_function_of_key_path_and_row():
  x = jnp.ones((4, 1000))
  y = ops.dropout(x, 0.5, noise(1, 4), ("a",))
  np.testing.assert_array_equal(y, ops.dropout(x, 0.5, noise(1, 4), ("a",)))
  for other in (ops.dropout(x, 0.5, noise(2, 4), ("a",)), ops.dropout(x, 0.5, noise(1, 4), ("b",))):
    assert 0.4 < float(jnp.mean(y == other)) < 0.6
  row_2 = ops.Noise(jnp.uint32(1), jnp.array([2]))
  np.testing.assert_array_equal(ops.dropout(x[:1], 0.5, row_2, ("a",))[0], y[2])


def test_dropout_is_off_outside_training_and_at_rate_zero():
  x = jnp.ones((2, 3))
  assert ops.dropout(x, 0.5, None, ("a",)) is x
  assert ops.dropout(x, 0.0, noise(1, 2), ("a",)) is x


def test_positions_are_sines_then_cosines():
  signal = ops.positions(3, 6)
  f = np.array([1.0, 1e-2, 1e-4])
  np.testing.assert_allclose(signal[2], np.concatenate([np.sin(2 * f), np.cos(2 * f)]), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_loss_is_a_divergence(smoothing):
  vocab = 7
  target = np.full(vocab, smoothing / (vocab - 1))
  target[3] = 1 - smoothing
  logits = np.random.default_rng(0).normal(size=(1, 1, vocab)).astype(np.float32)
  log_p = np.log(np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum())
  kl = sum(t * (np.log(t) - lp) for t, lp in zip(target, log_p) if t > 0)
  got = ops.smoothed_loss(jnp.array(logits), jnp.array([[3]]), smoothing)
  np.testing.assert_allclose(got[0, 0], kl, rtol=1e-5)
  if smoothing:
    best = ops.smoothed_loss(jnp.log(jnp.array(target))[None, None], jnp.array([[3]]), smoothing)
    np.testing.assert_allclose(best, 0.0, atol=1e-6)
