"""Tests of headprune.analysis.lrp, lrp_rules and lrp_forward."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import model
from headprune.analysis import attention, lrp, lrp_forward, lrp_rules

linear = jax.jit(lrp_rules.linear, static_argnums=0)
ALPHA_BETA, PROPORTIONAL = lrp_rules.RULES["alpha-beta"], lrp_rules.RULES["proportional"]
CONFIG = model.ModelConfig(
  src_vocab=11,
  tgt_vocab=13,
  model_size=16,
  head_size=4,
  ff_size=24,
  enc_self=(4, 2),
  dec_self=(3, 0),
  dec_enc=(2, 4),
)
SOURCES = [[5, 6, 1], [4, 5, 6, 7, 1], [3, 1]]
TARGETS = [[5, 1], [4, 12, 1], [3, 4, 5, 6, 7, 1]]


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def jacobian_rule(function, inputs, r_O, alpha_beta=True):
  """The rule by its definition, from the Jacobian of `function`: one relevance per input."""
  slopes = jax.jit(jax.jacrev(function, argnums=tuple(range(len(inputs)))))(*inputs)
  z = np.concatenate(
    [np.reshape(s, (np.size(r_O), -1)) * np.ravel(x) for s, x in zip(slopes, inputs)], axis=1
  )
  if alpha_beta:
    up, down = np.maximum(z, 0), np.maximum(-z, 0)
    share = 0.5 * up / (up.sum(1, keepdims=True) + 1e-5)
    share += 0.5 * down / (down.sum(1, keepdims=True) + 1e-5)
  else:
    share = z / z.sum(1, keepdims=True)
  flat = np.ravel(r_O) @ share
  flat *= np.abs(r_O).sum() / np.abs(flat).sum() if alpha_beta else 1.0
  cuts = np.cumsum([np.size(x) for x in inputs])[:-1]
  return [part.reshape(np.shape(x)) for part, x in zip(np.split(flat, cuts), inputs)]


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
  found = jax.jit(lrp_rules.add, static_argnums=0)(rule, x, y, r_add)
  np.testing.assert_allclose(np.stack(found)[:, 0], np.stack(expected), rtol=2e-3, atol=1e-4)


def test_attention_and_norm_are_linearised():
  q, k, v, x, scale = (
    normal(0, 1, 3, 4),
    normal(1, 1, 5, 4),
    normal(2, 1, 5, 4),
    normal(3, 3, 6),
    2.0,
  )
  softmax = lambda q, k: jax.nn.softmax(jnp.einsum("HQK,HMK->HQM", q, k) / 2.0)
  r_context, r_normed = np.abs(normal(4, 1, 1, 3, 4)), np.abs(normal(5, 1, 3, 6))
  expected = jacobian_rule(lambda q, k, v: softmax(q, k) @ v, [q, k, v], r_context)
  found = jax.jit(ALPHA_BETA.attend)(q, k, v, jax.jit(softmax)(q, k), r_context)
  for part, right in zip(found, expected):
    np.testing.assert_allclose(part[0], right, rtol=2e-3, atol=1e-4)
  norm = lambda x: lrp_forward.norm(x, {"scale": np.full(6, scale), "bias": 0.0})
  (expected,) = jacobian_rule(norm, [x], r_normed)
  found = jax.jit(ALPHA_BETA.norm)(x, np.full(6, scale), r_normed)
  np.testing.assert_allclose(found[0], expected, rtol=2e-3, atol=1e-4)


def test_products_share_in_proportion_to_their_parts():
  # One query, one key, one channel: context = 1 * v, score = q k.
  q, k, v, one = (np.full((1, 1, 1), value) for value in (1.0, 3.0, 4.0, 1.0))
  r_q, r_k, r_v = jax.jit(PROPORTIONAL.attend)(q, k, v, one, np.ones((1, 1, 1, 1)))
  # v takes 4 / (1 + 4); of the weight's 1 / 5, q takes 1 / 4 and k 3 / 4.
  np.testing.assert_allclose([r_v.item(), r_q.item(), r_k.item()], [0.8, 0.05, 0.15], rtol=1e-4)


@pytest.fixture(scope="module")
def setting():
  """(params, gates, batch); one layer's heads are all closed, some gates are half open."""
  _, batch = next(attention.batches(SOURCES, TARGETS, max_tokens=48))
  init = jax.jit(lambda key: model.Transformer(CONFIG).init(key, batch, model.ones(CONFIG)))
  params = init(jax.random.key(0))["params"]
  leaves, tree = jax.tree.flatten(params)
  leaves = [x + 0.1 * normal(i, *x.shape) for i, x in enumerate(leaves)]  # biases that are not 0
  params = jax.tree.unflatten(tree, leaves)
  gate_values = {name: np.ones((2, 4), np.float32) for name in CONFIG.heads}
  gate_values["enc_self"][1] = 0.0
  gate_values["dec_enc"][1] = [1.0, 0.0, 0.5, 1.0]
  return params, gate_values, batch


