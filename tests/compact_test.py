"""Compacting a run: an ordinary run comes out, whole or not at all."""

import json
import shutil
import sys

import numpy as np
import pytest

import headprune
from headprune import compact
from headprune.errors import UserError
from headprune.prune import proof
from headprune.runs import defaults, heads
from headprune.runs import run as run_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import textfile, tokenizer
from headprune.train import training
from headprune.translator.translator import Translator
from tests import recorded, small_run
from tests.recorded import GOLDEN

TEXT = str(GOLDEN / "eval.src"), str(GOLDEN / "eval.dst")
HEADS = {"enc_self": (3, 0), "dec_self": (3, 3), "dec_enc": (0, 3)}


def sizes_of_the_original(config) -> None:
  config.model.update(layers=2, num_heads=4, model_size=32, ff_size=64, precision="float32")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """A folder with `masked`, a gated run, and `compact`, what the command makes of it.

  Gates are the original's, most of them between 0 and 1; two layers have none open.
  """
  folder = tmp_path_factory.mktemp("runs")
  model, params = recorded.converted("concrete")
  log_alphas = {name: a.copy() for name, a in params["gates"].items()}
  log_alphas["enc_self"][1] = log_alphas["dec_enc"][0] = -5.0
  config = defaults.base()
  config.data.kind = "text"
  sizes_of_the_original(config)
  config.gates.kind, config.l0.coef, config.init_from = "concrete", 0.3, "elsewhere"
  config.pretrain = {"train": config.train, "optim": config.optim}
  vocabularies = [textfile.read_lines(GOLDEN / f"{side}.voc.txt") for side in ("src", "dst")]
  summary = Summary("trained", ends_at=(7, 0), dev_bleu=12.5, test_chrf=40.25)
  translator = Translator(model, params["model"], {n: np.ones((2, 4)) for n in HEADS})
  files = tokenizer.whitespace_files(*vocabularies)
  run_lib.write(folder / "masked", config, files, translator, log_alphas, summary)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(proof, "_REPEATS", 1)
    patch.setattr(sys, "argv", ["compact", "--workdir", str(folder / "masked"),
      "--out", str(folder / "compact"), "--src", TEXT[0], "--tgt", TEXT[1]])  # fmt: skip
    compact.main()
  return folder


def test_the_written_run_is_ordinary_and_translates_alike(runs):
  masked, small = headprune.load(runs / "masked"), headprune.load(runs / "compact")
  assert small.translator.config.heads == HEADS == small.config.model.heads.to_dict()
  assert small.config.gates.kind == "none" and not small.log_alphas
  assert small.translator.config.enc_head_size == 8
  lines = textfile.read_lines(TEXT[0])
  assert small.translate(lines) == masked.translate(lines)
  written = json.loads(small.workdir.heads.read_text())
  assert written == {name: [[1.0] * n for n in counts] for name, counts in HEADS.items()}
  assert written == heads.as_lists(small.gates(), HEADS)
  summary = small.workdir.read_summary()
  assert (summary.kind, summary.origin) == ("compact", str(runs / "masked"))
  assert (summary.dev_bleu, summary.test_chrf, summary.step) == (12.5, 40.25, 0)
  assert sorted(p.name for p in runs.iterdir()) == ["compact", "masked"]


@pytest.mark.parametrize("taken", ["compact", "masked"])
def test_a_folder_in_use_is_left_alone(runs, taken):
  files = sorted((runs / taken).rglob("*"))
  with pytest.raises(UserError, match="--out"):
    compact.compact(runs / "masked", runs / taken, text=TEXT)
  assert sorted((runs / taken).rglob("*")) == files


def test_unreadable_dev_data_asks_for_files(runs):
  with pytest.raises(UserError, match="dev_src is not set.*--src and --tgt"):
    compact.compact(runs / "masked", runs / "new")
  assert not (runs / "new").exists()


def training_config(runs):
  config = defaults.base()
  config.data.kind, config.data.row_length = "text", 32
  config.data.text.dir = str(GOLDEN)
  for split, name in (("train", "train"), ("dev", "eval")):
    config.data.text[f"{split}_src"], config.data.text[f"{split}_tgt"] = (
      f"{name}.src",
      f"{name}.dst",
    )
  sizes_of_the_original(config)
  config.train.update(steps=2, batch_tokens=256)
  config.init_from = str(runs / "compact")
  return config.lock()


def test_a_compact_run_trains_on_without_being_told_its_heads(runs):
  training.train(training_config(runs), runs / "tuned")
  small, tuned = headprune.load(runs / "compact"), headprune.load(runs / "tuned")
  assert tuned.translator.config.heads == small.translator.config.heads
  moved = lambda run: run.translator.params["encoder_0"]["self_attention"]["out_kernel"]
  assert moved(tuned).shape == moved(small).shape
  assert 0 < np.abs(moved(tuned) - moved(small)).max() < 0.1
  shutil.rmtree(runs / "tuned")


def test_training_inside_the_compact_folder_is_refused(runs):
  with pytest.raises(UserError, match="config.init_from="):
    training.train(training_config(runs), runs / "compact")


def test_a_checkpoint_by_step_brings_no_numbers_of_the_last(runs, tmp_path):
  masked = headprune.load(runs / "masked", "0")
  compact.write(masked, masked.translator, tmp_path / "x", "0")
  summary = Workdir(tmp_path / "x").read_summary()
  assert summary.checkpoint == "0" and summary.dev_bleu is None


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--src", "a"], "give both --src and --tgt, or neither"),
    (["--sentences", "0"], "--sentences 0 must be at least 1"),
  ],
)
def test_mistakes_in_arguments(monkeypatch, arguments, message):
  monkeypatch.setattr(sys, "argv", ["compact", "--workdir", "x", "--out", "y", *arguments])
  with pytest.raises(UserError, match=message):
    compact.main()


@pytest.mark.parametrize("flag", ["--workdir", "--out", "--src", "--tgt"])
def test_an_empty_flag_is_not_one_that_is_left_out(monkeypatch, capsys, flag):
  monkeypatch.setattr(sys, "argv", ["compact", "--workdir", "x", "--out", "y", flag, ""])
  with pytest.raises(SystemExit) as caught:
    compact.main()
  assert caught.value.code == 2 and f"argument {flag}: is empty" in capsys.readouterr().err


def test_a_model_that_is_not_the_same_is_not_written(tmp_path, monkeypatch):
  run = small_run.make(tmp_path / "run")
  spoiled = run.translator.replace(params=run.translator.params | {
    "dec_norm": {"scale": np.ones(8, np.float32), "bias": np.ones(8, np.float32)}})  # fmt: skip
  monkeypatch.setattr(compact.cut, "cut", lambda translator: spoiled)
  for name in ("src", "tgt"):
    (tmp_path / name).write_text("the dog\n")
  text = str(tmp_path / "src"), str(tmp_path / "tgt")
  with pytest.raises(UserError, match="not the same model"):
    compact.compact(tmp_path / "run", tmp_path / "out", text=text)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "src", "tgt"]
