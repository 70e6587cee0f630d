"""A small curve by the real command, in this process."""

import json
import shutil
import sys

from absl import flags
from absl.testing import flagsaver
import jax
import numpy as np
import pytest

from headprune import config_flag, sweep
from headprune.runs import checkpoint
from headprune.runs import config as config_lib
from headprune.runs.heads import count_open
from headprune.runs.workdir import Workdir
from headprune.train import prepare
from tests.train.loop_test import SMALL


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """(folder of the curve, a function that gives the command)."""
  folder = tmp_path_factory.mktemp("curve")
  small = SMALL | {"model.layers": 1, "eval.beams": 1}
  saved = flagsaver.save_flag_values()

  def run():
    argv = ["sweep", "--config=concrete", f"--workdir={folder}", "--heads=6,2"]
    argv += ["--methods=onepass", "--together=2"]
    argv += [f"--config.{field}={value}" for field, value in small.items()]
    argv += [
      f"--config.pretrain.{field}={value}"
      for field, value in small.items()
      if field.startswith(("train.", "optim."))
    ]
    flagsaver.restore_flag_values(saved)
    flags.FLAGS.unparse_flags()
    before, sys.argv = sys.argv, argv
    try:
      config_flag.parser("usage", [])(argv)
    finally:
      sys.argv = before
    sweep._sweep([])

  run()
  yield folder, run
  flagsaver.restore_flag_values(saved)


def test_forks_have_the_wanted_heads_and_start_from_the_trunk_at_that_step(run, tmp_path):
  folder, _ = run
  # Of 12 heads 8.3 are open at first; the target falls to 2 in 7 of the trunk's 8 steps.
  for heads, step in ((6, 3), (2, 7)):
    fork = Workdir(folder / f"onepass-{heads}-seed0")
    counts = count_open(fork.read_heads())
    assert sum(map(sum, counts.values())) == heads
    assert (fork.read_summary().step, config_lib.load(fork).init_checkpoint) == (4, str(step))
    _, first = prepare.set_up(config_lib.load(fork), Workdir(tmp_path / str(heads)))
    there = checkpoint.load_params(Workdir(folder / "trunk-seed0"), str(step))
    jax.tree.map(np.testing.assert_array_equal, first["model"], there["model"])


def test_the_table_has_the_forks_and_a_note_on_the_trunk(run, capsys):
  folder, again = run
  again()
  printed = capsys.readouterr()
  assert "step " not in printed.out, "nothing is trained again"
  assert "trunk-seed0 is a trunk" in printed.err
  lines = (folder / "curve.csv").read_text().splitlines()[1:]
  assert [line.split(",")[:2] for line in lines] == [
    ["baseline", "true"], ["control", "true"], ["onepass", "false"], ["onepass", "true"],
    ["onepass", "false"], ["onepass", "true"],
  ]  # fmt: skip


def test_a_fork_that_is_missing_is_made_again_alone(run, capsys):
  folder, again = run
  fork = folder / "onepass-2-seed0"
  before = [json.loads(line) for line in (fork / "metrics.jsonl").read_text().splitlines()]
  shutil.rmtree(fork)
  again()
  trained = [line for line in capsys.readouterr().out.splitlines() if line.endswith("seed0")]
  assert trained == ["onepass-2-seed0"]
  after = [json.loads(line) for line in (fork / "metrics.jsonl").read_text().splitlines()]
  losses = [[row["dev_loss"] for row in rows if "dev_loss" in row] for rows in (before, after)]
  np.testing.assert_allclose(*losses, rtol=1e-3)
