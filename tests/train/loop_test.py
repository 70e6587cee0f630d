"""One run: killed, stopped, damaged and broken down, it goes on exactly or says why not."""

import contextlib
import json
import shutil
import subprocess
import time
import types

import numpy as np
import pytest

import headprune
from headprune.errors import Stopped, UserError
from headprune.nn import gates
from headprune.runs import checkpoint, metrics
from headprune.runs import heads as heads_lib
from headprune.runs.workdir import Workdir
from headprune.text import sources
from headprune.train import evaluation, lanes, logged, loop, patience, progress, stopping, training
from tests.train.trained import command, flat, small_config, untimed_rows


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


def test_notes_are_told_what_the_last_checkpoint_has_without_the_others(tmp_path, monkeypatch):
  config = small_config("baseline", "")
  config.model.precision, config.optim.learning_rate, config.optim.cooldown = "float32", 0.05, 0.0
  told = []
  monkeypatch.setattr(loop.notes, "of_run", lambda *args: told.append(args) or ())
  training.train(config, tmp_path / "x")
  (_, step, _, last, own_loss, _, _) = told[0]
  run = headprune.load(tmp_path / "x", step)  # a step is not averaged
  losses = np.concatenate(run.score(*sources.read_dev(run.config.data, "")))
  np.testing.assert_allclose(own_loss, losses.mean(), rtol=1e-4)
  assert abs(own_loss / last["dev_loss"] - 1) > 1e-3, "that of a mean is another one"


@pytest.mark.parametrize("wanted, types", [("2 a layer", [[2, 2]] * 3), ("5", None)])
def test_as_many_heads_stay_open_as_are_asked_for(finished, tmp_path, wanted, types):
  config = small_config("concrete", finished[0] / "baseline")
  config.l0.target_heads, config.l0.settled = wanted, 0.4  # from step 7 on
  config.train.eval_every = config.train.translate_every = 12
  training.train(config, tmp_path / "x")
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
  for path, value in flat(want).items():
    np.testing.assert_array_equal(flat(got)[path], value, err_msg=path)


def test_a_damaged_checkpoint_costs_its_steps_only(finished, tmp_path, capsys):
  shutil.copytree(finished[0] / "concrete", tmp_path / "run")
  workdir = Workdir(tmp_path / "run")
  workdir.reopen()
  (workdir.checkpoints / "12" / "params" / "_METADATA").write_bytes(b"")
  training.train(small_config("concrete", finished[0] / "baseline"), workdir.path)
  printed = capsys.readouterr().out
  assert "note: checkpoint 12 is damaged (params/_METADATA: 0 of" in printed
  assert "going on at step 9 of 12" in printed
  want = flat(checkpoint.load_params(Workdir(finished[0] / "concrete")))
  got = flat(checkpoint.load_params(workdir))
  for path, value in want.items():
    np.testing.assert_array_equal(got[path], value, err_msg=path)


def test_a_top_k_has_as_many_open_heads_at_any_step_and_goes_on_exactly(finished, tmp_path, capsys):
  config = small_config("concrete", finished[0] / "baseline")
  config.gates.kind, config.l0.target_heads, config.l0.settled = "topk", "5", 0.4
  config.model.precision = "float32"
  training.train(config, tmp_path / "x")
  assert (
    "gates on enc_self, dec_self, dec_enc: l0.target_heads 5, chosen anew at every step, at a "
    "temperature that falls from 1 to 0.1 and kept exactly after step 7\n"
  ) in capsys.readouterr().out
  rows = [row for row in untimed_rows(tmp_path / "x") if "open" in row]
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
    training.train(config, tmp_path / "y", stop)
  training.train(config, tmp_path / "y")
  assert untimed_rows(tmp_path / "y") == untimed_rows(tmp_path / "x")


def test_a_row_of_metrics_is_not_lost_to_a_signal(finished, tmp_path, monkeypatch):
  config, stop = small_config("concrete", finished[0] / "baseline"), stopping.Stop()
  row = logged.row

  def signalled(*args):
    found = row(*args)  # the clock begins anew
    stop.handle(15)
    return found

  with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped at step 3 of 12"):
    patch.setattr(logged, "row", signalled)
    training.train(config, tmp_path, stop)
  assert [row["step"] for row in untimed_rows(tmp_path)] == [3]
  training.train(config, tmp_path)
  assert untimed_rows(tmp_path) == untimed_rows(finished[0] / "concrete")


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
        training.train(config, workdir, stop)
    if step == 9:  # as killed after the row that was due when it was stopped, before a checkpoint
      with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "_save", killed)
        training.train(config, workdir)
      assert metrics.read(Workdir(workdir))[-1]["step"] == 9
  printed = capsys.readouterr().out
  assert "beginning at step 0 of 12: no checkpoint yet" in printed
  assert all(f"going on at step {step} of 12" in printed for step in (2, 6, 8, 9))
  training.train(config, workdir)
  assert untimed_rows(workdir) == untimed_rows(finished[0] / "concrete")
  want = flat(checkpoint.load_params(Workdir(finished[0] / "concrete")))
  got = flat(checkpoint.load_params(Workdir(workdir)))
  for path, value in want.items():
    np.testing.assert_array_equal(got[path], value, err_msg=path)
  assert not (workdir / "stopped").exists()


