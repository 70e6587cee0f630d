"""Tests of headprune.analysis.importance and headprune.analysis.attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import model
from headprune.analysis import attention, importance

CONFIG = model.ModelConfig(
  src_vocab=11,
  tgt_vocab=13,
  model_size=8,
  head_size=4,
  ff_size=8,
  enc_self=(2, 1),
  dec_self=(2, 0),
  dec_enc=(1, 2),
)
SOURCES = [[5, 6, 1], [3, 1], [4, 5, 6, 7, 1], [8, 1]]
TARGETS = [[5, 1], [3, 4, 5, 6, 7, 1], [4, 12, 1], [9, 9, 1]]


@pytest.fixture(scope="module")
def trained():
  """(params, gate_values) with half-open gates and one closed head."""
  batch = next(attention.batches(SOURCES, TARGETS))[1]
  init = jax.jit(lambda key: model.Transformer(CONFIG).init(key, batch, model.ones(CONFIG)))
  params = init(jax.random.key(0))["params"]
  gate_values = {name: np.full((2, 2), 0.75, np.float32) for name in CONFIG.heads}
  gate_values["enc_self"][0, 1] = 0.0
  return params, gate_values


def batches(max_tokens):
  return [batch for _, batch in attention.batches(SOURCES, TARGETS, max_tokens)]


@jax.jit
def sentence_losses(params, gate_values):
  """-log p of each pair."""
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 6)
  logits, _ = model.Transformer(CONFIG).apply({"params": params}, batch, gate_values)
  log_p = jax.nn.log_softmax(logits)
  pairs = enumerate(TARGETS)
  return jnp.stack([-sum(log_p[b, t, word] for t, word in enumerate(row)) for b, row in pairs])


def test_batches_hold_each_pair_once_in_few_shapes():
  sources, seen, shapes = [*SOURCES, [7] * 16 + [1]], [], []
  for rows, batch in attention.batches(sources, [*TARGETS, [1]], max_tokens=48):
    seen += rows
    shapes.append(batch["src_BS"].shape)
    assert batch["tgt_BT"].shape == shapes[-1]
    for row, i in enumerate(rows):
      assert batch["src_segment_BS"][row].sum() == len(sources[i])
      assert batch["src_BS"][row, : len(sources[i])].tolist() == sources[i]
    assert batch["src_segment_BS"][len(rows) :].sum() == 0
  assert sorted(seen) == [0, 1, 2, 3, 4] and shapes == [(1, 32), (3, 16), (3, 16)]


def test_attention_of_absent_heads_is_zero_and_rows_sum_to_one(trained):
  rows, batch = next(attention.batches(SOURCES, TARGETS))
  attn = attention.all_types(CONFIG, *trained, batch)
  width = batch["src_BS"].shape[1]
  assert all(x.shape == (2, len(batch["src_BS"]), 2, width, width) for x in attn.values())
  assert jnp.all(attn["enc_self"][1, :, 1] == 0) and jnp.all(attn["dec_self"][1] == 0)
  np.testing.assert_allclose(attn["dec_enc"][1, : len(rows)].sum(-1), 1.0, rtol=1e-5)
  np.testing.assert_array_equal(attention.encoder(CONFIG, *trained, batch), attn["enc_self"])


def test_words_are_real_tokens_without_eos():
  assert attention.words(np.array([[1, 1, 1, 0], [0, 0, 0, 0]])).tolist() == [
    [True, True, False, False],
    [False] * 4,
  ]


def test_closing_each_head(trained):
  params, gate_values = trained
  loss, increase = importance.closing(CONFIG, params, gate_values, batches(48))
  tokens = sum(map(len, TARGETS))
  mean = lambda gates: float(sum(sentence_losses(params, gates))) / tokens
  np.testing.assert_allclose(loss, mean(gate_values), rtol=1e-5)
  for name, n, h in (("enc_self", 1, 0), ("dec_self", 0, 1), ("dec_enc", 1, 1)):
    closed = {k: np.array(v) for k, v in gate_values.items()}
    closed[name][n, h] = 0.0
    np.testing.assert_allclose(increase[name][n, h], mean(closed) - loss, rtol=1e-3, atol=1e-6)
    assert abs(increase[name][n, h]) > 1e-5
  # Closed already, or not there at all.
  assert increase["enc_self"][0, 1] == increase["enc_self"][1, 1] == 0.0
  assert not np.any(increase["dec_self"][1])


def test_gradient_is_the_mean_absolute_slope_times_the_gate(trained):
  params, gate_values = trained
  found = importance.gradient(CONFIG, params, gate_values, batches(48))
  slopes = jax.jit(jax.jacrev(sentence_losses, argnums=1))(params, gate_values)
  for name in found:
    expected = importance.unit_layers(np.abs(slopes[name]).sum(0) * gate_values[name])
    np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(found["dec_enc"], axis=1), 1.0, rtol=1e-6)
  assert not np.any(found["dec_self"][1]) and found["enc_self"][0, 1] == 0


def test_closed_one_by_one(trained):
  _, gate_values = trained
  variants = list(importance.closed_one_by_one(gate_values, CONFIG.heads))
  assert [(t, n, h) for t, n, h, _ in variants] == [
    ("enc_self", 0, 0),
    ("enc_self", 1, 0),
    ("dec_self", 0, 0),
    ("dec_self", 0, 1),
    ("dec_enc", 0, 0),
    ("dec_enc", 1, 0),
    ("dec_enc", 1, 1),
  ]
  name, n, h, closed = variants[1]
  assert closed[name][n, h] == 0 and gate_values[name][n, h] == 0.75
  assert closed[name].sum() == gate_values[name].sum() - 0.75


def test_rank_correlations():
  scores = {
    "a": np.array([1.0, 2.0, 3.0, 4.0]),
    "its logarithm": np.log([1.0, 2.0, 3.0, 4.0]),
    "reversed": np.array([9.0, 5.0, 0.0, -1.0]),
    "swapped": np.array([1.0, 2.0, 4.0, 3.0]),
    "constant": np.ones(4),
  }
  found = importance.correlations(scores)
  np.testing.assert_allclose(found[0], [1, 1, -1, 0.8, 0], atol=1e-12)
  np.testing.assert_allclose(importance.ranked(np.array([2.0, 1.0, 2.0, 5.0])), [2.5, 1, 2.5, 4])
