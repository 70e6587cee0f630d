"""The sweep command on a small corpus: its runs, its table, what it refuses."""

import csv
import os
import pathlib
import re
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import jax
import numpy as np
import pytest

import headprune
from headprune import config_flag, sweep, table
from headprune.errors import UserError
from headprune.files import read_json
from headprune.nn.config import TYPES
from headprune.runs import checkpoint
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir
from headprune.train import prepare
from tests.curve import runs
from tests.train.trained import SMALL

ROOT = pathlib.Path(__file__).parents[1]
CHANGES = SMALL | {
  "l0.settled": 0.4, "train.eval_every": 12, "train.translate_every": 12, "model.layers": 1,
  "eval.beams": 1,
}  # fmt: skip
del CHANGES["l0.coef"]  # --coefs says it
NAMES = [
  "baseline-seed0", "control-seed0", "l0-2-seed0", "l0-6-seed0", "onepass-2-seed0",
  "random-2-seed0", "scratch-2-seed0", "trunk-seed0",
]  # fmt: skip


def start(workdir: pathlib.Path, *arguments: str) -> subprocess.Popen:
  flags = [f"--config.{field}={value}" for field, value in CHANGES.items()]
  flags += [
    f"--config.pretrain.{field}={value}"
    for field, value in CHANGES.items()
    if field.startswith("train.")
  ]
  command = [
    sys.executable, "-m", "headprune.sweep", "--config", "configs/concrete.py:cldr", "--workdir",
    str(workdir), *flags, *arguments,
  ]  # fmt: skip
  pipe = subprocess.PIPE
  return subprocess.Popen(
    command, cwd=ROOT, env=dict(os.environ), stdout=pipe, stderr=pipe, text=True
  )


POINTS = (
  "--heads", "6,2", "--compare", "2", "--methods", "l0,onepass,random,scratch", "--together", "2",
)  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
  """(folder, what was printed) of a sweep."""
  folder = tmp_path_factory.mktemp("sweep") / "curve"
  program = start(folder, *POINTS)
  printed, said = program.communicate(timeout=400)
  assert program.returncode == 0, said
  return folder, printed


def test_each_point_is_a_run_with_the_heads_that_were_wanted(swept):
  folder, printed = swept
  assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == NAMES
  counts = {}
  for name in NAMES:
    heads = Workdir(folder / name).read_heads()
    counts[name] = sum(g > 0 for layers in heads.values() for row in layers for g in row)
  assert list(counts.values()) == [12, 12, 2, 6, 2, 2, 2, 2]
  found = Workdir(folder / "l0-2-seed0").read_heads()
  assert Workdir(folder / "scratch-2-seed0").read_heads() == found
  assert all(printed.count(f"  {name} ") == 1 for name in NAMES[1:])


def test_a_fork_starts_from_the_trunk_where_its_target_has_come_down(swept, tmp_path):
  fork, trunk = (Workdir(swept[0] / name) for name in ("onepass-2-seed0", "trunk-seed0"))
  config = config_lib.load(fork)
  # A separate run's 12 steps are 7 of the trunk and 5 of the fork; the target is 2 after 6 of 7.
  assert (trunk.read_summary().step, fork.read_summary().step) == (7, 5)
  assert (config.init_from, config.init_checkpoint) == (str(trunk.path), "6")
  _, first = prepare.set_up(config, Workdir(tmp_path / "again"))
  there = checkpoint.load_params(trunk, "6")
  jax.tree.map(np.testing.assert_array_equal, first["model"], there["model"])


def test_the_table_stands_at_the_end_and_in_files(swept):
  folder, printed = swept
  assert "Wanted count hit in 2 of 2 runs" in printed
  rows = list(csv.DictReader((folder / "curve.csv").open()))
  tuned = [(row["method"], row["open"], row["tuned"]) for row in rows]
  assert ("random", "2", "false") in tuned and ("random", "2", "true") in tuned
  assert [row["method"] for row in rows] == [
    "baseline", "control", "l0", "l0", "random", "random", "onepass", "onepass", "scratch",
  ]  # fmt: skip
  structures = read_json(folder / "structures.json")
  assert list(structures["l0-2-seed0"]) == list(TYPES)


def test_the_same_command_trains_nothing_again(swept):
  before = {path: path.stat().st_mtime_ns for path in swept[0].rglob("metrics.jsonl")}
  program = start(swept[0], *POINTS)
  printed, _ = program.communicate(timeout=200)
  assert program.returncode == 0 and "step " not in printed
  assert before == {path: path.stat().st_mtime_ns for path in swept[0].rglob("metrics.jsonl")}