@pytest.mark.parametrize("share_embeddings", [False, True])
def test_forward_is_the_model(setting, share_embeddings):
  params, gate_values, batch = setting
  config = CONFIG
  if share_embeddings:
    config = dataclasses.replace(CONFIG, share_embeddings=True, src_vocab=13)
    embed = normal(7, 13, 16)
    params = {
      k: v for k, v in params.items() if k not in ("src_embed", "tgt_embed", "logits_kernel")
    }
    params["shared_embed"] = embed

  @jax.jit
  def both(params):
    row = {name: x[0] for name, x in batch.items()}
    *_, (_, out_TD) = lrp_forward.forward(config, params, gate_values, row)
    logits, _ = model.Transformer(config).apply({"params": params}, batch, gate_values)
    return out_TD @ lrp_forward.logits_kernel(params), logits[0]

  ours, theirs = both(params)
  real_T = batch["tgt_segment_BT"][0] > 0
  np.testing.assert_allclose(ours[real_T], theirs[real_T], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rule", lrp_rules.RULES)
def test_relevance_is_conserved_from_layer_to_layer(setting, rule):
  params, gate_values, batch = setting
  params, gate_values = jax.tree.map(lambda x: np.asarray(x, np.float64), (params, gate_values))
  # Signed relevances of thousands cancel each other: float32 has not enough digits for their sum.
  with jax.enable_x64(rule == "proportional"):
    found = lrp.propagate(CONFIG, params, gate_values, batch, rule)
    sums, total_BLG = jax.device_get(found)
  assert total_BLG.shape[1] == 1 + 2 + 2  # logits, decoder layers, encoder layers
  real_BG = batch["tgt_segment_BT"] > 0
  for total_BG in np.moveaxis(total_BLG, 1, 0):
    np.testing.assert_allclose(total_BG, real_BG, atol=1e-3)
  steps_B = real_BG.sum(1)
  for name, n, heads in (
    ("enc_self", 0, 4),
    ("dec_self", 0, 3),
    ("dec_enc", 0, 2),
    ("dec_enc", 1, 4),
  ):
    np.testing.assert_allclose(sums[name][:, n, :heads].sum(1), steps_B, rtol=1e-3)
    assert not np.any(sums[name][:, n, heads:])


def test_shares_of_heads(setting):
  params, gate_values, _ = setting
  batches = lambda size: [b for _, b in attention.batches(SOURCES, TARGETS, size)]
  share = lrp.relevance(CONFIG, params, gate_values, batches(48))
  assert all(np.all(share_NH >= 0) for share_NH in share.values())
  assert not np.any(share["enc_self"][1]) and not np.any(share["dec_self"][1])  # closed; absent
  assert share["dec_enc"][1, 1] == 0.0 and share["dec_enc"][1, 2] > 0.0
  np.testing.assert_allclose(share["dec_enc"].sum(1), 1.0, rtol=1e-4)
  again = lrp.relevance(CONFIG, params, gate_values, batches(16))  # batches do not matter
  for name in share:
    np.testing.assert_allclose(share[name], again[name], rtol=1e-3, atol=1e-5)


def test_equal_heads_share_equally(setting):
  params, gate_values, batch = setting
  equal = dict(params)
  cross = dict(equal["decoder_0"]["cross_attention"])
  for name, axis in (
    ("q_kernel", 1),
    ("q_bias", 0),
    ("kv_kernel", 2),
    ("kv_bias", 1),
    ("out_kernel", 0),
  ):
    first = np.take(np.asarray(cross[name]), [0], axis=axis)
    cross[name] = np.repeat(first, 2, axis=axis)
  equal["decoder_0"] = {**equal["decoder_0"], "cross_attention": cross}
  share = lrp.relevance(CONFIG, equal, gate_values, [batch])
  np.testing.assert_allclose(share["dec_enc"][0, :2], 0.5, rtol=1e-4)
