"""The layers by hand: numbers that fit on one line."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import layers, ops
from tests import tiny

LN3 = np.log(3.0)


def attention(heads, head_size, cross, **changes):
  config = tiny.even(model_size=2, **changes)
  return layers.MultiHeadAttention(config, heads, head_size, cross)


@pytest.mark.parametrize("cross", [False, True])
def test_attention_by_hand(cross):
  # Channels of a token: what it asks for, what it holds. One head of four channels, of which the
  # first alone is used: the query is 2x for 1 / sqrt(4), the key ln 3 times, the value 4y.
  first = np.array([1.0, 0, 0, 0])
  q = np.stack([2 * first, 0 * first])  # [D, K]
  k, v = np.stack([0 * first, LN3 * first]), np.stack([0 * first, 4 * first])
  part = lambda *kernels: np.stack(kernels, axis=1)[:, :, None]  # [D, C, H, K]
  params = {
    "out_kernel": np.array([[[1.0, 10.0], [7, 7], [7, 7], [7, 7]]]),
    "out_bias": np.array([0.25, 0.5]),
  }
  if cross:
    params |= {"q_kernel": q[:, None], "q_bias": np.zeros((1, 4))}
    params |= {"kv_kernel": part(k, v), "kv_bias": np.zeros((2, 1, 4))}
  else:
    params |= {"qkv_kernel": part(q, k, v), "qkv_bias": np.zeros((3, 1, 4))}
  module = attention(1, 4, cross).bind({"params": jax.tree.map(jnp.float32, params)})
  x_BQD = jnp.array([[[1.0, 0.0], [1.0, 1.0], [2.0, 1.0], [5.0, 9.0]]])
  if cross:
    q_BHQK, memory = module.query(x_BQD), module.read(x_BQD)
  else:
    q_BHQK, memory = module.project(x_BQD)
  mask_BQM = jnp.array([[[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]], bool)
  out_BQD, attn_BHQM = module.attend(q_BHQK, memory, mask_BQM, jnp.array([0.5, 9.0]))
  want = [[1 / 4, 3 / 4, 0, 0], [1 / 7, 3 / 7, 3 / 7, 0], [1 / 10, 9 / 10, 0, 0], [0, 0, 0, 1]]
  np.testing.assert_allclose(attn_BHQM[0, 0], want, rtol=0, atol=1e-6)
  context = 0.5 * 4 * np.array([3 / 4, 6 / 7, 9 / 10, 9])
  want = np.stack([context + 0.25, 10 * context + 0.5], axis=1)
  np.testing.assert_allclose(out_BQD[0], want, rtol=1e-6)


@pytest.mark.parametrize("cross", [False, True])
def test_attention_without_heads_is_its_bias(cross):
  module = attention(0, 4, cross).bind({"params": {"out_bias": jnp.array([3.0, 4.0])}})
  x_BQD = jnp.ones((2, 3, 2))
  q, memory = (module.query(x_BQD), module.read(x_BQD)) if cross else module.project(x_BQD)
  assert q is None and memory is None
  out_BQD, attn_BHQM = module.attend(q, memory, jnp.ones((2, 3, 5), bool), jnp.ones(1))
  assert attn_BHQM.shape == (2, 0, 3, 5)
  np.testing.assert_array_equal(out_BQD, np.broadcast_to([3.0, 4.0], (2, 3, 2)))


def test_attention_dropout_is_behind_the_weights_that_are_told():
  module = attention(2, 4, False, attention_dropout=0.5)
  params = {"out_kernel": jnp.full((2, 4, 2), 0.25), "out_bias": jnp.zeros(2)}
  params |= {"qkv_kernel": jnp.zeros((2, 3, 2, 4)), "qkv_bias": jnp.ones((3, 2, 4))}
  module = module.bind({"params": params})
  q_BHQK, memory = module.project(jnp.zeros((1, 8, 2)))

  def attend(noise):
    mask_BQM = jnp.ones((1, 8, 8), bool)
    out_BQD, attn_BHQM = module.attend(q_BHQK, memory, mask_BQM, jnp.array([1.0, 0.0]), noise)
    np.testing.assert_allclose(attn_BHQM, 1 / 8, rtol=1e-6)
    return out_BQD[0, :, 0]

  np.testing.assert_allclose(attend(None), 1, rtol=1e-6)
  left = attend(ops.Noise(jnp.uint32(3), jnp.arange(1))) * 4  # of eight tokens, each twice as heavy
  np.testing.assert_allclose(left, np.round(left), atol=1e-5)
  assert len(np.unique(np.round(left))) > 2


class _Layer(nn.Module):
  """A residual branch that multiplies by ten."""

  config: object

  def setup(self):
    self.ten_norm = layers.layer_norm(self.config)

  def __call__(self, x_BQD, noise=None):
    return layers.residual(self, "ten", x_BQD, lambda h_BQD: (10 * h_BQD, "besides"), noise)


@pytest.mark.parametrize(
  "norm, epsilon, want",
  [
    ("pre", 1e-6, [1 - 10, 3 + 10]),
    ("pre", 3.0, [1 - 5, 3 + 5]),  # 1 / sqrt(1 + 3)
    ("post", 1e-6, [-1, 1]),
    ("post", 23.0, [-11 / 12, 11 / 12]),  # 11 / sqrt(121 + 23)
  ],
)
def test_the_norm_is_in_front_of_a_branch_or_behind_the_sum(norm, epsilon, want):
  layer = _Layer(tiny.even(model_size=2, norm=norm, norm_epsilon=epsilon))
  (x_BQD, other), variables = layer.init_with_output(jax.random.key(0), jnp.array([[[1.0, 3.0]]]))
  np.testing.assert_allclose(x_BQD[0, 0], want, rtol=1e-5)
  assert other == "besides" and variables["params"].keys() == {"ten_norm"}


def test_a_norm_of_large_numbers_is_exact():
  # The mean of squares less the square of the mean would have no digit left.
  x = jnp.array([[10000.0, 10001.0, 10002.0, 10003.0]])
  y, _ = layers.layer_norm(tiny.even()).init_with_output(jax.random.key(0), x)
  np.testing.assert_allclose(y[0], np.array([-1.5, -0.5, 0.5, 1.5]) / 1.25**0.5, rtol=1e-3)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_dropout_hits_the_branch_and_not_what_it_is_added_to(norm):
  layer = _Layer(tiny.even(model_size=2, norm=norm, norm_epsilon=0.0, residual_dropout=0.5))
  x_BQD = jnp.tile(jnp.array([1.0, 3.0]), (1, 64, 1))
  noise = ops.Noise(jnp.uint32(0), jnp.arange(1))
  (y_BQD, _), variables = layer.init_with_output(
    jax.random.key(0), x_BQD, noise, mutable=["params", layers.KEPT]
  )
  sum_BQD = variables[layers.KEPT]["ten_sum_BQD"]
  branch = np.round(np.asarray(sum_BQD - x_BQD), 3)
  want = {"pre": {-20, 0, 20}, "post": {20, 60, 0}}[norm]
  assert set(np.unique(branch)) == want
  np.testing.assert_allclose(variables[layers.KEPT]["ten_x_BQD"], x_BQD)
  if norm == "pre":
    np.testing.assert_array_equal(y_BQD, sum_BQD)


@pytest.mark.parametrize("kind, first", [("relu", 0.0), ("silu", -1 / (1 + np.e))])
def test_feed_forward_by_hand(kind, first):
  params = {
    "in_kernel": [[1.0, -1.0], [0.0, 1.0]],
    "in_bias": [-2.0, 30.0],
    "out_kernel": [[2.0, 3.0], [0.0, 10.0]],
    "out_bias": [0.5, 0.0],
  }
  ffn = layers.FeedForward(tiny.even(model_size=2, activation=kind), hidden=2)
  params = {name: jnp.array(array) for name, array in params.items()}
  y = ffn.apply({"params": params}, jnp.array([[[1.0, 1.0]]]))  # hidden: -1 and 30
  np.testing.assert_allclose(y[0, 0], [2 * first + 0.5, 3 * first + 300], rtol=1e-6)


def test_a_step_writes_its_entries_of_the_cache_and_no_other():
  k_BHKM = jnp.arange(2 * 3 * 4 * 10, dtype=jnp.bfloat16).reshape(2, 3, 4, 10) / 256
  past = k_BHKM, k_BHKM.swapaxes(2, 3)
  k_BHKW = np.full((2, 3, 4, 2), -5.0) - np.arange(2)
  v_BHWK = np.full((2, 3, 2, 4), -7.0) - np.arange(2)[:, None]
  new = jnp.array(k_BHKW), jnp.array(v_BHWK)
  k, v = layers._write(past, new, jnp.array([[6, 2], [3, 9]]))
  assert k.dtype == v.dtype == jnp.bfloat16
  for after, before, value in ((k, past[0], -5.0), (v.swapaxes(2, 3), past[1].swapaxes(2, 3), -7)):
    for row, entries in enumerate(([6, 2], [3, 9])):
      for beam, entry in enumerate(entries):
        np.testing.assert_array_equal(after[row, ..., entry], np.full((3, 4), value - beam))
      others = [m for m in range(10) if m not in entries]
      np.testing.assert_array_equal(after[row][..., others], before[row][..., others])
