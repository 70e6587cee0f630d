"""Tests of headprune.table: the command."""

import json
import sys

import pytest

from headprune import table
from headprune.curve import significance
from headprune.curve.markdown import markdown
from headprune.curve.rows import rows
from headprune.errors import UserError
from headprune.nn.config import TYPES
from tests.curve import runs


@pytest.fixture
def call(monkeypatch, capsys):
  """Runs the command; gives what it printed."""

  def call(*arguments):
    monkeypatch.setattr(sys, "argv", ["table", *map(str, arguments)])
    table.main()
    return capsys.readouterr().out

  return call


def test_the_table_is_printed_and_the_files_are_written(call, tmp_path):
  folders = runs.sweep(tmp_path / "runs")
  assert call(*folders) == markdown(rows(folders))
  said = call(*folders, "--out", tmp_path / "out", "--structures", tmp_path / "own.json")
  assert said == markdown(rows(folders)) + f"\nfiles: {tmp_path}/out\n"
  assert (tmp_path / "out" / "curve.html").is_file()
  own = json.loads((tmp_path / "own.json").read_text())
  assert list(own["l0-6-1"]) == list(TYPES)


def test_significance(call, tmp_path, monkeypatch):
  folders = runs.sweep(tmp_path)
  with pytest.raises(UserError, match="names no test set"):
    call(*folders, "--significance")
  monkeypatch.setattr(
    significance, "p_values", lambda rows, split: {(r.run, r.tuned): 0.01 for r in rows}
  )
  assert "| 6 | 2 of 2 |" in call(*folders, "--significance")


def test_no_run(call, tmp_path):
  with pytest.raises(UserError, match="none of these folders is a finished run"):
    call(tmp_path)


@pytest.mark.parametrize("flag", ["--out", "--structures"])
def test_files_that_cannot_be_written_are_told_before_anything_is_timed(
  call, tmp_path, monkeypatch, flag
):
  folders = runs.sweep(tmp_path / "runs")
  (tmp_path / "file").write_text("")
  monkeypatch.setattr(table.speeds, "measure", None)
  with pytest.raises(UserError, match="x cannot be (written|made)"):
    call(*folders, "--speed", flag, tmp_path / "file" / "x")


@pytest.mark.parametrize("flag", ["--out", "--structures"])
def test_an_empty_flag_is_not_one_that_is_left_out(call, capsys, flag):
  with pytest.raises(SystemExit) as caught:
    call("runs/x", flag, "")
  assert caught.value.code == 2 and f"argument {flag}: is empty" in capsys.readouterr().err


def test_help(call, capsys):
  with pytest.raises(SystemExit):
    call("--help")
  said = capsys.readouterr().out
  assert "--significance" in said and "usage: headprune table" in said and "chosen_by" in said
