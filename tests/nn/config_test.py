"""Sizes that follow from a config, its defaults, its precisions."""

import dataclasses

import numpy as np
import pytest

from headprune.nn.config import (
  ACTIVATIONS,
  NORMS,
  POSITIONS,
  PRECISIONS,
  ModelConfig,
  attention_precision,
  open_gates,
)
from tests import tiny


def test_gates_are_as_wide_as_the_widest_layer_of_their_type():
  config = tiny.uneven(dec_self=(0, 0))
  assert config.heads == {"enc_self": (2, 0, 3), "dec_self": (0, 0), "dec_enc": (0, 2)}
  assert (config.enc_layers, config.dec_layers) == (3, 2)
  assert config.gate_shapes == {"enc_self": (3, 3), "dec_self": (2, 1), "dec_enc": (2, 2)}
  for name, gate_NH in open_gates(config).items():
    np.testing.assert_array_equal(gate_NH, np.ones(config.gate_shapes[name]))


def test_defaults_are_the_original_programs_model():
  fields = dataclasses.fields(ModelConfig)
  assert {f.name: f.default for f in fields if f.default is not dataclasses.MISSING} == dict(
    share_embeddings=False, norm="pre", final_norms=True, norm_epsilon=1e-6, activation="relu",
    positions="tensor2tensor", source_bias=True, logits_bias=False, decoder_start=None, eos=1,
    scale_embeddings=True, pad=None,
    embed_dropout=0.0, residual_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
    precision="float32", attention_precision="float32",
  )  # fmt: skip
  config = tiny.even()
  assert config.norm in NORMS and config.activation in ACTIVATIONS
  assert config.positions in POSITIONS and config.precision in PRECISIONS


def test_equal_configs_are_one_key():
  assert hash(tiny.uneven()) == hash(tiny.uneven()) and tiny.uneven() == tiny.uneven()
  assert tiny.uneven() != tiny.uneven(norm="post")
  with pytest.raises(dataclasses.FrozenInstanceError):
    tiny.uneven().norm = "post"


def test_the_exact_model_differs_in_precision_alone():
  config = tiny.even(precision="bfloat16", attention_precision="bfloat16", eos=5)
  assert config.exact() == tiny.even(eos=5)


@pytest.mark.parametrize(
  "precision, platform, products",
  [("bfloat16", "cpu", "float32"), ("bfloat16", "gpu", "bfloat16"), ("float32", "tpu", "float32")],
)
def test_attentions_products_by_platform(precision, platform, products):
  assert attention_precision(precision, platform) == products
