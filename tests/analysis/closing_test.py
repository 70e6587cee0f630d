"""Tests of headprune.analysis.closing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.analysis import closing
from headprune.text import batching
from headprune.translator.translator import Translator
from tests import tiny

SOURCES = [[5, 6, 1], [3, 1], [4, 5, 6, 7, 1], [8, 1]]
TARGETS = [[5, 1], [3, 4, 5, 6, 7, 1], [4, 10, 1], [9, 9, 1]]


@pytest.fixture(scope="module")
def translator():
  """Half-open gates and one closed head; products in bfloat16, which `exact` must change."""
  config = tiny.uneven(precision="bfloat16")
  gate_values = {n: np.full(shape, 0.75, np.float32) for n, shape in config.gate_shapes.items()}
  gate_values["enc_self"][0, 1] = 0.0
  return Translator(config, tiny.random_params(config), gate_values)


@jax.jit
def mean_loss(translator):
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 6)
  log_p_BTV = jax.nn.log_softmax(translator.exact().logits(batch))
  pairs = enumerate(TARGETS)
  total = -sum(log_p_BTV[b, t, word] for b, row in pairs for t, word in enumerate(row))
  return total / sum(map(len, TARGETS))


def test_closing_each_head(translator):
  batches = [batch for _, batch in batching.batches(SOURCES, TARGETS, 3)]
  assert len(batches) == 2
  loss, increase = closing.closing(translator, batches)
  np.testing.assert_allclose(loss, mean_loss(translator), rtol=1e-5)
  for name, n, h in (("enc_self", 2, 2), ("dec_self", 0, 1), ("dec_enc", 1, 1)):
    closed = {k: np.array(v) for k, v in translator.gate_values.items()}
    closed[name][n, h] = 0.0
    expected = float(mean_loss(translator.replace(gate_values=closed))) - loss
    np.testing.assert_allclose(increase[name][n, h], expected, rtol=1e-3, atol=1e-6)
    assert abs(increase[name][n, h]) > 1e-5
  # Closed already, or not there at all.
  assert increase["enc_self"][0, 1] == increase["enc_self"][0, 2] == 0.0
  assert not np.any(increase["dec_self"][1])


def test_closed_one_by_one(translator):
  variants = list(closing.closed_one_by_one(translator))
  assert [(t, n, h) for t, n, h, _ in variants] == [
    ("enc_self", 0, 0),
    ("enc_self", 2, 0),
    ("enc_self", 2, 1),
    ("enc_self", 2, 2),
    ("dec_self", 0, 0),
    ("dec_self", 0, 1),
    ("dec_self", 0, 2),
    ("dec_enc", 1, 0),
    ("dec_enc", 1, 1),
  ]
  name, n, h, closed = variants[1]
  assert closed[name][n, h] == 0 and translator.gate_values[name][n, h] == 0.75
  assert closed[name].sum() == translator.gate_values[name].sum() - 0.75
  assert jnp.all(closed["dec_enc"] == 0.75)
