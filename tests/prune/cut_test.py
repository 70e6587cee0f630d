"""Cutting heads out: slices, folded gates, and what follows for a config."""

from hypothesis import given, settings
from hypothesis import strategies as st
import jax
from ml_collections import ConfigDict
import numpy as np

from headprune.nn.config import ModelConfig, open_gates
from headprune.prune import cut
from headprune.runs import defaults, validation
from headprune.translator.translator import Translator

SMALL = ModelConfig(
  src_vocab=3, tgt_vocab=3, model_size=6, enc_head_size=2, dec_head_size=2, enc_ff_size=2,
  dec_ff_size=2, enc_self=(3,), dec_self=(2,), dec_enc=(3,),
)  # fmt: skip


def attention_params(heads: int, cross: bool) -> dict:
  """Parameters of one attention, all numbers different."""
  rng = np.random.default_rng(heads)
  fused, name = (2, "kv") if cross else (3, "qkv")
  shapes = {
    f"{name}_kernel": (6, fused, heads, 2),
    f"{name}_bias": (fused, heads, 2),
    "out_kernel": (heads, 2, 6),
    "out_bias": (6,),
  }
  if cross:
    shapes |= {"q_kernel": (6, heads, 2), "q_bias": (heads, 2)}
  return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def small(gate_values: dict) -> Translator:
  encoder = {"self_attention": attention_params(3, cross=False), "ffn": "kept"}
  decoder = {
    "self_attention": attention_params(2, cross=False),
    "cross_attention": attention_params(3, cross=True),
  }
  params = {"encoder_0": encoder, "decoder_0": decoder, "src_bias": "kept"}
  return Translator(SMALL, params, gate_values)


def gate_arrays(enc_self, dec_self, dec_enc) -> dict:
  rows = {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}
  return {name: np.array([row], np.float32) for name, row in rows.items()}


def test_cut_slices_every_projection_and_folds_gates_into_the_output():
  model = small(gate_arrays([1, 1, 1], [0, 0], [0.25, 0, 1]))
  before, after = model.params["decoder_0"]["cross_attention"], cut.cut(model)
  assert after.config.heads == {"enc_self": (3,), "dec_self": (0,), "dec_enc": (2,)}
  assert after.config.dec_head_size == 2
  jax.tree.map(np.testing.assert_array_equal, after.gate_values, open_gates(after.config))
  cross = after.params["decoder_0"]["cross_attention"]
  assert cross.keys() == before.keys()
  np.testing.assert_array_equal(cross["q_kernel"], before["q_kernel"][:, [0, 2]])
  np.testing.assert_array_equal(cross["q_bias"], before["q_bias"][[0, 2]])
  np.testing.assert_array_equal(cross["kv_kernel"], before["kv_kernel"][:, :, [0, 2]])
  np.testing.assert_array_equal(cross["kv_bias"], before["kv_bias"][:, [0, 2]])
  np.testing.assert_array_equal(cross["out_kernel"][0], 0.25 * before["out_kernel"][0])
  np.testing.assert_array_equal(cross["out_kernel"][1], before["out_kernel"][2])
  np.testing.assert_array_equal(cross["out_bias"], before["out_bias"])
  assert after.params["decoder_0"]["self_attention"].keys() == {"out_bias"}
  assert after.params["encoder_0"]["ffn"] == after.params["src_bias"] == "kept"
  assert model.params["decoder_0"]["cross_attention"] is before  # the model itself is left alone


GATES = st.sampled_from([0.0, 0.5, 1.0])  # products are exact
GATE_ROWS = st.tuples(*(st.lists(GATES, min_size=n, max_size=n) for n in (3, 2, 3)))


@settings(deadline=None, max_examples=50)  # the machine may be busy
@given(GATE_ROWS, GATE_ROWS)
def test_cutting_twice_is_cutting_once_with_the_product_of_the_gates(rows, other_rows):
  first, second = gate_arrays(*rows), gate_arrays(*other_rows)
  both = {name: first[name] * second[name] for name in first}
  left = {name: second[name][:, np.flatnonzero(first[name])] for name in first}
  once, twice = cut.cut(small(both)), cut.cut(cut.cut(small(first)).replace(gate_values=left))
  assert twice.config == once.config
  jax.tree.map(np.testing.assert_array_equal, twice.params, once.params)


def test_the_table_counts_heads_and_gates_to_fold_in():
  model = small(gate_arrays([1, 1, 1], [0, 0], [0.25, 0, 1]))
  assert cut.table(model, cut.cut(model)).split("\n") == [
    "5 of 8 heads stay, 1 of them with a gate to fold in",
    "  enc_self  3/3   (layer 1 first)",
    "  dec_self  0/2   (layer 1 first)",
    "  dec_enc   2/3   (layer 1 first)",
  ]
  folded = small(gate_arrays([1] * 3, [1] * 2, [0.5, 1, 1]))
  assert cut.table(folded, cut.cut(folded)).startswith("8 of 8 heads stay, 1 of them")
  whole = small(gate_arrays([1] * 3, [1] * 2, [1] * 3))
  assert "nothing to cut, only copied" in cut.table(whole, cut.cut(whole))


def test_the_config_of_what_is_left_stands_alone():
  config = ConfigDict(defaults.config("concrete", "multi30k").to_dict())
  config.gates.fixed.enc_self, config.model.layers = ((1, 0),), 2
  config.l0.target_heads, config.train.distill = "16", 0.5
  config.gates.chosen_by, config.gates.chosen_for = "random", "16"  # more than are open
  heads = {"enc_self": (3, 0), "dec_self": (3, 3), "dec_enc": (0, 3)}
  c = cut.smaller_config(config, heads)
  assert c.model.heads.to_dict() == heads and c.gates.fixed.enc_self == ()
  assert (c.gates.kind, c.l0.coef, c.init_from, c.eval.average) == ("none", 0.0, "", 1)
  assert c.l0.target_heads == c.gates.chosen_by == ""
  validation.validate(c)  # as whoever loads it does: there is none to learn from any more
  assert "pretrain" not in c and c.is_locked
