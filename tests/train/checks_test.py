"""What is wrong with a run is told before data are read."""

from ml_collections import ConfigDict
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults
from headprune.runs.workdir import Workdir
from headprune.train import checks


def test_folders_that_are_not_runs_are_left_alone(tmp_path):
  (tmp_path / "x" / "tokenizer").mkdir(parents=True)
  (tmp_path / "x" / "tokenizer" / "mine.txt").write_text("mine")
  with pytest.raises(UserError, match="mine.txt is there, but no config.json: not a run"):
    checks.check(defaults.config("baseline", "cldr"), Workdir(tmp_path / "x"))
  under_a_file = tmp_path / "x" / "tokenizer" / "mine.txt" / "run"
  with pytest.raises(UserError, match="mine.txt is not a folder"):
    checks.check(defaults.config("baseline", "cldr"), Workdir(under_a_file))
  assert (tmp_path / "x" / "tokenizer" / "mine.txt").read_text() == "mine"


def test_what_a_failed_start_leaves_is_no_hindrance(tmp_path):
  (tmp_path / "tokenizer").mkdir()
  for name in ("src.model.tmp", "tokenizer.json"):
    (tmp_path / "tokenizer" / name).write_text("")
  (tmp_path / "log.txt").write_text("")
  checks.check(defaults.config("baseline", "cldr"), Workdir(tmp_path))
  for name in ("checkpoints", "stopped"):  # a run would go on from these
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is there, but no config.json"):
      checks.check(defaults.config("baseline", "cldr"), Workdir(tmp_path))
    (tmp_path / name).rmdir()


def test_a_target_that_leaves_no_way_to_the_source_is_refused(tmp_path):
  config = ConfigDict(defaults.config("concrete", "cldr").to_dict())
  config.l0.target_heads = "0"
  with pytest.raises(UserError, match="config.l0.target_heads='0' closes all heads of dec_enc"):
    checks.check(config, Workdir(tmp_path))
  config.gates.types = ("enc_self",)
  config.optim.rules = defaults.config("concrete", "cldr,encoder").optim.rules
  checks.check(config, Workdir(tmp_path))


def test_a_run_does_not_end_before_where_it_is(tmp_path, monkeypatch):
  config = ConfigDict(defaults.config("baseline", "cldr").to_dict())
  config_lib.save(config, Workdir(tmp_path))
  monkeypatch.setattr(checks.stored, "newest_step", lambda workdir: 250)
  config.train.steps = 250
  checks.check(config, Workdir(tmp_path))
  config_lib.save(config, Workdir(tmp_path))
  with monkeypatch.context() as patch:  # reading all of a checkpoint takes seconds
    patch.setattr(checks.stored, "newest_step", lambda workdir: 1 // 0)
    checks.check(config, Workdir(tmp_path))
  config.train.steps = 249
  with pytest.raises(
    UserError, match="train.steps=249: the run is at step 250: give at least as many$"
  ):
    checks.check(config, Workdir(tmp_path))


def test_a_run_does_not_end_before_it_has_its_number_of_heads(tmp_path, monkeypatch):
  config = ConfigDict(defaults.config("concrete", "cldr").to_dict())
  config.l0.target_heads, config.train.steps = "12", 800
  config_lib.save(config, Workdir(tmp_path))
  monkeypatch.setattr(checks.stored, "newest_step", lambda workdir: 250)
  for steps in (251, 800, 1000):
    config.train.steps = steps
    checks.check(config, Workdir(tmp_path))
  config.train.steps = 250
  with pytest.raises(UserError, match="train.steps=250: the run is at step 250, .* give more$"):
    checks.check(config, Workdir(tmp_path))
  config.l0.target_heads = ""
  config_lib.save(config, Workdir(tmp_path))
  checks.check(config, Workdir(tmp_path))


@pytest.mark.parametrize("preset", ["", "cldr", "multi30k", "marian", "words", "enru"])
def test_every_preset_can_prune_the_encoder_alone(tmp_path, preset):
  checks.check(defaults.config("concrete", f"{preset},encoder"), Workdir(tmp_path / "x"))
