"""The real command from end to end, on a small run, and what it refuses to do."""

import json
import os
import re
import shutil
import threading
import time
import types

import jax
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import lock, metrics
from headprune.runs.workdir import Workdir
from headprune.train import progress, steps, stopping, training
from tests import base_config
from tests.train.trained import small_config


def test_main_job_trains_a_baseline_prunes_it_and_says_what_is_where(finished):
  folder, printed = finished
  assert "No finished baseline" in printed and "heads open" in printed and "dev BLEU" in printed
  assert printed.count("  note        dev BLEU ") == 2  # neither is worth building on
  workdir = folder / "concrete"
  for name in ("config.json", "heads.json", "metrics.jsonl", "summary.json", "tokenizer",
               "checkpoints", "tensorboard", "translations"):  # fmt: skip
    assert (workdir / name).exists(), name
  heads = json.loads((workdir / "heads.json").read_text())
  assert [len(row) for row in heads["dec_enc"]] == [4, 4]
  values = [g for layers in heads.values() for row in layers for g in row]
  assert min(values) == 0.0, "a penalty this large closes some heads"
  assert len((workdir / "translations" / "dev-0000012.txt").read_text().split("\n")) == 13


def test_a_finished_run_is_left_alone(finished, capsys):
  workdir = finished[0] / "concrete"
  before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
  done = training.train(small_config("concrete", finished[0] / "baseline"), workdir)
  assert "is finished" in capsys.readouterr().out
  assert done == Workdir(workdir).read_summary() and (done.kind, done.step) == ("trained", 12)
  assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}


def test_fixed_run_keeps_the_gates_of_another_run(finished, tmp_path):
  config = small_config("fixed", finished[0] / "concrete")
  config.gates.fixed_from = str(finished[0] / "concrete")
  config.train.steps = 3
  training.train(config, tmp_path / "fixed")
  want = json.loads((finished[0] / "concrete" / "heads.json").read_text())
  assert json.loads((tmp_path / "fixed" / "heads.json").read_text()) == want


def test_mistakes_about_other_runs_are_named_and_change_nothing(finished, tmp_path):
  baseline = finished[0] / "baseline"
  config = small_config("fixed", tmp_path / "nowhere")
  config.gates.fixed_from = ""
  with pytest.raises(UserError, match="nowhere: there is no finished run"):
    training.train(config, tmp_path / "x")
  config = small_config("concrete", baseline)
  config.model.heads.enc_self = (4, 3)
  wanted = (
    r"encoder_1/\S* \(encoder layer 2\) is \(\d.*, this config needs .*: leave config.model.heads"
  )
  with pytest.raises(UserError, match=wanted):
    training.train(config, tmp_path / "x")
  config = small_config("concrete", baseline)
  config.l0.coef = 9.0
  before = (finished[0] / "concrete" / "config.json").read_bytes()
  with pytest.raises(UserError, match="l0.coef: 3.0 -> 9.0"):
    training.train(config, finished[0] / "concrete")
  assert (finished[0] / "concrete" / "config.json").read_bytes() == before
  assert not (tmp_path / "x" / "config.json").exists()


def test_mistakes_in_pruning_are_told_before_the_baseline_is_trained(tmp_path):
  config = small_config("concrete", tmp_path / "baseline")
  config.optim.rules = (("model/.*", "train"), ("gate/.*", "train"))
  with pytest.raises(UserError, match="no pattern matches parameter gates/"):
    training.stages(config, tmp_path / "x")
  config = small_config("concrete", tmp_path / "baseline")
  config.pretrain.train.keep = 1
  with pytest.raises(UserError, match="config.pretrain: config.eval.average=2"):
    training.stages(config, tmp_path / "x")
  assert not list(tmp_path.iterdir())


def test_a_missing_baseline_is_a_stage_of_its_own_and_not_trained_unasked(finished, tmp_path):
  config = small_config("concrete", tmp_path / "baseline")
  first, second = training.stages(config, tmp_path / "x")
  assert first[1] == tmp_path / "baseline" and second[1] == tmp_path / "x"
  assert first[0].to_dict() == config_lib.pretraining(config).to_dict()
  with pytest.raises(UserError, match="baseline: there is no finished run"):
    training.train(config, tmp_path / "x")
  assert not list(tmp_path.iterdir())
  config = small_config("concrete", finished[0] / "baseline")
  assert [stage[1] for stage in training.stages(config, tmp_path / "x")] == [tmp_path / "x"]


def test_a_device_without_room_is_one_line(monkeypatch):
  def full(jobs, stop):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

  def job(loss):
    return types.SimpleNamespace(config=base_config.changed(train__loss=loss)), {}

  monkeypatch.setattr(training, "_drive_all", full)
  with pytest.raises(UserError, match="no room: lower config.train.batch_tokens$"):
    training._drive([job("cross-entropy")], stopping.Stop())
  with pytest.raises(UserError, match="no room for 2 runs at a time: lower --together, or config"):
    training._drive([job("cross-entropy")] * 2, stopping.Stop())
  with pytest.raises(UserError, match="lower config.mrt.sentences or config.mrt.samples$"):
    training._drive([job("mrt")], stopping.Stop())


def test_a_second_run_with_other_knobs_compiles_no_step_and_lines_come_by_time(
  finished, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(progress, "_FIRST", 0.0)
  monkeypatch.setattr(progress, "_EVERY", 0.0)
  counts = []
  for i, fields in enumerate(({}, {"l0.coef": 0.5, "seed": 7, "optim.learning_rate": 0.003})):
    config = small_config("concrete", finished[0] / "baseline")
    config.update_from_flattened_dict(fields)
    summary = training.train(config, tmp_path / str(i))
    assert summary == Workdir(tmp_path / str(i)).read_summary()
    counts.append((steps.train_step._cache_size(), steps.eval_step._cache_size()))
  assert counts[0] == counts[1] and min(counts[0]) > 0
  losses = [metrics.read(Workdir(tmp_path / name))[-2]["objective"] for name in "01"]
  assert losses[0] != losses[1]
  printed = capsys.readouterr().out
  for step in (2, 4, 5, 7, 8, 10, 11):  # 3, 6, ... have a row; the time starts with the first
    assert re.findall(rf"\nstep +{step}/12  objective \d.* tokens/s  \d.* left\n", printed), step


def test_a_workdir_in_use_is_refused_and_a_baseline_in_the_making_waited_for(
  finished, tmp_path, capsys
):
  config = small_config("concrete", finished[0] / "baseline")
  with lock.held(tmp_path / "run"):
    with pytest.raises(UserError, match=f"run is in use by process {os.getpid()} on "):
      training.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()

  def other_program():
    with lock.held(tmp_path / "baseline"):
      holds.set()
      while "waiting until it is through" not in capsys.readouterr().out:
        time.sleep(0.05)
      shutil.copytree(finished[0] / "baseline", tmp_path / "baseline", dirs_exist_ok=True)

  holds = threading.Event()
  other = threading.Thread(target=other_program)
  other.start()
  holds.wait()
  done = training.train(config_lib.pretraining(config), tmp_path / "baseline", wait=True)
  other.join()
  assert done == Workdir(finished[0] / "baseline").read_summary()
