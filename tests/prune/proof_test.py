"""Whether a model and its cut version are the same, and what is said about the gain."""

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.prune import proof
from headprune.prune.cut import cut
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator
from tests import recorded, tiny

BEAM = BeamConfig(beams=4, alpha=0.6, spread=3.0)
NONE = np.zeros((2, 4), np.float32)


@pytest.fixture(scope="module")
def original():
  """The original's pruned model, and the recorded sentences."""
  return Translator(*recorded.model("concrete")), recorded.pairs(
    recorded.arrays("concrete/outputs.npz")
  )


@pytest.mark.parametrize("closed", [("enc_self", "dec_self"), ("dec_enc",)])
def test_a_cut_model_scores_and_translates_as_the_masked_one(original, closed):
  translator, pairs = original
  masked = translator.replace(gate_values=translator.gate_values | dict.fromkeys(closed, NONE))
  small = cut(masked)
  assert all(small.config.heads[name] == (0, 0) for name in closed)
  assert proof.check(masked, small, *pairs, BEAM) < 1e-5


def test_a_cut_model_of_another_architecture_is_the_same_model():
  config = tiny.uneven(**tiny.MARIAN)
  gate_values = tiny.random_gates(config)
  gate_values["enc_self"][2, 1] = gate_values["dec_self"][0] = 0.0
  model = Translator(config, tiny.random_params(config), gate_values)
  sources, targets = [[3, 4, 0], [5, 0]], [[6, 0], [7, 8, 0]]
  assert proof.check(model, cut(model), sources, targets, BEAM) < 1e-5


def test_models_that_differ_are_told_apart(original):
  translator, pairs = original
  other = translator.gate_values | {"dec_enc": translator.gate_values["dec_enc"] + np.float32(1e-3)}
  with pytest.raises(UserError, match="not the same model: logits differ by"):
    proof.check(translator, translator.replace(gate_values=other), *pairs, BEAM)


def test_another_translation_is_told(original, monkeypatch):
  translator, pairs = original
  found = translator.translate(pairs[0], BEAM, 8)
  results = iter([found, [*found[:2], found[0], *found[3:]]])
  monkeypatch.setattr(Translator, "translate", lambda *_: next(results))
  with pytest.raises(UserError, match="1 of 8 translations differ in float32, first .* sentence 3"):
    proof.check(translator, translator, *pairs, BEAM)


def test_the_table_compares_sizes_and_speeds(original, monkeypatch):
  translator, pairs = original
  monkeypatch.setattr(proof.timing, "take_turns", lambda calls, _: ([], [[4.0], [2.0], [1.0]]))
  masked = translator.replace(gate_values=translator.gate_values | {"enc_self": NONE})
  rows = proof.table(masked, cut(masked), *pairs, BEAM).split("\n")
  cells = {line[2:28].strip(): line[28:].split() for line in rows[1:8]}
  count = lambda t: f"{sum(np.size(x) for x in proof.jax.tree.leaves(t.params)):,}"
  assert cells["parameters"][:3] == [count(masked), count(masked), count(cut(masked))]
  assert cells["scoring, tokens/s"][3] == cells["translation, sentences/s"][3] == "2.00x"
  assert cells["translation, sentences/s"][:3] == ["2.0", "4.0", "8.0"]
  assert cells["cache bytes, source token"][0] == "512"  # 2 x 2 layers x 4 heads x 8 channels x 4
  assert float(cells["FLOPs per source token"][3][:-1]) > 1.0
  assert rows[-1].endswith("that the two speeds differ by 100% here is noise.")


@pytest.mark.parametrize(
  "sizes, gain", [((8, 8, 4), "2.00x"), ((8, 8, 0), "all"), ((0,) * 3, "1.00x")]
)
def test_where_there_was_nothing_nothing_is_gained(sizes, gain):
  assert proof._cost_row("cache", sizes, lambda size: size)[-2] == gain
