"""Runs of earlier versions: what their config.json says is what they did."""

import json

import numpy as np
import pytest

from headprune.runs import config as config_lib
from headprune.runs import defaults, effect, upgrade
from headprune.runs.workdir import Workdir


def _older(config, scale, warmup, cooldown):
  """`config` as it was written when the schedule was in steps, and there was one corpus."""
  fields = json.loads(json.dumps(config.to_dict()))
  del fields["data"]["corpus"]["kind"]
  for name in ("learning_rate", "warmup", "cooldown"):
    del fields["optim"][name]
  fields["optim"] |= {"scale": scale, "warmup_steps": warmup, "cooldown_steps": cooldown}
  return fields


@pytest.mark.parametrize(
  "method, preset, scale, warmup, cooldown",
  [("baseline", "cldr", 2.0, 200, 200), ("baseline", "enru", 1.0, 800, 1000),
   ("baseline", "base", 4.0, 16000, 0), ("concrete", "multi30k", 0.4, 300, 900)],
)  # fmt: skip
def test_a_run_of_a_preset_goes_on_with_the_preset(
  tmp_path, method, preset, scale, warmup, cooldown
):
  config, workdir = defaults.config(method, preset), Workdir(tmp_path)
  fields = _older(config, scale, warmup, cooldown)
  if "pretrain" in fields:
    fields["pretrain"]["optim"] = _older(config_lib.pretraining(config), 2.0, 2000, 1500)["optim"]
  workdir.config.write_text(json.dumps(fields))
  loaded = config_lib.load(workdir)
  assert effect.differences(loaded, config) == []
  assert loaded.to_dict() == config.to_dict()


def test_names_of_fields(tmp_path):
  fields = defaults.base().to_dict()
  fields["model"]["relu_dropout"] = fields["model"].pop("activation_dropout") + 0.2
  assert upgrade.config(fields)["model"]["activation_dropout"] == pytest.approx(0.3)
  assert "relu_dropout" in fields["model"]  # what was given stays


def test_the_built_in_corpus_stays_the_one_that_there_was():
  fields = defaults.base().to_dict()
  assert upgrade.config(fields)["data"]["corpus"]["kind"] == "grammar"
  del fields["data"]["corpus"]["kind"]
  found = upgrade.config(fields)["data"]
  assert found["corpus"]["kind"] == "cldr" and found["kind"] == "corpus"
  assert "kind" not in fields["data"]["corpus"]  # what was given stays


@pytest.mark.parametrize("warmup, cooldown", [(10, 0), (0, 4), (25, 40)])
def test_rates_stay_as_they_were_where_a_run_was_shorter_than_its_warm_up(warmup, cooldown):
  """Each rate by the formula of old, which knew no shares."""
  optim = {"scale": 0.7, "warmup_steps": warmup, "cooldown_steps": cooldown, "b1": 0.9}
  fields = {"model": {"model_size": 16}, "optim": optim, "train": {"steps": 20}}
  found = upgrade.config(fields)["optim"]
  assert found.keys() == {"learning_rate", "warmup", "cooldown", "b1"}
  s = np.arange(1, 21)
  old = 0.7 * 16**-0.5 * np.minimum(s**-0.5, s * max(warmup, 1) ** -1.5)
  old *= np.clip((21 - s) / max(cooldown, 1), 0, 1)
  steps, cooled = found["warmup"] * 20, found["cooldown"] * 20
  new = found["learning_rate"] * np.minimum(s / steps, (steps / s) ** 0.5)
  new *= np.clip((21 - s) / max(cooled, 1), 0, 1)
  np.testing.assert_allclose(new, old, rtol=1e-6)


def test_losses_have_the_names_of_what_they_are():
  old = {"step": 3, "loss": 2.0, "xent": 1.5, "dev_loss": 1.0}
  new = {"step": 3, "objective": 2.0, "smoothed_loss": 1.5, "dev_smoothed_loss": 1.0}
  assert upgrade.losses(old) == new
  assert upgrade.losses(new | {"dev_loss": 1.2}) == new | {"dev_loss": 1.2}


def test_a_run_from_before_minimum_risk_training_has_its_defaults(tmp_path):
  fields = json.loads(json.dumps(defaults.base().to_dict()))
  del fields["mrt"], fields["train"]["loss"]
  Workdir(tmp_path).config.write_text(json.dumps(fields))
  assert effect.differences(config_lib.load(Workdir(tmp_path)), defaults.base()) == []


def test_what_trains_with_the_encoder_is_one_rule():
  fields = defaults.config("concrete", "cldr,encoder").to_dict()
  (both, *rest) = now = list(map(list, fields["optim"]["rules"]))
  assert both == ["model/(src_|enc).*", "train"]
  fields["optim"]["rules"] = [["model/src_.*", "train"], ["model/enc.*", "train"], *rest]
  assert upgrade.config(fields)["optim"]["rules"] == now
  fields["optim"]["rules"] = rest
  assert upgrade.config(fields)["optim"]["rules"] == rest, "a rule of one's own stays"
