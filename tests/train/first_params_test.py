"""What a run's parameters are at step 0."""

from flax import traverse_util
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, derived
from headprune.runs.workdir import Workdir
from headprune.train import first_params, optim
from tests.train.trained import small_config


@pytest.mark.parametrize("preset, table", [("", "src_embed"), ("multi30k", None)])
def test_encoder_only_trains_the_source_side_and_the_gates(preset, table):
  config = defaults.config("concrete", f"{preset},encoder")
  shapes = first_params.shapes(config, derived.model_config(config.model))
  labels = traverse_util.flatten_dict(optim.label(shapes, config.optim.rules), sep="/")
  trained = {path for path, label in labels.items() if label != "freeze"}
  outside = {p.removeprefix("model/") for p in trained if not p.startswith(("model/enc", "mult"))}
  assert outside == {"gates/enc_self", "src_bias"} | ({table} if table else set())
  assert all(label != "freeze" for path, label in labels.items() if path.startswith("model/enc"))


@pytest.mark.parametrize("kind, names", [("concrete", {"linear", "quadratic"}), ("topk", set())])
def test_a_top_k_has_no_multipliers(kind, names):
  config = defaults.config("concrete", "cldr")
  config.gates.kind, config.l0.target_heads = kind, "12"
  shapes = first_params.shapes(config, derived.model_config(config.model))
  assert set(shapes.get("multipliers", ())) == names
  assert set(shapes["gates"]) == {"enc_self", "dec_self", "dec_enc"}


def test_what_is_there_is_taken_and_what_is_not_starts_anew():
  here, there = np.zeros((1, 2)), np.ones((1, 2))
  gates = {"enc_self": there, "dec_enc": there}
  found = {"model": {"src_embed": there}, "gates": gates, "multipliers": {"linear": there[0]}}
  new = {"model": {"src_embed": here}, "gates": {"enc_self": here, "dec_self": here}}
  new["multipliers"] = {"linear": here[0]}
  taken = first_params._adopt(found, new, "runs/x")
  assert taken["model"]["src_embed"] is there and taken["gates"]["enc_self"] is there
  assert taken["gates"].keys() == {"enc_self", "dec_self"} and taken["gates"]["dec_self"] is here
  assert taken["multipliers"] == new["multipliers"]
  without = first_params._adopt(found, {"model": {"src_embed": here}, "gates": {}}, "runs/x")
  assert without["gates"] == {} and without.keys() == {"model", "gates"}
  with pytest.raises(UserError, match="runs/x: its parameter model/src_embed has no place in this"):
    first_params._adopt(found, {"model": {}, "gates": {}}, "runs/x")


def test_another_text_in_init_from_is_told(finished, capsys):
  config = small_config("concrete", finished[0] / "baseline")
  baseline = config_lib.load(Workdir(finished[0] / "baseline"))
  first_params._say_what_differs(baseline, config, print)
  assert capsys.readouterr().out == ""
  config.data.corpus.locale = "de"
  first_params._say_what_differs(baseline, config, print)
  assert "data.corpus.locale: 'ru' -> 'de'" in capsys.readouterr().out
