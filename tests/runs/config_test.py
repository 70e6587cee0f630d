"""How a config is kept, and what is said of one that is damaged."""

import json

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, derived, effect, presets
from headprune.runs.workdir import Workdir
from tests.base_config import changed

PRESETS = tuple(presets.TASKS)


def test_a_saved_config_comes_back_as_it_was(tmp_path):
  given = {"gates.fixed.enc_self": ((1, 0.5), (0, 1)), "optim.rules": presets.ENCODER_ONLY}
  config = changed(**given)
  config_lib.save(config, Workdir(tmp_path))
  loaded = config_lib.load(Workdir(tmp_path))
  assert loaded.to_dict() == config.to_dict()
  assert loaded.is_locked and effect.differences(loaded, config) == []
  assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(UserError, match="not a run"):
    config_lib.load(Workdir(tmp_path))
  (tmp_path / "config.json").write_text('{"seed": 0')
  with pytest.raises(UserError, match="config.json: not JSON"):
    config_lib.load(Workdir(tmp_path))


def test_a_fixed_run_needs_no_other_folder(tmp_path):
  source = tmp_path / "heads.json"
  source.write_text(json.dumps({"enc_self": [[0.0, 0.5], [1.0]]}))
  small = {"model.num_heads": 2, "model.heads.enc_self": (2, 1)}
  config = changed(**small, **{"gates.kind": "fixed", "gates.fixed_from": str(source)})
  gates_of = lambda config: derived.fixed_gates(config.gates, derived.model_config(config.model))
  want = gates_of(config)
  config_lib.save(config, Workdir(tmp_path))
  loaded = config_lib.load(Workdir(tmp_path))
  assert effect.differences(loaded, config) == []
  source.write_text(json.dumps({"enc_self": [[1.0, 0.5], [1.0]]}))
  assert effect.differences(loaded, config) == [
    "gates.fixed.enc_self: ((0.0, 0.5), (1.0,)) -> ((1.0, 0.5), (1.0,))"
  ]
  source.unlink()
  for name, gate_NH in gates_of(loaded).items():
    np.testing.assert_array_equal(gate_NH, want[name])


def test_pretraining_is_the_baseline_config():
  for preset in set(PRESETS) - presets.PRETRAINED.keys():
    pretraining = config_lib.pretraining(defaults.config("concrete", preset))
    assert effect.differences(pretraining, defaults.config("baseline", preset)) == []
    assert pretraining.to_dict() == defaults.config("baseline", preset).to_dict()


def test_older_configs_have_the_defaults_of_newer_fields(tmp_path):
  workdir = Workdir(tmp_path)
  config_lib.save(changed(model__activation_dropout=0.3), workdir)
  fields = json.loads(workdir.config.read_text())
  for name in ("norm", "activation", "dec_layers"):
    del fields["model"][name]
  workdir.config.write_text(json.dumps(fields))
  assert config_lib.load(workdir).to_dict() == changed(model__activation_dropout=0.3).to_dict()


def test_a_folder_of_transformers_is_told_from_a_damaged_run(tmp_path):
  (tmp_path / "config.json").write_text('{"model_type": "marian"}')
  with pytest.raises(
    UserError, match=f"not a run but .*convert marian --dir {tmp_path} --out RUN$"
  ):
    config_lib.load(Workdir(tmp_path))


@pytest.mark.parametrize(
  "content",
  [b"", b"[]", b"{}", b'{"model": 3}', b'{"model": {}, "data": []}', b"\xff", b'"text"'],
)
def test_a_damaged_config_is_one_line(tmp_path, content):
  (tmp_path / "config.json").write_bytes(content)
  with pytest.raises(UserError, match="config.json: ") as caught:
    config_lib.load(Workdir(tmp_path))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "change", [("model", "norm", "middle"), ("train", "steps", "many"), ("data", "kind", "txt")]
)
def test_a_value_that_cannot_be_names_the_file(tmp_path, change):
  workdir = Workdir(tmp_path)
  config_lib.save(changed(), workdir)
  fields = json.loads(workdir.config.read_text())
  fields[change[0]][change[1]] = change[2]
  workdir.config.write_text(json.dumps(fields))
  with pytest.raises(UserError, match="config.json: "):
    config_lib.load(workdir)


@pytest.mark.parametrize(
  "section, name, near",
  [("model", "norms", "model.norm"), ("pretrain", "steps", "train.steps"), ("", "sed", "seed")],
)
def test_a_field_that_is_not_known_is_named(tmp_path, section, name, near):
  workdir = Workdir(tmp_path)
  config_lib.save(changed(), workdir)
  fields = json.loads(workdir.config.read_text())
  (fields.setdefault(section, {}) if section else fields)[name] = 3
  if section == "pretrain":
    fields[section] |= {key: fields[key] for key in ("train", "optim")}
  workdir.config.write_text(json.dumps(fields))
  whole = f"{section}.{name}".removeprefix(".")
  with pytest.raises(
    UserError,
    match=f"config.json: config.{whole}=3 is no field of this version; did you mean config.{near}?",
  ):
    config_lib.load(workdir)


def test_a_run_from_scratch_has_no_origin(tmp_path):
  assert config_lib.origin(changed()) is None
  assert config_lib.origin(changed(init_from=str(tmp_path))) == Workdir(tmp_path)
