"""Methods and presets: every config is valid, every field is explained."""

import importlib
import pathlib
import sys

import pytest

from headprune.errors import UserError
from headprune.runs import defaults, derived, presets, validation
from headprune.text import packing

ROOT = pathlib.Path(__file__).parents[2]
METHODS = tuple(defaults.PARTS)
PRESETS = tuple(presets.TASKS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_every_config_is_valid(method, preset):
  config = defaults.config(method, preset)
  if config.gates.kind == "fixed":
    config.gates.fixed_from = ""  # a run that is not there
  validation.validate(config)
  with pytest.raises(AttributeError):
    config.train.unknown = 1


def test_every_field_is_explained():
  assert all(about for _, about in defaults.FIELDS.values())
  assert derived.flatten(defaults.base()).keys() == defaults.FIELDS.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_has_as_many_rows_on_eight_devices_as_on_one(preset):
  config = defaults.config("baseline", preset)
  rows = config.train.batch_tokens // config.data.row_length
  assert rows % 8 == 0
  assert packing.batch_rows(config.train.batch_tokens, config.data.row_length, 1, 8) == rows


def test_files_in_configs_are_the_methods(monkeypatch):
  monkeypatch.syspath_prepend(ROOT / "configs")
  for method in METHODS:
    module = importlib.import_module(method)
    try:
      for argument in ("multi30k", f",{defaults.PARTS[method]}" if defaults.PARTS[method] else ""):
        assert module.get_config(argument).to_dict() == defaults.config(method, argument).to_dict()
    finally:
      del sys.modules[method]
  assert {p.stem for p in (ROOT / "configs").glob("*.py")} == set(METHODS)


def test_fixed_gates_have_no_teacher_for_it_would_be_where_the_run_starts():
  assert defaults.config("concrete", "words").train.distill == 0.5
  assert defaults.config("fixed", "words").train.distill == 0.0


def test_a_name_may_bring_its_preset():
  assert defaults.get_config("concrete:enru,encoder").gates.types == ("enc_self",)
  assert defaults.get_config("baseline") == defaults.config("baseline")


@pytest.mark.parametrize(
  "method, argument, message",
  [
    ("concret", "", "--config concret: no such file, nor one of baseline, concrete, fixed"),
    (
      "baseline",
      "multi3k",
      "'multi3k': did you mean 'multi30k'\\? There are: cldr, multi30k, marian, words, enru",
    ),
    ("concrete", "enru,encode", "'enru,encode': did you mean 'enru,encoder'"),
    ("baseline", "enru,encoder", "'enru,encoder': did you mean 'enru'"),
  ],
)
def test_unknown_names_are_told(method, argument, message):
  with pytest.raises(UserError, match=message):
    defaults.config(method, argument)


def test_what_methods_do_to_a_preset():
  baseline, concrete, fixed, scratch = (
    defaults.config(method, argument)
    for method, argument in (
      ("baseline", "multi30k"), ("concrete", "multi30k"), ("fixed", "multi30k"),
      ("fixed", "multi30k,scratch"),
    )
  )  # fmt: skip
  assert concrete.pretrain.to_dict() == {
    "train": baseline.train.to_dict(), "optim": baseline.optim.to_dict(),
    "model": {"embed_dropout": 0.3, "residual_dropout": 0.3},
  }  # fmt: skip
  assert (concrete.model.embed_dropout, concrete.model.residual_dropout) == (0.03, 0.03)
  assert set(defaults.config("concrete", "words").pretrain) == {"train", "optim"}
  assert concrete.init_from == "runs/multi30k-baseline" and concrete.l0.target_heads == "25%"
  assert fixed.init_from == fixed.gates.fixed_from == "runs/multi30k-concrete"
  assert (concrete.train.steps, fixed.train.steps, scratch.train.steps) == (3000, 1000, 5000)
  assert (fixed.train.checkpoint_every, fixed.optim.cooldown) == (83, 0.5)
  assert fixed.optim.warmup == pytest.approx(0.3)
  assert fixed.l0.target_heads == scratch.l0.target_heads == "" and scratch.init_from == ""
  encoder = defaults.config("concrete", "cldr,encoder")
  assert encoder.optim.rules == presets.ENCODER_ONLY and encoder.init_from == "runs/cldr-baseline"
  assert encoder.l0.coef == pytest.approx(0.08 / 6)
  shallow = defaults.config("concrete", ",encoder")  # 2 modules of 4 and half the lambda
  assert shallow.l0.coef == pytest.approx(defaults.config("concrete").l0.coef / 4)
