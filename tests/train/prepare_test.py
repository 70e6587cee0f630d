"""What a run checks before it starts, and what it starts with."""

from flax import traverse_util
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults
from headprune.runs.workdir import Workdir
from headprune.train import optim, prepare


@pytest.mark.parametrize("preset, table", [("", "src_embed"), ("multi30k", None)])
def test_encoder_only_trains_the_source_side_and_the_gates(preset, table):
  config = defaults.config("concrete", f"{preset},encoder")
  shapes = prepare._shapes(config, config_lib.model_config(config.model))
  labels = traverse_util.flatten_dict(optim.label(shapes, config.optim.rules), sep="/")
  trained = {path for path, label in labels.items() if label != "freeze"}
  outside = {p.removeprefix("model/") for p in trained if not p.startswith("model/enc")}
  assert outside == {"gates/enc_self", "src_bias"} | ({table} if table else set())
  assert all(label != "freeze" for path, label in labels.items() if path.startswith("model/enc"))


def test_folders_that_are_not_runs_are_left_alone(tmp_path):
  (tmp_path / "x" / "tokenizer").mkdir(parents=True)
  (tmp_path / "x" / "tokenizer" / "mine.txt").write_text("mine")
  with pytest.raises(UserError, match="mine.txt is there, but no config.json: not a run"):
    prepare.check(defaults.config("baseline"), Workdir(tmp_path / "x"))
  under_a_file = tmp_path / "x" / "tokenizer" / "mine.txt" / "run"
  with pytest.raises(UserError, match="mine.txt is not a folder"):
    prepare.check(defaults.config("baseline"), Workdir(under_a_file))
  assert (tmp_path / "x" / "tokenizer" / "mine.txt").read_text() == "mine"


def test_what_a_failed_start_leaves_is_no_hindrance(tmp_path):
  (tmp_path / "tokenizer").mkdir()
  for name in ("src.model.tmp", "tokenizer.json"):
    (tmp_path / "tokenizer" / name).write_text("")
  (tmp_path / "log.txt").write_text("")
  prepare.check(defaults.config("baseline"), Workdir(tmp_path))
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(UserError, match="checkpoints is there, but no config.json"):
    prepare.check(defaults.config("baseline"), Workdir(tmp_path))
