"""Tests of headprune.analysis.measured.gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from headprune.analysis.measured import gradient
from headprune.text import batching
from headprune.translator.translator import Translator
from tests import tiny
from tests.analysis.closing_test import SOURCES, TARGETS


@jax.jit
def sentence_losses(translator, gate_values):
  """-log p of each pair."""
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 6)
  log_p = jax.nn.log_softmax(translator.replace(gate_values=gate_values).exact().logits(batch))
  pairs = enumerate(TARGETS)
  return jnp.stack([-sum(log_p[b, t, word] for t, word in enumerate(row)) for b, row in pairs])


def test_gradient_is_the_mean_absolute_slope_times_the_gate():
  config = tiny.uneven(precision="bfloat16")  # of which `exact` takes the float32 form
  gate_values = tiny.random_gates(config)
  gate_values["enc_self"][0, 1] = 0.0
  translator = Translator(config, tiny.random_params(config), gate_values)
  batches = [batch for _, batch in batching.batches(SOURCES, TARGETS, 3)]
  found = gradient.gradient(translator, batches)
  slopes = jax.jit(jax.jacrev(sentence_losses, argnums=1))(translator, gate_values)
  for name in found:
    expected = gradient.unit_layers(np.abs(slopes[name]).sum(0) * gate_values[name])
    np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(found["dec_enc"], axis=1), [0.0, 1.0], rtol=1e-6)
  assert not np.any(found["dec_self"][1]) and found["enc_self"][0, 1] == 0


def test_layers_have_length_one_or_none():
  score_NH = np.array([[3.0, 4.0], [0.0, 0.0]])
  assert gradient.unit_layers(score_NH).tolist() == [[0.6, 0.8], [0.0, 0.0]]
