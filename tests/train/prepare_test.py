"""What a run checks before it starts, and what it starts with."""

from flax import traverse_util
import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, derived
from headprune.runs.workdir import Workdir
from headprune.text import tokenizer
from headprune.train import devices, optim, prepare, schedule, word_dropout
from tests import small_run


@pytest.mark.parametrize("preset, table", [("", "src_embed"), ("multi30k", None)])
def test_encoder_only_trains_the_source_side_and_the_gates(preset, table):
  config = defaults.config("concrete", f"{preset},encoder")
  shapes = prepare._shapes(config, derived.model_config(config.model))
  labels = traverse_util.flatten_dict(optim.label(shapes, config.optim.rules), sep="/")
  trained = {path for path, label in labels.items() if label != "freeze"}
  outside = {p.removeprefix("model/") for p in trained if not p.startswith("model/enc")}
  assert outside == {"gates/enc_self", "src_bias"} | ({table} if table else set())
  assert all(label != "freeze" for path, label in labels.items() if path.startswith("model/enc"))


@pytest.mark.parametrize(
  "fields, line",
  [
    ({"l0.coef": 0.3}, "l0.coef 0.3 is lambda 0.05 on a plain sum over heads (6 modules)"),
    (
      {"l0.coef": 0.0, "l0.per_head": 0.05},
      "l0.coef 0.3 is lambda 0.05 on a plain sum over heads (6 modules)",
    ),
    (
      {"l0.target_heads": "12"},
      "l0.target_heads 12, aimed at from step 250 on and kept exactly from step 250 on",
    ),
    (
      {"l0.target_heads": "12", "gates.kind": "topk", "gates.topk_start": 2.0},
      "l0.target_heads 12, chosen anew at every step, at a temperature that falls from 2 to 0.1 "
      "and kept exactly from step 250 on",
    ),
  ],
)
def test_what_decides_how_many_heads_stay_is_told(fields, line):
  config = defaults.config("concrete", "cldr")
  config.update_from_flattened_dict(fields)
  model = derived.model_config(config.model)
  assert prepare._how_many(config, model, schedule.goal(config, model)[0]) == line


@pytest.mark.parametrize("kind, names", [("concrete", {"linear", "quadratic"}), ("topk", set())])
def test_a_top_k_has_no_multipliers(kind, names):
  config = defaults.config("concrete", "cldr")
  config.gates.kind, config.l0.target_heads = kind, "12"
  shapes = prepare._shapes(config, derived.model_config(config.model))
  assert set(shapes.get("multipliers", ())) == names
  assert set(shapes["gates"]) == {"enc_self", "dec_self", "dec_enc"}


def test_a_teacher_is_needed_as_long_as_one_learns_from_it(tmp_path):
  start = small_run.make(tmp_path / "start")
  config = ConfigDict(start.config.to_dict())
  config.init_from = str(tmp_path / "start")
  assert prepare.teacher(config, devices.mesh()) is None
  config.train.distill = 0.25
  teacher = prepare.teacher(config, devices.mesh())
  assert teacher.share == 0.25 and teacher.config == start.translator.config
  jax.tree.map(np.testing.assert_array_equal, teacher.params, start.translator.params)
  jax.tree.map(np.testing.assert_array_equal, teacher.gate_values, start.translator.gate_values)
  (tmp_path / "start").rename(tmp_path / "elsewhere")
  with pytest.raises(UserError, match=r"distill=0.25 needs the run at .*init_from .*start"):
    prepare.teacher(config, devices.mesh())


def test_folders_that_are_not_runs_are_left_alone(tmp_path):
  (tmp_path / "x" / "tokenizer").mkdir(parents=True)
  (tmp_path / "x" / "tokenizer" / "mine.txt").write_text("mine")
  with pytest.raises(UserError, match="mine.txt is there, but no config.json: not a run"):
    prepare.check(defaults.config("baseline", "cldr"), Workdir(tmp_path / "x"))
  under_a_file = tmp_path / "x" / "tokenizer" / "mine.txt" / "run"
  with pytest.raises(UserError, match="mine.txt is not a folder"):
    prepare.check(defaults.config("baseline", "cldr"), Workdir(under_a_file))
  assert (tmp_path / "x" / "tokenizer" / "mine.txt").read_text() == "mine"


def test_what_a_failed_start_leaves_is_no_hindrance(tmp_path):
  (tmp_path / "tokenizer").mkdir()
  for name in ("src.model.tmp", "tokenizer.json"):
    (tmp_path / "tokenizer" / name).write_text("")
  (tmp_path / "log.txt").write_text("")
  prepare.check(defaults.config("baseline", "cldr"), Workdir(tmp_path))
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(UserError, match="checkpoints is there, but no config.json"):
    prepare.check(defaults.config("baseline", "cldr"), Workdir(tmp_path))


def test_words_are_hidden_as_the_config_says():
  config = defaults.config("baseline", "cldr")
  words = tokenizer.Whitespace((*tokenizer.RESERVED, *small_run.WORDS))
  assert prepare._hidden(config.train, (words, words)) == (None, None)
  config.train.src_word_dropout, config.train.word_dropout_by = 0.1, "random"
  how = word_dropout.Side(0.1, None, 10, (0, 1, 2))
  assert prepare._hidden(config.train, (words, words)) == (how, None)
  config.train.src_word_dropout, config.train.tgt_word_dropout = 0.0, 0.2
  config.train.word_dropout_by = "unknown"
  how = word_dropout.Side(0.2, 2, 10, (0, 1, 2))
  assert prepare._hidden(config.train, (words, words)) == (None, how)


def test_a_run_does_not_end_before_it_has_its_number_of_heads(tmp_path, monkeypatch):
  config = ConfigDict(defaults.config("concrete", "cldr").to_dict())
  config.l0.target_heads, config.train.steps = "12", 800
  config_lib.save(config, Workdir(tmp_path))
  monkeypatch.setattr(prepare.stored, "newest_step", lambda workdir: 250)
  for steps in (251, 800, 1000):
    config.train.steps = steps
    prepare.check(config, Workdir(tmp_path))
  config.train.steps = 250
  with pytest.raises(UserError, match="train.steps=250: the run is at step 250, .* give more$"):
    prepare.check(config, Workdir(tmp_path))
  config.l0.target_heads = ""
  config_lib.save(config, Workdir(tmp_path))
  prepare.check(config, Workdir(tmp_path))


@pytest.mark.parametrize("preset", ["", "cldr", "multi30k", "marian", "enru"])
def test_every_preset_can_prune_the_encoder_alone(tmp_path, preset):
  prepare.check(defaults.config("concrete", f"{preset},encoder"), Workdir(tmp_path / "x"))