def test_compact_models_are_timed(swept, monkeypatch, capsys, tmp_path):
  folders = [str(swept[0] / name) for name in NAMES[:4]]
  monkeypatch.setattr(sys, "argv", ["table", *folders, "--speed", "--out", str(tmp_path)])
  table.main()
  printed = capsys.readouterr().out
  lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")][-3:]
  assert [line[0] for line in lines] == ["| 12", "| 6", "| 2"]
  assert [float(line[2].split()[0]) > 0 for line in lines] == [True] * 3
  gains = [float(line[3].strip(" |")) for line in lines]
  assert gains == sorted(gains) and gains[0] == 1.0 < gains[2]
  assert (tmp_path / "speed.svg").is_file()


def test_a_point_is_loaded_like_any_run(swept):
  run = headprune.load(swept[0] / "l0-2-seed0")
  assert len(run.translate(["June 5, 2014"])) == 1


def test_what_failed_is_told_and_has_no_line_in_the_table(tmp_path, monkeypatch, capsys):
  for name in ("a", "b"):
    runs.make(tmp_path / name, 39.0)
  failed = {}
  monkeypatch.setattr(sweep, "_wanted", lambda: runs.wanted(tmp_path))
  monkeypatch.setattr(sweep, "sweep", lambda *_: ([], failed))
  for names, told in (("b", "Baseline: 39.0 (1 seed)."), ("ab", "")):
    failed |= {name: UserError("diverged") for name in names}
    said = f"error: {', '.join(failed)}: diverged\n"
    with pytest.raises(UserError, match=f"{len(names)} of the runs failed"):
      sweep._sweep([])
    out, err = capsys.readouterr()
    assert told in out and bool(out) == bool(told) and said in err


def test_numbers_of_heads_as_a_flag_gives_them():
  for text, amounts in {
    "12, 25%": ["12", "25%"],
    "enc_self 2, dec_enc 10": ["enc_self 2, dec_enc 10"],
    "enc_self 2, dec_enc 10; 12": ["enc_self 2, dec_enc 10", "12"],
    "enc_self 4,enc_self 2": ["enc_self 4", "enc_self 2"],
    "": [],
  }.items():
    assert sweep._amounts(text) == amounts


@pytest.mark.parametrize(
  "arguments, message",
  [
    (
      ["--methods", "l0,gradiant"],
      "--methods 'gradiant': is not one of l0, topk, onepass,",
    ),
    (["--heads", "999"], "config.l0.target_heads='999': 999 of 48"),
    (["--heads", "12", "--compare", "5"], "--compare 5: is not one of --heads 12"),
    (["--heads="], "--heads and --coefs are both empty"),
    (["--coefs", "0.1,x"], "--coefs 0.1,x: not all numbers"),
    (["--seeds", "0"], "--seeds 0 must be at least 1"),
    (
      ["--baselines", "x", "--config.pretrain.train.steps=9"],
      "--config.pretrain.train.steps has no effect with --baselines",
    ),
    (
      ["--baselines", "x", "--methods", "l0,scratch", "--config.pretrain.train.steps=9"],
      "--config.pretrain.train.steps has no effect with --baselines",
    ),
    (
      ["--config.init_from=runs/x"],
      "--config.init_from has no effect here: leave it out, --baselines says it",
    ),
    (["--baselines", "x", "--config.init_from=runs/x"], "--config.init_from has no effect here"),
    (["--baselines="], "--baselines is empty"),
    (["--baselines", "nowhere"], "--baselines nowhere: there is no finished run"),
    (["--methods", "scratch"], "--methods scratch takes the heads that l0 finds"),
    (["--config.gates.kind=none"], "--config: take concrete"),
    (["--config.optim.warmup=3"], "config.optim.warmup=3.0 is no share"),
  ],
)
def test_mistakes_are_told_before_anything_trains(tmp_path, monkeypatch, arguments, message):
  saved = flagsaver.save_flag_values()
  argv = ["sweep", "--config", "concrete:cldr", "--workdir", str(tmp_path / "x"), *arguments]
  try:
    flags.FLAGS.unparse_flags()
    monkeypatch.setattr(sys, "argv", argv)
    config_flag.parser("", sweep._FLAGS)(argv)
    with pytest.raises(UserError, match=re.escape(message)):
      sweep._sweep(argv)
  finally:
    flagsaver.restore_flag_values(saved)
  assert not (tmp_path / "x").exists()
