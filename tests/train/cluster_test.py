"""Real processes: they train on the batches of one, go on where others were, end together."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.runs import defaults, metrics
from headprune.runs.workdir import Workdir
from headprune.train import cluster, training

ROOT = pathlib.Path(__file__).parents[2]
FIELDS = {
  "data.corpus.train": 200, "data.corpus.dev": 8, "data.corpus.test": 4, "eval.beams": 1,
  "tokenizer.vocab_size": 150, "model.model_size": 8, "model.ff_size": 8, "model.num_heads": 2,
  "model.layers": 1, "gates.kind": "concrete", "l0.coef": 0.1, "optim.gates_factor": 50.0,
  "train.steps": 4, "train.batch_tokens": 384, "train.log_every": 1, "train.checkpoint_every": 2,
}  # fmt: skip
COUNT = int(os.environ.get("HEADPRUNE_PROCESSES", "2"))  # each compiles all; 8 take minutes
PROGRAM = """
import json, os, shutil, signal, sys, time
number, count, port, out, broken, fields = sys.argv[1:]
from headprune.train import cluster
cluster.connect(
  coordinator_address="127.0.0.1:" + port, num_processes=int(count), process_id=int(number))
from headprune import cli
from headprune.errors import UserError
from headprune.runs import checkpoint, defaults, metrics
from headprune.train import evaluation, training, stopping
config = defaults.config("baseline", "cldr")
config.update_from_flattened_dict(json.loads(fields))
def fail(*_):
  raise UserError("the disk is full")
if broken == "translations":  # which the first process alone writes
  evaluation.write_text = fail
if broken == "metrics":  # the same, in the middle of the others' steps
  metrics.Writer.write = fail
def lose(*_):
  os.kill(os.getpid(), signal.SIGKILL)
if broken == "save" and int(number):  # the others are left alone in the middle of a checkpoint
  checkpoint.save = lose
def asked(stop, step, ask=stopping.Stop.asked):
  if int(number) and step == 4:  # a person's Ctrl-C, and only here
    os.kill(os.getpid(), signal.SIGINT)
  return ask(stop, step)
def stopped():
  with stopping.on_signals() as stop:
    training.train(config, out, stop)
if broken == "stop":  # while the first still deletes a checkpoint that is not to be kept
  def late(*given, delete=shutil.rmtree, **named):
    time.sleep(1.0)
    delete(*given, **named)
  shutil.rmtree = late
  stopping.Stop.asked = asked
  cli.run(stopped)
