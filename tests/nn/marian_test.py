"""Hugging Face's recorded numbers for a MarianMT model, all of whose weights are random."""

import functools
import json

import jax
import numpy as np
import pytest

from headprune.nn import transformer
from headprune.nn.config import TYPES, open_gates
from tests import recorded, tiny


@functools.cache
def computed():
  """({"encoder", "decoder", "logits"}, attention, places of the pairs), of packed rows."""
  config, params = recorded.marian()
  texts = json.loads((recorded.GOLDEN / "marian" / "outputs.json").read_text())
  rows = [[0, 4], [1], [6, 2, 3], [5, 7]]
  batch, places = tiny.pack(texts["src_ids"], texts["tgt_ids"], rows)

  @jax.jit
  def forward(params, batch, gates):
    apply = functools.partial(transformer.apply, config, params)
    encoder, _ = apply(batch, gates, method="encode")
    decoder, _, _ = apply(batch, encoder, gates, method="decode")
    logits, attns = apply(batch, gates)
    return {"encoder": encoder, "decoder": decoder, "logits": logits}, attns

  return *jax.device_get(forward(params, batch, open_gates(config))), places


@pytest.mark.parametrize("name", ["encoder", "decoder", "logits"])
def test_forward_pass(name):
  outputs, _, places = computed()
  assert len(places) == 8
  for i, (row, src, tgt) in places.items():
    ours = outputs[name][row, src if name == "encoder" else tgt]
    theirs = recorded.arrays("marian/outputs.npz")[f"{i}/{name}"]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("name", TYPES)
def test_attention_of_every_head(name, layer):
  _, attns, places = computed()
  for i, (row, src, tgt) in places.items():
    query, memory = src if name == "enc_self" else tgt, tgt if name == "dec_self" else src
    theirs = recorded.arrays("marian/outputs.npz")[f"{i}/{name}/{layer}"]
    ours = attns[name][layer][row, :, query, memory]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
