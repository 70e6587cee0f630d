"""Tests of headprune.trend: the command on small runs, from workdirs to files."""

import csv
import json
import os
import shutil
import sys

import pytest

from headprune import trend
from headprune.analysis import subject as subject_lib
from headprune.analysis import survey
from headprune.analysis.measured import closing, confidence, gradient, relevance
from headprune.errors import UserError
from headprune.runs import checkpoint
from headprune.runs.run import load
from headprune.runs.workdir import Workdir
from headprune.translator.translator import Translator
from tests import small_run, tiny

LINES = [f"{a} dog saw {b} cat" for a in ("the", "a") for b in ("the", "red", "big")] + ["cat"]
LOW = ("--positional", 0.4, "--idle", 0.4, "--rare-top", 0)  # random heads have functions, too


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A text, and two runs whose dev data it is: `run` with three checkpoints, `dense` with one."""
  folder = tmp_path_factory.mktemp("runs")
  (folder / "text").write_text("".join(f"{line}\n" for line in LINES))
  (folder / "links").write_text("0-0 1-1\n" * (len(LINES) - 1) + "0-0\n")
  fields = {f"data__text__dev_{side}": str(folder / "text") for side in ("src", "tgt")}
  run = small_run.make(folder / "run", **fields)
  for step in (10, 100):
    params = {"model": tiny.random_params(run.translator.config, step), "gates": run.log_alphas}
    checkpoint.save_params(Workdir(folder / "run"), params, step)
  rows = [
    {"step": 10, "objective": 3.0},
    {"step": 10, "dev_loss": 2.25, "dev_smoothed_loss": 2.5, "dev_bleu": 7.5},
  ]
  Workdir(folder / "run").metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
  small_run.make(folder / "dense", gates__kind="none", gates__types=(), **fields)
  return folder


def command(monkeypatch, *arguments):
  monkeypatch.setattr(sys, "argv", ["trend", *map(str, arguments)])
  trend.main()


def test_the_whole_command(folder, monkeypatch, capsys):
  def fail(*args):
    raise AssertionError("nothing but functions is of use here")

  for module in (closing, confidence, gradient, relevance):
    monkeypatch.setattr(module, "prepare", fail)
  runs = folder / "run", folder / "dense"
  links = "--alignments", folder / "links", "--aligning", 0.9
  command(monkeypatch, "--workdir", *runs, *LOW, *links)
  workdir = Workdir(folder / "run")
  found = json.loads(workdir.trend.read_text())
  assert found["settings"]["sentences"] == 7 and found["settings"]["positional"] == 0.4
  points = found["checkpoints"]
  assert [(x["run"], x["step"]) for x in points] == [
    ("run", 0), ("run", 10), ("run", 100), ("dense", 0),
  ]  # fmt: skip
  assert [(x["dev_loss"], x["dev_bleu"]) for x in points[:3]] == [
    (None, None), (2.25, 7.5), (None, None),
  ]  # fmt: skip
  kinds = ["positional", "rare words", "idle", "positional", "idle", "aligning", "idle"]
  for point in points:
    assert [level["kind"] for level in point["levels"]] == kinds
    assert {level["open"] for level in point["levels"]} == {2 if point["run"] == "run" else 4}
  bests = [[level["best"] for level in point["levels"]] for point in points]
  assert bests[0] != bests[1] != bests[2]
  with workdir.trend_table.open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 4 * 7
  assert [float(row["best"]) for row in rows] == [x for point in bests for x in point]
  assert workdir.trend_figure.is_file()
  printed = capsys.readouterr().out
  assert printed.count("run: heads") == printed.count("dense: heads") == 1
  assert "    10      2.25      7.50  " in printed and printed.count("needed") == 2
  assert printed.count("note: Words are counted in the analysed text itself") == 1
  assert str(workdir.trend_figure) in printed


def test_it_says_what_analyze_says_of_the_same_checkpoint(folder, monkeypatch):
  command(monkeypatch, "--workdir", folder / "run", "--checkpoints", "100,10", *LOW)
  points = json.loads(Workdir(folder / "run").trend.read_text())["checkpoints"]
  assert [point["step"] for point in points] == [10, 100]
  monkeypatch.setattr(survey, "ANALYSES", survey.FUNCTIONS)  # the others take long
  options = survey.options(positional=0.4, idle=0.4, rare_top=0, resamples=0, chance=0)
  having = 0
  for point in points:
    subject = subject_lib.read(load(folder / "run", str(point["step"])), options)
    result = survey.survey(subject, options)
    for level in point["levels"]:
      mine = [f for f in result.functions if (f.kind, f.type) == (level["kind"], level["type"])]
      assert level["heads"] == len({head for f in mine for head in f.heads})
      having += level["heads"]
      if mine:
        best = max(mine, key=lambda f: f.strength)
        assert (level["best"], level["function"]) == (best.strength, best.name)
        assert tuple(level["head"]) in best.heads
      else:
        assert level["best"] < level["limit"]
  assert having > 3


def test_text_and_compiled_programs_serve_all_checkpoints(folder, monkeypatch):
  traced, encoded, loaded = [], [], []
  apply, encode = Translator._apply, subject_lib.encode
  monkeypatch.setattr(trend, "load", lambda path, step: loaded.append(step) or load(path, step))
  monkeypatch.setattr(Translator, "_apply", lambda *a, **k: traced.append(1) or apply(*a, **k))
  monkeypatch.setattr(subject_lib, "encode", lambda *a: encoded.append(1) or encode(*a))
  Translator.attention.clear_cache()
  Translator.encoder_attention.clear_cache()
  command(monkeypatch, "--workdir", folder / "run", *LOW)
  assert len(traced) == 2, "all attention, the encoder's alone"
  assert len(encoded) == 1 and loaded == ["0", "10", "100"]


def test_a_checkpoint_that_is_not_kept(folder, monkeypatch):
  message = "run/checkpoints: no checkpoint '50'; there are 0, 10, 100"
  with pytest.raises(UserError, match=message):
    command(monkeypatch, "--workdir", folder / "run", "--checkpoints", "10,50")


def test_a_run_that_one_may_not_write_to_is_told_before_anything_is_measured(folder, monkeypatch):
  monkeypatch.setattr(trend, "load", None)
  monkeypatch.setattr(os, "access", lambda *_: False)
  with pytest.raises(UserError, match="run is not a folder that one may write to"):
    command(monkeypatch, "--workdir", folder / "run")


def test_runs_that_cannot_be_used(folder, monkeypatch, tmp_path):
  monkeypatch.setattr(survey, "find", None)  # nothing is measured before all is known to be there
  for path in (tmp_path / "nowhere", tmp_path):
    with pytest.raises(UserError, match=f"{path}: not a run"):
      command(monkeypatch, "--workdir", folder / "run", path)
  shutil.copytree(folder / "dense", tmp_path / "begun")
  for part in ("checkpoints", "summary.json"):
    (tmp_path / "begun" / part).rename(tmp_path / part)
  with pytest.raises(UserError, match="begun/checkpoints: no finished checkpoint here"):
    command(monkeypatch, "--workdir", folder / "run", tmp_path / "begun")
  shutil.copytree(folder / "run", tmp_path / "run")
  other = Workdir(tmp_path / "run")
  (other.checkpoints / "10" / "params" / "_METADATA").write_text("{}")
  with pytest.raises(UserError, match="10: damaged (.*); checkpoint 100 is whole"):
    command(monkeypatch, "--workdir", folder / "run", other.path)
  (tmp_path / "text").write_text("the cat\n")
  config = other.config.read_text().replace(str(folder / "text"), str(tmp_path / "text"))
  other.config.write_text(config)
  with pytest.raises(
    UserError, match=r"different things \(sentences 7 -> 1; text \w+ -> \w+; .*\): give --text"
  ):
    runs = folder / "run", other.path
    command(monkeypatch, "--workdir", *runs, "--checkpoints", "100")