cli.run(lambda: print(number, "ended with dev loss", training.train(config, out).dev_loss))
"""


def start(out: pathlib.Path, count: int, devices: int, broken="no", **fields) -> list:
  """`count` processes with so many devices each."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
  environment = {
    "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(out.parent),
    "JAX_PLATFORMS": "cpu", "HEADPRUNE_HUGE_PAGES": "0", "XLA_FLAGS":
    f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0",
  }  # fmt: skip
  rest = [str(count), port, str(out), broken, json.dumps(FIELDS | fields)]
  running = [
    subprocess.Popen(
      [sys.executable, "-c", PROGRAM, str(number), *rest], text=True,
      env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    for number in range(count)
  ]  # fmt: skip
  STARTED.extend(running)
  return running


STARTED = []


@pytest.fixture(autouse=True)
def nothing_is_left_running():
  yield
  while STARTED:
    STARTED.pop().kill()


def end(running: list) -> list[tuple[int, str, str]]:
  """(exit code, stdout, stderr) of each process."""
  ended = [process.communicate(timeout=240) for process in running]
  return [(process.returncode, *texts) for process, texts in zip(running, ended)]


def only_says_that_another_was_lost(told: str) -> bool:
  found = re.fullmatch("error: another process was lost, .* last .* \\(.*: (\\S+)\\)\n", told)
  assert found, told
  pathlib.Path(found[1]).unlink()
  return True


def small_config() -> ConfigDict:
  config = defaults.config("baseline", "cldr")
  config.update_from_flattened_dict(FIELDS)
  return config


def numbers(out: pathlib.Path) -> np.ndarray:
  """Loss and log_alpha of each step."""
  values = {}
  for row in metrics.read(Workdir(out)):
    if "objective" in row:
      log_alphas = [np.ravel(layers) for layers in row["log_alpha"].values()]
      values[row["step"]] = np.hstack([row["objective"], *log_alphas])
  assert sorted(values) == [1, 2, 3, 4]
  return np.stack([values[step] for step in sorted(values)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("processes")


def test_one_process_alone_is_told_so_in_one_line(tmp_path):
  kept = {name: x for name, x in os.environ.items() if not name.startswith(("JAX_", "SLURM_"))}
  command = [sys.executable, "-m", "headprune.main", "--distributed", "--config", "baseline"]
  done = subprocess.run(
    [*command, "--workdir", str(tmp_path / "run")], env=kept, capture_output=True, text=True
  )
  assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
  assert done.stderr.startswith("error: --distributed: this is not one of several processes")


def test_a_mistake_of_the_first_ends_both_with_a_line_each(folder):
  first, second = end(start(folder / "run", 2, 4, broken="translations"))
  assert (first[0], second[0]) == (2, 2), first[2] + second[2]
  assert first[2] == "error: the disk is full\n"
  assert second[2] == "error: writing translations: process 0 stopped and says why\n"
  assert not (folder / "run" / "summary.json").exists()
  shutil.copytree(folder / "run", folder / "one")


def test_any_number_of_processes_goes_on_with_the_same_batches(folder):
  ended = end(start(folder / "run", COUNT, 8 // COUNT))
  assert {code for code, _, _ in ended} == {0}, "".join(text for _, _, text in ended)
  assert "going on at step 2 of 4" in ended[0][1] and "on 8 cpu device(s)" in ended[0][1]
  loss = Workdir(folder / "run").read_summary().dev_loss
  for number, (_, printed, _) in enumerate(ended):
    own = [row for row in printed.splitlines() if "[Gloo]" not in row and "Expected" not in row]
    assert own[-1] == f"{number} ended with dev loss {loss}" and (number == 0 or len(own) == 1)
  config = small_config()
  config.train.shard_params = True
  training.train(config, folder / "one")  # 2 x 4, then 1 x 8
  training.train(small_config(), folder / "whole")  # 1 x 8
  want = numbers(folder / "whole")
  assert np.abs(np.diff(want, axis=0)).min() > 1e-4, "every step changes every number"
  for name in ("run", "one"):
    np.testing.assert_allclose(numbers(folder / name), want, rtol=2e-4, atol=2e-5, err_msg=name)
    for split, sentences in (("dev", 8), ("test", 4)):
      texts = [Workdir(folder / x).translations(split, 4).read_text() for x in (name, "whole")]
      assert texts[0] == texts[1] and texts[0].count("\n") == sentences


def test_a_mistake_while_the_others_are_in_a_step_ends_all_within_seconds(folder):
  first, second = end(start(folder / "metrics", 2, 1, broken="metrics"))
  assert (first[0], first[2]) == (2, "error: the disk is full\n")
  assert second[0] == 1 and only_says_that_another_was_lost(second[2])


def test_a_process_that_is_killed_ends_the_others_with_a_line_and_the_next_start_goes_on(folder):
  endless = {"train.steps": 10**6, "train.translate_every": 10**6, "train.keep": 10**6}
  for killed, step in ((1, 2), (0, 4)):
    running = start(folder / "killed", 2, 1, **endless)
    while not (folder / "killed" / "checkpoints" / str(step)).exists():
      assert running[0].poll() is None
      time.sleep(0.1)
    running[killed].kill()
    since = time.time()
    ended = end(running)
    assert (killed == 0) == ("going on at step" in ended[0][1])
    code, _, told = ended[1 - killed]
    assert code == 1 and time.time() - since < 4 * cluster.LOST_AFTER, told
    assert only_says_that_another_was_lost(told)


def test_a_process_that_is_lost_while_all_save_is_no_fault_of_the_disk(folder):
  first, second = end(start(folder / "saving", 2, 1, broken="save"))
  assert (first[0], second[0]) == (1, -9), first[2]
  assert only_says_that_another_was_lost(first[2])


def test_a_signal_to_one_stops_both_after_the_same_step(folder):
  endless = {"train.steps": 10**6, "train.translate_every": 10**6, "train.keep": 1}
  first, second = end(start(folder / "stopped", 2, 1, broken="stop", **endless))
  assert (first[0], second[0]) == (143, 130), first[2] + second[2]
  lines = [text.splitlines()[-1] for text in (first[2], second[2])]
  (saved,) = (folder / "stopped" / "stopped").iterdir()
  step = f"stopped at step {int(saved.name):,} of 1,000,000"
  assert lines == [f"{step} and saved; the same command goes on from there"] * 2
