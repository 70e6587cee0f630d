"""The real commands from end to end, on a small run: train, kill, resume, prune, fix, translate."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

import headprune
from headprune.errors import Stopped, UserError
from headprune.nn import gates
from headprune.runs import checkpoint, defaults, effect, lock, metrics
from headprune.runs import config as config_lib
from headprune.runs import heads as heads_lib
from headprune.runs.workdir import Workdir
from headprune.text import sources
from headprune.train import evaluation, logged, loop, patience, prepare, progress, steps, stopping

SMALL = {
  "data.corpus.train": 300,
  "data.corpus.dev": 12,
  "data.corpus.test": 8,
  "tokenizer.vocab_size": 150,
  "model.model_size": 16,
  "model.ff_size": 32,
  "model.num_heads": 4,
  "optim.learning_rate": 0.0067,
  "optim.warmup": 0.4,
  "optim.cooldown": 1.0,
  "optim.gates_factor": 200.0,
  "l0.coef": 3.0,
  "train.steps": 12,
  "train.batch_tokens": 512,
  "train.log_every": 3,
  "train.eval_every": 6,
  "train.translate_every": 6,
  "train.checkpoint_every": 3,
  "train.keep": 5,
  "eval.average": 2,
}


def small_config(method, init_from: pathlib.Path) -> ConfigDict:
  config = defaults.config(method, "cldr")
  config.update_from_flattened_dict(SMALL)
  config.init_from = str(init_from)
  if "pretrain" in config:
    own = {k: v for k, v in SMALL.items() if k.startswith(("train.", "optim."))}
    config.pretrain.update_from_flattened_dict(own)
  return config


def command(workdir: pathlib.Path, baseline: pathlib.Path) -> list[str]:
  flags = [f"--config.{field}={value}" for field, value in SMALL.items()]
  flags += [
    f"--config.pretrain.{field}={value}"
    for field, value in SMALL.items()
    if field.startswith(("train.", "optim."))
  ]
  return [
    sys.executable, "-m", "headprune.main", "--config", "configs/concrete.py:cldr",
    "--workdir", str(workdir), f"--config.init_from={baseline}", *flags,
  ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """(folder, what the command printed): a baseline and a pruned run, trained by the command."""
  folder = tmp_path_factory.mktemp("runs")
  args = command(folder / "concrete", folder / "baseline")
  done = subprocess.run(args, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  return folder, done.stdout


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


def test_metrics_hold_losses_speed_bleu_and_gates(finished):
  rows = [json.loads(line) for line in (finished[0] / "concrete" / "metrics.jsonl").open()]
  by_step = {}
  for row in rows:
    by_step.setdefault(row["step"], {}).update(row)
  assert sorted(by_step) == [3, 6, 9, 12]
  assert {
    "objective",
    "smoothed_loss",
    "penalty",
    "tokens_per_second",
    "log_alpha",
    "gates",
  } <= by_step[3].keys()
  assert {"dev_loss", "dev_bleu", "dev_chrf", "signature"} <= by_step[6].keys()
  assert {"dev_loss", "dev_bleu", "test_bleu", "test_chrf"} <= by_step[12].keys()
  run = headprune.load(finished[0] / "concrete")  # the mean of two checkpoints, as at the end
  losses = np.concatenate(run.score(*sources.read_dev(run.config.data, "")))
  np.testing.assert_allclose(by_step[12]["dev_loss"], losses.mean(), rtol=0.01)  # in bfloat16
  assert by_step[12]["dev_smoothed_loss"] < by_step[12]["dev_loss"] - 0.3  # less its best value
  row = by_step[9]
  np.testing.assert_allclose(
    row["objective"], row["smoothed_loss"] + 3.0 * row["penalty"], rtol=1e-4
  )
  log_alpha_NH = np.array(row["log_alpha"]["dec_self"])
  np.testing.assert_allclose(row["gates"]["dec_self"], gates.expected(log_alpha_NH), atol=1e-6)
  assert row["open"]["dec_self"] == (log_alpha_NH > -np.log(11)).sum()


def test_a_finished_run_is_left_alone(finished, capsys):
  workdir = finished[0] / "concrete"
  before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
  done = loop.train(small_config("concrete", finished[0] / "baseline"), workdir)
  assert "is finished" in capsys.readouterr().out
  assert done == Workdir(workdir).read_summary() and (done.kind, done.step) == ("trained", 12)
  assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}


@pytest.mark.parametrize("wanted, types", [("2 a layer", [[2, 2]] * 3), ("5", None)])
def test_as_many_heads_stay_open_as_are_asked_for(finished, tmp_path, wanted, types):
  config = small_config("concrete", finished[0] / "baseline")
  config.l0.target_heads, config.l0.settled = wanted, 0.4  # from step 7 on
  config.train.eval_every = config.train.translate_every = 12
  loop.train(config, tmp_path / "x")
  heads = json.loads((tmp_path / "x" / "heads.json").read_text())
  gates_of = {name: [g for row in rows for g in row] for name, rows in heads.items()}
  assert {g for values in gates_of.values() for g in values} == {0.0, 1.0}
  if types:
    assert [[sum(row) for row in heads[name]] for name in heads] == types
  assert sum(sum(values) for values in gates_of.values()) == (12 if types else 5)
  rows = metrics.read(Workdir(tmp_path / "x"))
  still = {row["step"]: row["log_alpha"] for row in rows if "log_alpha" in row}
  assert max(abs(x) for rows in still[6].values() for row in rows for x in row) < 10
  assert all(abs(x) > 10 for rows in still[9].values() for row in rows for x in row)


def test_killed_and_restarted_it_ends_with_the_same_bits(finished, tmp_path):
  shutil.copytree(finished[0] / "baseline", tmp_path / "baseline")
  args = command(tmp_path / "concrete", tmp_path / "baseline")
  process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  deadline = time.time() + 200
  while not (tmp_path / "concrete" / "checkpoints" / "3").exists():
    assert process.poll() is None and time.time() < deadline
    time.sleep(0.01)
  process.kill()
  process.wait()
  assert not (tmp_path / "concrete" / "summary.json").exists()
  shutil.rmtree(tmp_path / "baseline")  # a run that has begun needs no other
  again = subprocess.run(args, capture_output=True, text=True, timeout=300)
  assert again.returncode == 0, again.stderr
  assert "going on at step" in again.stdout
  want = checkpoint.load_params(Workdir(finished[0] / "concrete"))
  got = checkpoint.load_params(Workdir(tmp_path / "concrete"))
  for path, value in _flat(want).items():
    np.testing.assert_array_equal(_flat(got)[path], value, err_msg=path)


def test_a_damaged_checkpoint_costs_its_steps_only(finished, tmp_path, capsys):
  shutil.copytree(finished[0] / "concrete", tmp_path / "run")
  workdir = Workdir(tmp_path / "run")
  workdir.reopen()
  (workdir.checkpoints / "12" / "params" / "_METADATA").write_bytes(b"")
  loop.train(small_config("concrete", finished[0] / "baseline"), workdir.path)
  printed = capsys.readouterr().out
  assert "note: checkpoint 12 is damaged (params/_METADATA: 0 of" in printed
  assert "going on at step 9 of 12" in printed
  want = _flat(checkpoint.load_params(Workdir(finished[0] / "concrete")))
  got = _flat(checkpoint.load_params(workdir))
  for path, value in want.items():
    np.testing.assert_array_equal(got[path], value, err_msg=path)


def _rows(workdir: pathlib.Path) -> list[dict]:
  """The metrics without what a clock tells."""
  timed = ("tokens_per_second", "train_seconds")
  rows = metrics.read(Workdir(workdir))
  return [{name: x for name, x in row.items() if name not in timed} for row in rows]


def test_a_top_k_has_as_many_open_heads_at_any_step_and_goes_on_exactly(finished, tmp_path, capsys):
  config = small_config("concrete", finished[0] / "baseline")
  config.gates.kind, config.l0.target_heads, config.l0.settled = "topk", "5", 0.4
  config.model.precision = "float32"
  loop.train(config, tmp_path / "x")
  assert (
    "gates on enc_self, dec_self, dec_enc: l0.target_heads 5, chosen anew at every step, at a "
    "temperature that falls from 1 to 0.1 and kept exactly from step 7 on\n"
  ) in capsys.readouterr().out
  rows = [row for row in _rows(tmp_path / "x") if "open" in row]
  assert [sum(row["open"].values()) for row in rows] == [5, 5, 5, 5]
  assert rows[-1]["objective"] == rows[-1]["smoothed_loss"]  # heads cost nothing
  for which, row in (("6", rows[1]), ("last", rows[3])):
    run = headprune.load(tmp_path / "x", which)
    assert heads_lib.as_lists(run.gates(), run.translator.config.heads) == row["gates"]
    assert {g for gate_NH in run.gates().values() for g in gate_NH.ravel()} == {0.0, 1.0}
    as_tested = gates.eval_gates(run.gates(), run.log_alphas)
    for name, gate_NH in run.gates().items():
      np.testing.assert_array_equal(as_tested[name], gate_NH)
  assert abs(np.array(rows[1]["log_alpha"]["enc_self"])).max() < 10  # not settled yet
  scores = headprune.load(tmp_path / "x", "6").score(*sources.read_pairs(config.data)["dev"])
  np.testing.assert_allclose(rows[1]["dev_loss"], np.concatenate(scores).mean(), rtol=1e-4)
  stop = stopping.Stop()
  stop.asked = lambda step: step == 5
  with pytest.raises(Stopped):
    loop.train(config, tmp_path / "y", stop)
  loop.train(config, tmp_path / "y")
  assert _rows(tmp_path / "y") == _rows(tmp_path / "x")


def test_a_row_of_metrics_is_not_lost_to_a_signal(finished, tmp_path, monkeypatch):
  config, stop = small_config("concrete", finished[0] / "baseline"), stopping.Stop()
  row = logged.row

  def signalled(*args):
    found = row(*args)  # the clock begins anew
    stop.handle(15)
    return found

  with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped at step 3 of 12"):
    patch.setattr(logged, "row", signalled)
    loop.train(config, tmp_path, stop)
  assert [row["step"] for row in _rows(tmp_path)] == [3]
  loop.train(config, tmp_path)
  assert _rows(tmp_path) == _rows(finished[0] / "concrete")


def test_stopped_between_checkpoints_and_in_an_evaluation_it_loses_nothing(
  finished, tmp_path, capsys, monkeypatch
):
  config, workdir = small_config("concrete", finished[0] / "baseline"), tmp_path / "run"
  translate = evaluation.translate

  def interrupted(*args):
    stop.handle(15)
    return translate(*args)

  def killed(*_):
    raise KeyboardInterrupt

  for step in (2, 6, 8, 9, 12):  # rows at 3, 6, ...; evaluation at 6 and 12
    stop = stopping.Stop()
    with monkeypatch.context() as patch:
      if step % 6:
        patch.setattr(stop, "asked", lambda at, step=step: at == step)
      else:
        patch.setattr(evaluation, "translate", interrupted)
      with pytest.raises(Stopped, match=f"stopped at step {step} of 12 and saved"):
        loop.train(config, workdir, stop)
    if step == 9:  # as killed after the row that was due when it was stopped, before a checkpoint
      with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "_save", killed)
        loop.train(config, workdir)
      assert metrics.read(Workdir(workdir))[-1]["step"] == 9
  printed = capsys.readouterr().out
  assert "beginning at step 0 of 12: no checkpoint yet" in printed
  assert all(f"going on at step {step} of 12" in printed for step in (2, 6, 8, 9))
  loop.train(config, workdir)
  assert _rows(workdir) == _rows(finished[0] / "concrete")
  want = _flat(checkpoint.load_params(Workdir(finished[0] / "concrete")))
  got = _flat(checkpoint.load_params(Workdir(workdir)))
  for path, value in want.items():
    np.testing.assert_array_equal(got[path], value, err_msg=path)
  assert not (workdir / "stopped").exists()


def _flat(params):
  from flax import traverse_util

  return traverse_util.flatten_dict(params, sep="/")


def test_fixed_run_keeps_the_gates_of_another_run(finished, tmp_path):
  config = small_config("fixed", finished[0] / "concrete")
  config.gates.fixed_from = str(finished[0] / "concrete")
  config.train.steps = 3
  loop.train(config, tmp_path / "fixed")
  want = json.loads((finished[0] / "concrete" / "heads.json").read_text())
  assert json.loads((tmp_path / "fixed" / "heads.json").read_text()) == want


def test_mistakes_about_other_runs_are_named_and_change_nothing(finished, tmp_path):
  baseline = finished[0] / "baseline"
  config = small_config("fixed", tmp_path / "nowhere")
  config.gates.fixed_from = ""
  with pytest.raises(UserError, match="nowhere: there is no finished run"):
    loop.train(config, tmp_path / "x")
  config = small_config("concrete", baseline)
  config.model.heads.enc_self = (4, 3)
  wanted = (
    r"encoder_1/\S* \(encoder layer 2\) is \(\d.*, this config needs .*: leave config.model.heads"
  )
  with pytest.raises(UserError, match=wanted):
    loop.train(config, tmp_path / "x")
  config = small_config("concrete", baseline)
  config.l0.coef = 9.0
  before = (finished[0] / "concrete" / "config.json").read_bytes()
  with pytest.raises(UserError, match="l0.coef: 3.0 -> 9.0"):
    loop.train(config, finished[0] / "concrete")
  assert (finished[0] / "concrete" / "config.json").read_bytes() == before
  assert not (tmp_path / "x" / "config.json").exists()


def test_mistakes_in_pruning_are_told_before_the_baseline_is_trained(tmp_path):
  config = small_config("concrete", tmp_path / "baseline")
  config.optim.rules = (("model/.*", "train"), ("gate/.*", "train"))
  with pytest.raises(UserError, match="no pattern matches parameter gates/"):
    prepare.stages(config, tmp_path / "x")
  config = small_config("concrete", tmp_path / "baseline")
  config.pretrain.train.keep = 1
  with pytest.raises(UserError, match="config.pretrain.train and .optim: config.eval.average=2"):
    prepare.stages(config, tmp_path / "x")
  assert not list(tmp_path.iterdir())


def test_a_missing_baseline_is_a_stage_of_its_own_and_not_trained_unasked(finished, tmp_path):
  config = small_config("concrete", tmp_path / "baseline")
  first, second = prepare.stages(config, tmp_path / "x")
  assert first[1] == tmp_path / "baseline" and second[1] == tmp_path / "x"
  assert first[0].to_dict() == config_lib.pretraining(config).to_dict()
  with pytest.raises(UserError, match="baseline: there is no finished run"):
    loop.train(config, tmp_path / "x")
  assert not list(tmp_path.iterdir())
  config = small_config("concrete", finished[0] / "baseline")
  assert [stage[1] for stage in prepare.stages(config, tmp_path / "x")] == [tmp_path / "x"]


def test_a_second_run_with_other_knobs_compiles_no_step_and_lines_come_by_time(
  finished, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(progress, "_FIRST", 0.0)
  monkeypatch.setattr(progress, "_EVERY", 0.0)
  counts = []
  for i, fields in enumerate(({}, {"l0.coef": 0.5, "seed": 7, "optim.learning_rate": 0.003})):
    config = small_config("concrete", finished[0] / "baseline")
    config.update_from_flattened_dict(fields)
    summary = loop.train(config, tmp_path / str(i))
    assert summary == Workdir(tmp_path / str(i)).read_summary()
    counts.append((steps.train_step._cache_size(), steps.eval_step._cache_size()))
  assert counts[0] == counts[1] and min(counts[0]) > 0
  losses = [metrics.read(Workdir(tmp_path / name))[-2]["objective"] for name in "01"]
  assert losses[0] != losses[1]
  printed = capsys.readouterr().out
  for step in (2, 4, 5, 7, 8, 10, 11):  # 3, 6, ... have a row; the time starts with the first
    assert re.findall(rf"\nstep +{step}/12  objective \d.* tokens/s  \d.* left\n", printed), step


def test_training_that_broke_down_is_not_saved(finished, tmp_path):
  config = small_config("concrete", finished[0] / "baseline")
  config.optim.learning_rate, config.train.checkpoint_every = 1e30, 1
  with pytest.raises(
    UserError, match="not finite at step 2; checkpoint 1 is whole, .*optim.learning"
  ):
    loop.train(config, tmp_path / "x")
  assert [path.name for path in (tmp_path / "x" / "checkpoints").iterdir()] == ["1"]
  told = (tmp_path / "x" / "diverged.txt").read_text("utf-8").splitlines()
  trained = set(map("\t".join, zip(*sources.read_pairs(config.data)["train"])))
  assert len(told) > 10 and len(trained.intersection(told)) > 0.9 * len(told)


def test_a_run_out_of_patience_keeps_the_bleu_of_its_end(finished, tmp_path, monkeypatch):
  at_6 = lambda config, history: bool(history) and history[-1]["step"] == 6
  monkeypatch.setattr(patience, "is_out", at_6)
  config = small_config("concrete", finished[0] / "baseline")
  config.train.translate_every = 99
  done = loop.train(config, tmp_path / "x")
  assert done.step == 6
  assert checkpoint._dev_bleu(tmp_path / "x" / "checkpoints", 6) == done.dev_bleu


def test_bleu_that_was_measured_before_a_stop_is_that_of_the_checkpoint():
  rows = [{"step": 6, "dev_bleu": 20.0}, {"step": 9, "dev_loss": 1.0}]
  assert loop._bleu(rows, 6) == 20.0 and loop._bleu(rows, 9) is None


def test_a_device_without_room_is_one_line(monkeypatch):
  def full(jobs, stop):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

  monkeypatch.setattr(loop, "_drive_all", full)
  with pytest.raises(UserError, match="no room: lower config.train.batch_tokens$"):
    loop._drive([None], stopping.Stop())
  with pytest.raises(UserError, match="no room for 2 runs at a time: lower --together, or config"):
    loop._drive([None, None], stopping.Stop())


def test_config_json_reads_back(finished):
  config = small_config("concrete", finished[0] / "baseline")
  assert effect.differences(config_lib.load(Workdir(finished[0] / "concrete")), config) == []


def test_another_text_in_init_from_is_told(finished, capsys):
  config = small_config("concrete", finished[0] / "baseline")
  baseline = config_lib.load(Workdir(finished[0] / "baseline"))
  prepare._say_what_differs(baseline, config, print)
  assert capsys.readouterr().out == ""
  config.data.corpus.locale = "de"
  prepare._say_what_differs(baseline, config, print)
  assert "data.corpus.locale: 'ru' -> 'de'" in capsys.readouterr().out


def test_a_workdir_in_use_is_refused_and_a_baseline_in_the_making_waited_for(
  finished, tmp_path, capsys
):
  config = small_config("concrete", finished[0] / "baseline")
  with lock.held(tmp_path / "run"):
    with pytest.raises(UserError, match=f"run is in use by process {os.getpid()} on "):
      loop.train(config, tmp_path / "run")
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
  done = loop.train(config_lib.pretraining(config), tmp_path / "baseline", wait=True)
  other.join()
  assert done == Workdir(finished[0] / "baseline").read_summary()
