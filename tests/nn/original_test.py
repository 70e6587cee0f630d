"""The original program's recorded numbers: forward pass, attention, gates and losses."""

import functools

from flax import traverse_util
import jax
import numpy as np
import pytest

from headprune.nn import gates, losses, ops, transformer
from headprune.nn.config import TYPES
from tests import recorded, tiny

PAIRS = 8
LAYOUTS = {  # rows of pairs
  "unpacked": [[i] for i in range(PAIRS)],
  "packed": [[0, 3, 1], [4, 5], [2, 6, 7]],
}


def outputs(kind):
  return recorded.arrays(f"{kind}/outputs.npz")


@functools.cache
def computed(kind, layout):
  """Everything the model computes, in recorded names, cut into one entry per pair."""
  config, params, gate_values = recorded.model(kind)
  batch, places = tiny.pack(*recorded.pairs(outputs(kind)), LAYOUTS[layout])

  @jax.jit
  def forward(params, batch, values):
    apply = functools.partial(transformer.apply, config, params)
    enc_out, enc_self = apply(batch, values, method="encode")
    rdo, dec_self, dec_enc = apply(batch, enc_out, values, method="decode")
    logits = apply(rdo, method="logits")
    loss = losses.token_losses(config, params, batch, values, smoothing=0.1)
    attns = {"enc-self": enc_self, "dec-self": dec_self, "dec-enc": dec_enc}
    return {"enc_out": enc_out, "rdo": rdo, "logits": logits, "token_loss": loss}, attns

  values, attns = jax.device_get(forward(params, batch, gate_values))
  result = []
  for i in range(PAIRS):
    row, src, tgt = places[i]
    of_pair = {name: x[row, src if name == "enc_out" else tgt] for name, x in values.items()}
    for name, layers in attns.items():
      queries, memories = src if name == "enc-self" else tgt, tgt if name == "dec-self" else src
      for n, attn in enumerate(layers):
        elsewhere = np.delete(attn[row, :, queries], np.r_[memories], -1)
        assert not elsewhere.any()  # nothing leaks into other pairs or padding
        of_pair[f"attn_weights/{name}/{n}"] = attn[row, :, queries, memories]
    result.append(of_pair)
  return result


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", recorded.KINDS)
@pytest.mark.parametrize(
  "name, tolerance", [("enc_out", 1e-4), ("rdo", 1e-4), ("logits", 1e-4), ("token_loss", 1e-5)]
)
def test_forward_pass(kind, layout, name, tolerance):
  expected = outputs(kind)[name]
  for i, of_pair in enumerate(computed(kind, layout)):
    ours = of_pair[name]
    np.testing.assert_allclose(ours, expected[i, : len(ours)], rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", recorded.KINDS)
@pytest.mark.parametrize("layer", (0, 1))
@pytest.mark.parametrize("name", ("enc-self", "dec-self", "dec-enc"))
def test_attention_of_every_head(kind, layout, name, layer):
  key = f"attn_weights/{name}/{layer}"
  for i, of_pair in enumerate(computed(kind, layout)):
    heads, queries, memories = of_pair[key].shape
    assert heads == 4
    real = outputs(kind)[key][i, :, :queries, :memories]
    np.testing.assert_allclose(of_pair[key], real, rtol=0, atol=1e-5)


def test_gates_and_penalties():
  record, (config, params) = outputs("concrete"), recorded.converted("concrete")
  _, _, gate_values = recorded.model("concrete")
  total = 0.0
  for name in TYPES:
    key = name.replace("_", "-")
    log_alpha_NH = params["gates"][name]
    for n in range(2):
      for ours, theirs in (
        (gate_values[name][n], record[f"gate/{key}/{n}"].ravel()),
        (gates.p_open(log_alpha_NH[n]), record[f"p_open/{key}/{n}"].ravel()),
        (
          gates.penalty({name: log_alpha_NH[n : n + 1]}, {name: (4,)}),
          record[f"l0_penalty/{key}/{n}"],
        ),
      ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
      total += record[f"l0_penalty/{key}/{n}"]
  penalty = gates.penalty(params["gates"], config.heads)
  np.testing.assert_allclose(penalty, total / 6, rtol=0, atol=1e-5)
  np.testing.assert_allclose(penalty, record["problem/counters/concrete_reg"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", recorded.KINDS)
def test_total_loss(kind):
  config, params = recorded.converted(kind)
  losses = [of_pair["token_loss"] for of_pair in computed(kind, "unpacked")]
  penalty = gates.penalty(params["gates"], config.heads)
  loss = sum(map(np.sum, losses)) / sum(map(len, losses)) + 0.1 * penalty
  np.testing.assert_allclose(loss, outputs(kind)["problem/loss"], rtol=0, atol=1e-5)


def test_key_biases_change_nothing():
  config, params, gate_values = recorded.model("concrete")
  batch, _ = tiny.pack(*recorded.pairs(outputs("concrete")), LAYOUTS["packed"])
  flat = traverse_util.flatten_dict(params, sep="/")
  moved = 0
  for path, array in flat.items():
    if path.endswith("kv_bias"):
      flat[path] = array.copy()
      flat[path][1 if path.endswith("qkv_bias") else 0] += 0.1
      moved += 1
  assert moved == 6
  apply = jax.jit(lambda params: transformer.apply(config, params, batch, gate_values)[0])
  after = apply(traverse_util.unflatten_dict(flat, sep="/"))
  np.testing.assert_allclose(after, apply(params), rtol=0, atol=1e-4)


def test_positional_signal():
  expected = outputs("concrete")["positional_signal_40"]
  np.testing.assert_allclose(ops.positions(40, 32, "tensor2tensor"), expected, rtol=0, atol=1e-5)