def test_training_that_broke_down_is_not_saved(finished, tmp_path):
  config = small_config("concrete", finished[0] / "baseline")
  config.optim.learning_rate, config.train.checkpoint_every = 1e30, 1
  with pytest.raises(
    UserError, match="not finite at step 2; checkpoint 1 is whole, .*optim.learning"
  ):
    training.train(config, tmp_path / "x")
  assert [path.name for path in (tmp_path / "x" / "checkpoints").iterdir()] == ["1"]
  told = (tmp_path / "x" / "diverged.txt").read_text("utf-8").splitlines()
  trained = set(map("\t".join, zip(*sources.read_pairs(config.data)["train"])))
  assert len(told) > 10 and len(trained.intersection(told)) > 0.9 * len(told)


@pytest.mark.parametrize("thrown", [True, False])  # by a run that trains with it; as it had asked
def test_a_step_that_broke_down_is_not_saved_by_a_signal_either(tmp_path, monkeypatch, thrown):
  told, saved = UserError("not finite"), Stopped("saved", 15)
  monkeypatch.setattr(loop.divergence, "describe", lambda *_: told)
  monkeypatch.setattr(loop, "_stop", lambda *_: (_ for _ in ()).throw(saved))
  for name in ("check", "finish"):
    monkeypatch.setattr(loop.checkpoint, name, lambda *_: None)
  stop, asked = stopping.Stop(), []
  monkeypatch.setattr(stop, "asked", lambda step: asked.append(step) or asked.count(1) > 1)
  job = types.SimpleNamespace(
    config=small_config("baseline", ""), workdir=Workdir(tmp_path), tokenizers=()
  )
  work = types.SimpleNamespace(job=job, stop=stop, clocks=[], checkpoints=None, writer=None)
  training_run = loop._loop(work, types.SimpleNamespace(step=0), {})
  next(training_run)
  result = lanes.Part({"objective": np.float32("nan"), "grad_norm": 1.0, "tokens": 1})
  with pytest.raises(UserError, match="not finite"):
    if thrown:
      monkeypatch.setattr(stop, "asked", lambda step: False)
    training_run.send(lanes.Stepped(lanes.Part(None), result, {"src_BS": None}))
    training_run.throw(saved)


def test_a_run_out_of_patience_keeps_the_bleu_of_its_end(finished, tmp_path, monkeypatch):
  at_6 = lambda config, history: bool(history) and history[-1]["step"] == 6
  monkeypatch.setattr(patience, "is_out", at_6)
  config = small_config("concrete", finished[0] / "baseline")
  config.train.translate_every = 99
  done = training.train(config, tmp_path / "x")
  assert done.step == 6
  assert checkpoint._dev_bleu(tmp_path / "x" / "checkpoints", 6) == done.dev_bleu


@pytest.mark.parametrize("loss, ends", [(1.0, True), (0.9, False)])
def test_a_run_out_of_patience_counts_its_last_steps(monkeypatch, loss, ends):
  config = small_config("baseline", "")
  config.train.patience, config.train.log_every = 1, 4
  monkeypatch.setattr(loop, "_evaluate", lambda *_: {"dev_loss": loss})
  monkeypatch.setattr(logged, "row", lambda *_: {"train_seconds": 1.5})
  job = types.SimpleNamespace(config=config)
  work = types.SimpleNamespace(job=job, stop=stopping.Stop())
  state = types.SimpleNamespace(on_devices=lambda: types.SimpleNamespace(params={"gates": {}}))
  history = [{"step": 3, "dev_loss": 1.0}]
  row = loop._row(work, state, 6, [{"objective": 2.0}], None, history)
  assert row == {"dev_loss": loss} | ({"train_seconds": 1.5} if ends else {})


def test_the_clocks_of_others_stand_while_a_run_begins(tmp_path, monkeypatch):
  def slow(value):
    time.sleep(0.2)
    return value

  state = types.SimpleNamespace(step=0)
  nothing = contextlib.nullcontext()
  monkeypatch.setattr(loop, "_place", lambda job, tree: tree)
  monkeypatch.setattr(loop.steps, "init_state", lambda *_: slow(state))
  monkeypatch.setattr(loop.checkpoint, "manager", lambda *_: slow(nothing))
  monkeypatch.setattr(loop, "_writer", lambda *_: slow(nothing))
  monkeypatch.setattr(loop, "_loop", lambda *_: iter([state]))
  job = types.SimpleNamespace(
    config=small_config("baseline", ""), workdir=Workdir(tmp_path), step_config=None,
    resumes=False, say=print,
  )  # fmt: skip
  before, other = time.perf_counter(), progress.Clock(0.0)
  begun = loop.run(job, {}, iter(()), [other], stopping.Stop())
  assert next(begun) is state
  assert other.seconds() < time.perf_counter() - before - 0.5


def test_bleu_that_was_measured_before_a_stop_is_that_of_the_checkpoint():
  rows = [{"step": 6, "dev_bleu": 20.0}, {"step": 9, "dev_loss": 1.0}]
  assert loop._bleu(rows, 6) == 20.0 and loop._bleu(rows, 9) is None
