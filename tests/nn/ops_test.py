"""Products, dropout, positions and activations against their definitions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import ops

EQUATIONS = [  # those of the model
  "BQD,DCHK->BQCHK",
  "BQD,DHK->BQHK",
  "BHQK,BHKM->BHQM",
  "BHQM,BHMK->BHQK",
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


def test_bfloat16_gradients_round_the_cotangent_too():
  x, w = operands("BTD,VD->BTV")
  cotangent = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
  _, pull = jax.vjp(lambda x, w: ops.product("BTD,VD->BTV", x, w, "bfloat16"), x, w)
  half = lambda a: np.asarray(jnp.asarray(a, jnp.bfloat16), np.float32)
  dx, dw = pull(cotangent)
  assert dx.dtype == dw.dtype == jnp.float32
  np.testing.assert_allclose(dx, half(cotangent) @ half(w), rtol=0, atol=1e-5)
  want = np.einsum("BTD,BTV->VD", half(x), half(cotangent))
  np.testing.assert_allclose(dw, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("x_last, w_last", [(8, 3), (3, 8)])
def test_a_sum_over_rows_has_the_smaller_operand_first(x_last, w_last):
  x, w, cotangent = np.ones((2, 4, x_last)), np.ones((x_last, w_last)), np.ones((2, 4, w_last))
  gradient = lambda w: jax.vjp(lambda w: ops.product("BTD,DV->BTV", x, w, "float32"), w)[1]
  traced = jax.make_jaxpr(lambda w, out: gradient(w)(out))(w, cotangent.astype(np.float32)).jaxpr
  inner = traced.eqns[2].params["call_jaxpr"].jaxpr  # after the product and the gradient of x
  assert [v.aval.shape for v in inner.eqns[-1].invars] == [(2, 4, 3), (2, 4, 8)]
  # Else XLA turns the transposition of the result into an exchange of the operands.
  turned = ["optimization_barrier", "transpose"] if x_last > w_last else []
  assert [str(eqn.primitive) for eqn in traced.eqns[3:]] == turned


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_accelerators_take_all_bits_of_float32_operands(dtype):
  (dot,) = jax.make_jaxpr(lambda x, w: ops.product("BD,DV->BV", x, w, dtype))(
    np.ones((2, 3)), np.ones((3, 4))
  ).jaxpr.eqns[0].params["call_jaxpr"].jaxpr.eqns[-1:]  # fmt: skip
  highest = (jax.lax.Precision.HIGHEST,) * 2
  assert (dot.params.get("precision") == highest) == (dtype == "float32")


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
  # Nor do neighbours in two directions, as they would if their numbers were the same.
  gone = np.asarray(y == 0)
  for a, b in (
    (gone[:, 1:, :-1], gone[:, :-1, 1:]), (gone[1:, :-1], gone[:-1, 1:]),
    (gone[1:, :, :-1], gone[:-1, :, 1:]), (gone[:, 1:], gone[:, :-1]),
    (gone[:, :, 1:], gone[:, :, :-1]), (gone[1:], gone[:-1]),
  ):  # fmt: skip
    assert abs(np.mean(a == b) - (0.7**2 + 0.3**2)) < 0.005


def test_dropout_is_a_function_of_key_path_and_row():
  x = jnp.ones((4, 1000))
  y = ops.dropout(x, 0.5, noise(1, 4), ("a",))
  np.testing.assert_array_equal(y, ops.dropout(x, 0.5, noise(1, 4), ("a",)))
  for other in (ops.dropout(x, 0.5, noise(2, 4), ("a",)), ops.dropout(x, 0.5, noise(1, 4), ("b",))):
    assert 0.4 < float(jnp.mean(y == other)) < 0.6
  row_2 = ops.Noise(jnp.uint32(1), jnp.array([2]))
  np.testing.assert_array_equal(ops.dropout(x[:1], 0.5, row_2, ("a",))[0], y[2])


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.9])
def test_dropout_rates(rate):
  y = ops.dropout(jnp.ones((16, 1000, 200)), rate, noise(7, 16), ("a",))
  # Shares that scatter as those of independent numbers, no more and no less.
  share_B = np.mean(np.asarray(y) == 0, axis=(1, 2))
  scatter = np.sqrt(np.mean((share_B - rate) ** 2) / (rate * (1 - rate) / 2e5))
  assert 0.4 < scatter < 1.7
  np.testing.assert_allclose(jnp.max(y), 1 / (1 - rate), rtol=1e-6)


def test_dropout_scales_its_gradient_as_its_input():
  x, place = jnp.full((1, 50), 3.0), ("a",)
  y, pull = jax.vjp(lambda x: ops.dropout(x, 0.5, noise(1, 1), place), x)
  np.testing.assert_array_equal(pull(jnp.ones_like(y))[0] * 3.0, y)
  assert set(np.unique(y)) == {0.0, 6.0}


def test_dropout_is_off_outside_training_and_at_rate_zero():
  x = jnp.ones((2, 3))
  assert ops.dropout(x, 0.5, None, ("a",)) is x
  assert ops.dropout(x, 0.0, noise(1, 2), ("a",)) is x


@pytest.mark.parametrize(
  "kind, frequencies",
  [("tensor2tensor", [1.0, 1e-2, 1e-4]), ("huggingface", [1.0, 10 ** (-4 / 3), 10 ** (-8 / 3)])],
)
def test_positions_are_sines_then_cosines(kind, frequencies):
  signal = ops.positions(41, 6, kind)
  assert signal.shape == (41, 6) and signal.dtype == np.float32
  for p in (0, 1, 2, 40):
    want = [f(p * x) for f in (math.sin, math.cos) for x in frequencies]
    np.testing.assert_allclose(signal[p], want, rtol=0, atol=2e-6)


def test_positions_of_another_kind():
  with pytest.raises(KeyError):
    ops.positions(3, 6, "learned")


@pytest.mark.parametrize(
  "kind, formula",
  [
    ("relu", lambda x: max(x, 0.0)),
    ("silu", lambda x: x / (1 + math.exp(-x))),
    ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
  ],
)
def test_activations(kind, formula):
  x = np.array([-6.0, -1.5, -0.3, 0.0, 0.2, 1.0, 5.0], np.float32)
  want = [formula(float(value)) for value in x]
  np.testing.assert_allclose(ops.activate(jnp.asarray(x), kind), want, rtol=0, atol=1e-6)
  with pytest.raises(KeyError):
    ops.activate(x, "tanh")
