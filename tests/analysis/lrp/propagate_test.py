"""Tests of headprune.analysis.lrp.propagate."""

import functools

import jax
import numpy as np
import pytest

from headprune.analysis.lrp import propagate, rules
from headprune.text import batching
from headprune.translator.translator import Translator
from tests import tiny
from tests.analysis.lrp.definition import jacobian_rule, layer_norm, normal

SOURCES = [[5, 6, 1], [4, 5, 6, 7, 1], [3, 1]]
TARGETS = [[5, 1], [4, 10, 1], [3, 4, 5, 6, 7, 1]]
KINDS = {"original": tiny.uneven(), "marian": tiny.uneven(**tiny.MARIAN)}
BATCH = batching.pad_pairs(SOURCES, TARGETS, 7, 7)


@functools.cache
def translator(kind: str) -> Translator:
  """All heads of one layer are closed, some gates are half open; no parameter is 0."""
  config = KINDS[kind]
  gate_values = {name: np.ones(shape, np.float32) for name, shape in config.gate_shapes.items()}
  gate_values["enc_self"][0] = 0.0
  gate_values["enc_self"][2] = [1.0, 0.0, 0.5]
  return Translator(config, tiny.random_params(config), gate_values)


@functools.cache
def found(kind: str, rule: str):
  """`propagate` and `inputs` of the pairs: type -> share_BNH, total_BLG, (source_BGS, target_BGT).

  G counts real targets.
  """
  if rule == "alpha-beta":
    all_of = lambda t, batch: jax.lax.map(lambda row: propagate._descend(t, row, rule), batch)
    return jax.device_get(jax.jit(all_of)(translator(kind), BATCH))
  # Signed relevances of thousands cancel each other: float32 has not enough digits for their sum.
  t = translator(kind)
  forward = jax.jit(lambda t, batch: jax.lax.map(lambda row: propagate.activations(t, row), batch))
  acts, word_BT = jax.device_get(forward(t, BATCH))
  with jax.enable_x64(True):
    params, acts = jax.tree.map(lambda x: np.asarray(x, np.float64), (t.params, acts))
    one = lambda params, row: propagate.descend(t.config, params, *row, rule)
    down = jax.jit(lambda params, rows: jax.lax.map(functools.partial(one, params), rows))
    return jax.device_get(down(params, (BATCH["tgt_segment_BT"] > 0, acts, word_BT)))


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_relevance_is_conserved_from_layer_to_layer(kind, rule):
  sums, total_BLG, _ = found(kind, rule)
  assert total_BLG.shape == (3, 1 + 2 + 3, 7)  # logits, decoder layers, encoder layers
  real_BG = BATCH["tgt_segment_BT"] > 0
  for total_BG in np.moveaxis(total_BLG, 1, 0):
    np.testing.assert_allclose(total_BG, real_BG, atol=1e-3)
  steps_B = real_BG.sum(1)
  for name, n, heads in (("enc_self", 2, 3), ("dec_self", 0, 3), ("dec_enc", 1, 2)):
    np.testing.assert_allclose(sums[name][:, n, :heads].sum(1), steps_B, rtol=1e-3)
    assert not np.any(sums[name][:, n, heads:])
  for name, n in (("enc_self", 0), ("enc_self", 1), ("dec_self", 1), ("dec_enc", 0)):
    assert not np.any(sums[name][:, n]), "all closed, or no heads at all"


@pytest.mark.parametrize("kind", KINDS)
def test_relevance_of_the_words_read_sums_to_one(kind):
  _, _, (source_BGS, target_BGT) = found(kind, "alpha-beta")
  real_BG = BATCH["tgt_segment_BT"] > 0
  np.testing.assert_allclose(source_BGS.sum(2) + target_BGT.sum(2), real_BG, atol=1e-3)
  for source_GS, target_GT, src, tgt in zip(source_BGS, target_BGT, SOURCES, TARGETS):
    assert np.all(source_GS[: len(tgt), : len(src)] > 0) and not np.any(source_GS[:, len(src) :])
    past_GT = np.tril(np.ones((7, 7), bool)) & (np.arange(7) < len(tgt))[:, None]
    np.testing.assert_array_equal(target_GT > 0, past_GT)  # no word that comes later, no padding


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_residual_block_follows_the_definition(norm):
  config = tiny.even(norm=norm, norm_epsilon=0.1)
  p = tiny.random_params(config)["encoder_0"]
  scale_D, first, second = p["ffn_norm"]["scale"], p["ffn"]["in_kernel"], p["ffn"]["out_kernel"]
  x, h, f = normal(0, 3, 8), normal(1, 3, 8), normal(2, 3, 8)
  out, total = f @ second, normal(3, 3, 8)  # the sum has a bias that takes nothing
  acts = {"ffn_x_QD": x, "ffn_h_QD": h, "ffn_sum_QD": total, "ffn": {"h_QF": f, "out_QD": out}}
  r = np.abs(normal(4, 1, 3, 8))
  through_ffn = jax.jit(propagate._through_ffn, static_argnums=(0, 1))
  actual = through_ffn(rules.RULES["alpha-beta"], config, p, acts, r)[0]

  r, ln = r[0], lambda x: layer_norm(x, scale_D, 0.1)
  if norm == "post":
    (r,) = jacobian_rule(ln, [total], r)
  r_x, r_out = jacobian_rule(lambda x, y: x + y, [x, out], r)
  (r_f,) = jacobian_rule(lambda f: f @ second, [f], r_out)
  (r_h,) = jacobian_rule(lambda h: h @ first, [h], r_f)
  if norm == "pre":
    (r_h,) = jacobian_rule(ln, [x], r_h)
  np.testing.assert_allclose(actual, r_x + r_h, rtol=2e-3, atol=1e-4)


