"""The speed command's arguments and output."""

import json
import sys

import pytest

from headprune import speed
from headprune.errors import UserError

ROW = {
  "size": "small", "heads": "dense", "task": "train", "unit": "tokens/s", "median": 1234.5,
  "low": 1000.0, "high": 2000.0, "compile_s": 3.0, "gain": 1.0, "arithmetic": 1.0,
}  # fmt: skip


@pytest.fixture
def command(monkeypatch):
  def call(*arguments):
    monkeypatch.setattr(sys, "argv", ["speed", *map(str, arguments)])
    monkeypatch.setattr(speed.speed, "measure", lambda size, heads, task, *_: [
      ROW | {"size": size, "heads": name, "task": task} for name in heads])  # fmt: skip
    monkeypatch.setattr(speed.jax.config, "update", lambda *_: None)
    speed.main()

  return call


def test_each_case_is_printed_once_and_kept(command, capsys, tmp_path):
  out = tmp_path / "x.json"
  command("--sizes", "small", "--tasks", "train,batch 1", "--heads", "dense,half", "--json", out)
  printed = capsys.readouterr().out
  assert printed.startswith("bfloat16 on ") and printed.count("1,234") == 4
  kept = json.loads(out.read_text())
  assert kept["precision"] == "bfloat16"
  rows = kept["rows"]
  assert [(row["task"], row["heads"]) for row in rows] == [
    ("train", "dense"), ("train", "half"), ("batch 1", "dense"), ("batch 1", "half"),
  ]  # fmt: skip


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--against", "ctranslate2"], "--against has no effect without --workdir"),
    (["--sentences", 9], "--sentences has no effect without --workdir"),
    (["--workdir", "x", "--heads", "half"], "--heads has no effect with --workdir"),
    (["--workdir", "x", "--sizes", "base"], "--sizes has no effect with --workdir"),
    (["--workdir", "x", "--tasks", "train"], "--tasks: 'train' is not one of batch 100, batch 1"),
    (["--workdir", "x", "--sentences", 0], "--sentences 0 must be at least 1"),
    (["--heads", "dense,most"], "--heads: 'most' is not one of dense, half, quarter"),
    (["--sizes", "huge"], "--sizes: 'huge' is not one of small, base"),
    (["--repeats", 0], "--repeats 0 must be at least 1"),
    (["--json", "none/x.json"], "none/x.json: its folder does not exist"),
    (["--json", "/"], "/ is a folder, not a file"),
  ],
)
def test_mistakes(command, arguments, message):
  with pytest.raises(UserError, match=message):
    command(*arguments)
