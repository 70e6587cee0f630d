"""Translating standard input."""

import io
import sys

import pytest

from headprune import cli, translate
from tests import small_run


class Stdin:
  def __init__(self, data: bytes):
    self.buffer = io.BytesIO(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return small_run.make(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def command(monkeypatch):
  """The command on some input, two lines at a time."""

  def call(workdir, data: bytes):
    monkeypatch.setattr(translate, "CHUNK", 2)
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    monkeypatch.setattr(sys, "argv", ["translate", "--workdir", str(workdir)])
    monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
    cli.run(translate.main)

  return call


def test_as_many_lines_as_were_given(run, command, capfd):
  command(run.workdir.path, "\r\n".join(small_run.LINES).encode())
  expected = run.translate(small_run.LINES)
  assert capfd.readouterr().out == "".join(f"{line}\n" for line in expected)
  assert expected[0] and not expected[1]


def test_text_that_is_not_utf8(run, command, capfd):
  with pytest.raises(SystemExit) as caught:
    command(run.workdir.path, b"\n\n\nK\xe4se\n")
  assert caught.value.code == 2
  out, err = capfd.readouterr()
  assert out == "\n\n"  # what was read before
  assert err == "error: standard input, line 4: not UTF-8; convert the text first\n"


def test_no_run(command, capfd, tmp_path):
  with pytest.raises(SystemExit) as caught:
    command(tmp_path, b"")
  assert caught.value.code == 2 and "not a run" in capfd.readouterr().err