def test_the_norms_behind_the_stacks_follow_the_definition():
  config = tiny.even(norm_epsilon=0.1)
  params = tiny.random_params(config)
  x, r = normal(0, 3, 8), np.abs(normal(1, 1, 3, 8))
  through_norm = jax.jit(propagate._final_norm, static_argnums=(0, 1, 3))
  actual = through_norm(rules.RULES["alpha-beta"], config, params, "dec", x, r)
  ln = lambda x: layer_norm(x, params["dec_norm"]["scale"], 0.1)
  np.testing.assert_allclose(actual[0], jacobian_rule(ln, [x], r[0])[0], rtol=2e-3, atol=1e-4)
  without = tiny.even(final_norms=False)
  assert propagate._final_norm(rules.RULES["alpha-beta"], without, {}, "dec", x, r) is r


def test_relevance_starts_at_the_word_that_the_model_prefers():
  t = translator("marian")
  bias_V = np.zeros(11, np.float32)
  bias_V[7] = 100.0
  t = t.replace(params=t.params | {"logits_bias": bias_V})
  row = {name: x[1] for name, x in BATCH.items()}
  acts, word_T = jax.jit(propagate.activations)(t, row)
  assert set(word_T.tolist()) == {7}
  assert acts["dec_out_QD"].shape == (7, 8) and acts["encoder_2"]["ffn"]["h_QF"].shape == (7, 10)
  # An output of one channel: relevance 1 goes to the one input that adds to the logit.
  out_TD = np.zeros((2, 8), np.float32)
  out_TD[:, 3] = [2.0, -1.0]
  r_TD = propagate._logits(
    rules.RULES["alpha-beta"], out_TD, t.params["shared_embed"].T, np.array([7, 2])
  )
  np.testing.assert_allclose(r_TD, [[0, 0, 0, 1, 0, 0, 0, 0]] * 2, atol=1e-6)


def test_shares_of_heads():
  t = translator("original")
  share = propagate.relevance(t, [BATCH])
  assert all(np.all(share_NH >= 0) for share_NH in share.values())
  assert not np.any(share["enc_self"][0]) and not np.any(share["dec_self"][1])  # closed; absent
  assert share["enc_self"][2, 1] == 0.0 and share["enc_self"][2, 2] > 0.0
  np.testing.assert_allclose(share["dec_enc"].sum(1), [0.0, 1.0], rtol=1e-4)
  rows = [{name: x[i : i + 1] for name, x in BATCH.items()} for i in range(3)]
  again = propagate.relevance(t, rows)  # batches do not matter
  for name in share:
    np.testing.assert_allclose(share[name], again[name], rtol=1e-3, atol=1e-5)


def test_equal_heads_share_equally():
  t = translator("original")
  cross = dict(t.params["decoder_1"]["cross_attention"])
  axes = {"q_kernel": 1, "q_bias": 0, "kv_kernel": 2, "kv_bias": 1, "out_kernel": 0}
  for name, axis in axes.items():
    first = np.take(np.asarray(cross[name]), [0], axis=axis)
    cross[name] = np.repeat(first, 2, axis=axis)
  layer = t.params["decoder_1"] | {"cross_attention": cross}
  equal = t.replace(params=t.params | {"decoder_1": layer})
  share = propagate.relevance(equal, [BATCH])
  np.testing.assert_allclose(share["dec_enc"][1], 0.5, rtol=1e-4)
