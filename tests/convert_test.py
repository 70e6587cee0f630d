"""The command `headprune.convert`: what it prints, which formats it knows, how it fails."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import headprune
from headprune import convert
from headprune.errors import UserError
from tests import small_run
from tests.recorded import GOLDEN

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch, capsys):
  def call(*args):
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, args)])
    convert.main()
    return capsys.readouterr().out

  return call


def test_a_marian_model_goes_in_and_out(command, tmp_path):
  said = command("marian", "--dir", GOLDEN / "marian", "--out", tmp_path / "run")
  assert said == f"{tmp_path / 'run'}: 2+2 layers, D 32, 4 and 4 heads, vocabulary 118\n"
  assert headprune.load(tmp_path / "run").src_tokenizer.encode([""]) == [[0]]
  export = ("export", "--workdir", tmp_path / "run", "--out", tmp_path / "out")
  assert command(*export, "--format", "marian").startswith(f"{tmp_path / 'out'}: model.safetensors")
  fields = json.loads((tmp_path / "out" / "config.json").read_text())
  assert (fields["model_type"], fields["d_model"]) == ("marian", 32)
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    command(*export, "--format", "marian")
  other = (*export[:-1], tmp_path / "other")
  with pytest.raises(UserError, match="config.model.norm='post': the original program has 'pre'"):
    command(*other)
  assert not (tmp_path / "other").exists()


def test_a_model_of_the_original_goes_in_and_out(command, tmp_path):
  files = {
    "--npz": "concrete/model.npz",
    "--src-vocab": "src.voc.txt",
    "--tgt-vocab": "dst.voc.txt",
  }
  given = [part for flag, name in files.items() for part in (flag, GOLDEN / name)]
  said = command("original", *given, "--out", tmp_path / "run")
  assert said.endswith("2+2 layers, D 32, 4 heads, trained gates\n")
  export = ("export", "--workdir", tmp_path / "run", "--checkpoint", "0", "--out", tmp_path / "out")
  assert "model.npz" in command(*export)  # the default format
  with np.load(tmp_path / "out" / "model.npz") as ours, np.load(GOLDEN / files["--npz"]) as theirs:
    assert ours.files and set(ours.files) == set(theirs.files)
  with pytest.raises(UserError, match="config.model.norm='pre': MarianMT has 'post' only"):
    command(*export[:-1], tmp_path / "other", "--format", "marian")


def test_help_names_every_format(command, capsys):
  with pytest.raises(SystemExit):
    command("--help")
  said = capsys.readouterr().out
  assert "MarianMT (opus-mt)" in said and "Voita" in said and "export" in said
  with pytest.raises(SystemExit):
    command("export", "--help")
  assert "{original,marian,ctranslate2}" in capsys.readouterr().out


def test_a_mistake_is_one_line_and_no_folder(tmp_path):
  args = ("marian", "--dir", tmp_path, "--out", tmp_path / "run")
  ended = subprocess.run(
    [sys.executable, "-m", "headprune.convert", *map(str, args)],
    cwd=ROOT, capture_output=True, text=True,
  )  # fmt: skip
  assert ended.returncode == 2 and ended.stdout == ""
  assert ended.stderr == f"error: {tmp_path / 'config.json'}: no such file\n"
  assert not (tmp_path / "run").exists()


def test_quantisation_is_for_ctranslate2(command, tmp_path):
  small_run.make(tmp_path / "run")
  export = "export", "--workdir", tmp_path / "run", "--quantization", "int8"
  with pytest.raises(UserError, match="--quantization is for --format ctranslate2, not original"):
    command(*export, "--out", tmp_path / "out")
  said = command(*export, "--format", "ctranslate2", "--out", tmp_path / "out")
  assert "a CTranslate2 model, int8" in said
  assert said.rstrip().endswith("pieces, which the files in tokenizer/ make of a line")
  small_run.make(tmp_path / "lower", tokenizer__lowercase=True)
  export = "export", "--workdir", tmp_path / "lower", "--format", "ctranslate2"
  assert command(*export, "--out", tmp_path / "lower-out").rstrip().endswith("lower-cased first")
  assert (tmp_path / "out" / "model.bin").is_file()
