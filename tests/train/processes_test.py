"""Two real processes with two devices each: they train together and end together."""

import pathlib
import socket
import subprocess
import sys

import pytest

from headprune.runs.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
import jax
number, port, out, broken = int(sys.argv[1]), *sys.argv[2:]
jax.distributed.initialize("127.0.0.1:" + port, 2, number)
from headprune import cli
from headprune.errors import UserError
from headprune.runs import defaults
from headprune.train import loop, stopping
config = defaults.config("baseline")
config.update_from_flattened_dict({
  "data.corpus.train": 200, "data.corpus.dev": 8, "data.corpus.test": 4, "eval.beams": 1,
  "tokenizer.vocab_size": 150, "model.model_size": 8, "model.ff_size": 8, "model.num_heads": 2,
  "model.layers": 1, "train.steps": 4, "train.batch_tokens": 384, "train.log_every": 2,
  "train.checkpoint_every": 2,
})
if broken == "yes":  # only the first process translates
  loop.write_text = lambda *_: exec("raise UserError('the disk is full')", {"UserError": UserError})
def asked(stop, step, ask=stopping.Stop.asked):
  if number and step == 2:  # a person's Ctrl-C, and only here
    os.kill(os.getpid(), signal.SIGINT)
  return ask(stop, step)
def stopped():
  with stopping.on_signals() as stop:
    loop.train(config, out, stop)
if broken == "stop":
  stopping.Stop.asked, config.train.steps = asked, 10**6
  cli.run(stopped)
cli.run(lambda: print(number, "ended with dev loss", loop.train(config, out).dev_loss))
"""


def both(out: pathlib.Path, broken: str) -> list[tuple[int, str, str]]:
  """(exit code, stdout, stderr) of the two processes."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
  environment = {
    "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(out.parent),
    "JAX_PLATFORMS": "cpu", "HEADPRUNE_HUGE_PAGES": "0",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
  }  # fmt: skip
  running = [
    subprocess.Popen(
      [sys.executable, "-c", PROGRAM, str(number), port, str(out), broken], text=True,
      env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    for number in range(2)
  ]  # fmt: skip
  ended = [process.communicate(timeout=240) for process in running]
  return [(process.returncode, *texts) for process, texts in zip(running, ended)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("processes")


def test_a_mistake_of_the_first_ends_both_with_a_line_each(folder):
  first, second = both(folder / "run", "yes")
  assert (first[0], second[0]) == (2, 2)
  assert first[2].splitlines()[-1] == "error: the disk is full"
  assert second[2].splitlines()[-1] == "error: translating: process 0 stopped and says why"
  assert not (folder / "run" / "summary.json").exists()


def test_the_next_start_goes_on_and_both_know_the_same_loss(folder):
  first, second = both(folder / "run", "no")
  assert (first[0], second[0]) == (0, 0), first[2] + second[2]
  assert "going on at step 2 of 4" in first[1] and "on 4 cpu device(s)" in first[1]
  loss = Workdir(folder / "run").read_summary().dev_loss
  assert first[1].splitlines()[-1] == f"0 ended with dev loss {loss}"
  own = [line for line in second[1].splitlines() if "[Gloo]" not in line and "Expected" not in line]
  assert own == [f"1 ended with dev loss {loss}"]


def test_a_signal_to_one_stops_both_after_the_same_step(folder):
  first, second = both(folder / "stopped", "stop")
  assert (first[0], second[0]) == (143, 130), first[2] + second[2]
  lines = [text.splitlines()[-1] for text in (first[2], second[2])]
  (saved,) = (folder / "stopped" / "stopped").iterdir()
  step = f"stopped at step {int(saved.name):,} of 1,000,000"
  assert lines == [f"{step} and saved; the same command goes on from there"] * 2
