"""Scoring a run on files or on its own test set."""

import json
import sys

import pytest

from headprune import evaluate
from headprune.errors import UserError
from tests import small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  (folder / "src").write_text("\n".join(small_run.LINES) + "\n")
  (folder / "ref").write_text("the dog saw a cat\n\na big red cat\n\ncat\n")
  fields = {"data__text__dir": str(folder), "data__text__test_src": "src"}
  return small_run.make(folder / "small", **fields, data__text__test_tgt="ref")


@pytest.fixture
def command(monkeypatch, capsys):
  def call(*arguments):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    evaluate.main()
    return json.loads(capsys.readouterr().out)

  return call


def files(run) -> tuple:
  folder = run.workdir.path.parent
  return "--src", folder / "src", "--ref", folder / "ref"


def test_files(run, command, tmp_path):
  result = command("--workdir", run.workdir.path, *files(run), "--out", tmp_path / "out")
  assert (tmp_path / "out").read_text() == "".join(
    f"{line}\n" for line in run.translate(small_run.LINES)
  )
  assert result["sentences"] == 5 and 0 <= result["bleu"] <= 100 and 0 < result["chrf"] < 100
  assert result["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
  assert result["chrf_signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|")


def test_the_runs_own_test_set(run, command, tmp_path):
  workdir = "--workdir", run.workdir.path
  assert command(*workdir) == command(*workdir, *files(run))
  small_run.make(tmp_path / "other")
  with pytest.raises(UserError, match="names no test set: give --src and --ref"):
    command("--workdir", tmp_path / "other")


def test_the_score_is_there_where_the_disk_is_full(run, command, capsys, tmp_path, monkeypatch):
  def fail(*_):
    raise UserError("no room")

  monkeypatch.setattr(evaluate, "write_text", fail)
  with pytest.raises(UserError, match="no room"):
    command("--workdir", run.workdir.path, *files(run), "--out", tmp_path / "out")
  assert json.loads(capsys.readouterr().out)["sentences"] == 5


def test_a_line_for_which_no_memory_suffices(run, command, tmp_path):
  (tmp_path / "src").write_text("cat\n" + "cat " * 9000 + "\n")
  (tmp_path / "ref").write_text("cat\ncat\n")
  with pytest.raises(UserError, match=r"src, line 2: 9,001 tokens, at most 8,192 are translated"):
    command("--workdir", run.workdir.path, "--src", tmp_path / "src", "--ref", tmp_path / "ref")


@pytest.mark.parametrize("flag", ["--workdir", "--src", "--ref", "--out"])
def test_an_empty_flag_is_not_one_that_is_left_out(run, command, capsys, flag):
  with pytest.raises(SystemExit) as caught:
    command("--workdir", run.workdir.path, *files(run), flag, "")
  assert caught.value.code == 2 and f"argument {flag}: is empty" in capsys.readouterr().err


def test_mistakes_come_before_the_run_is_read(run, command, tmp_path):
  (tmp_path / "short").write_text("cat\n")
  source, reference = files(run)[1::2]
  for arguments, message in (
    (("--src", source, "--ref", tmp_path / "short"), "src has 5 lines but .*short has 1"),
    (("--src", source), "give both --src and --ref, or neither"),
    ((*files(run), "--out", tmp_path / "none" / "out"), "none/out: its folder does not exist"),
    ((*files(run), "--out", tmp_path), "is a folder, not a file"),
  ):
    with pytest.raises(UserError, match=message):
      command("--workdir", "nowhere", *arguments)
