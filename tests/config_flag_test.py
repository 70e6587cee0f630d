"""Arguments of the commands that train: fields, mistakes, configs by name."""

import os
import pathlib
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import pytest

from headprune import config_flag, sweep
from headprune.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def parse(monkeypatch):
  """Parses a command line as `headprune train` does; gives the config."""
  saved = flagsaver.save_flag_values()
  monkeypatch.chdir(ROOT)

  def parse(line):
    flagsaver.restore_flag_values(saved)
    flags.FLAGS.unparse_flags()
    argv = ["main.py", *line.split()]
    monkeypatch.setattr(sys, "argv", argv)
    config_flag.parser("usage", [])(argv)
    return config_flag.CONFIG.value

  yield parse
  flagsaver.restore_flag_values(saved)


def test_help_shows_the_config_with_its_changes(parse, capsys):
  with pytest.raises(SystemExit) as end:
    parse("--config concrete:enru --config.l0.coef=0.75 --help")
  printed = capsys.readouterr().out
  assert end.value.code == 0 and "--workdir " in printed
  assert [line.split()[:3] for line in printed.split("\n") if "l0.coef" in line] == [
    ["*", "l0.coef", "0.75"]
  ]
  with pytest.raises(SystemExit):
    parse("--help")
  assert "with their defaults" in capsys.readouterr().out
  with pytest.raises(UserError, match="unknown preset 'enro'"):
    parse("--config concrete:enro --help")


def test_help_shows_defaults_that_there_are(parse, capsys):
  with pytest.raises(SystemExit):
    config_flag.parser("usage", sweep._FLAGS)(["sweep", "--help"])
  printed = capsys.readouterr().out
  assert "(default: l0,random)" in printed and "(default: )" not in printed


START = "--config configs/concrete.py --workdir w"


def test_fields_from_the_command_line(parse):
  config = parse(
    f"{START} --config.gates.types=enc_self --config.model.heads.enc_self=(3,2) "
    "--config.gates.init=2.5 --config.tokenizer.shared"
  )
  assert config.gates.types == ("enc_self",) and config.model.heads.enc_self == (3, 2)
  assert config.gates.init == "2.5" and config.tokenizer.shared
  given = "--config.gates.fixed_from= --config.gates.fixed.enc_self=((1,0.5),(0,1))"
  assert parse(f"--config fixed --workdir w {given}").gates.fixed.enc_self == ((1, 0.5), (0, 1))
  assert parse("--workdir w --config=configs/concrete.py:enru").data.text.train_tgt == "train.ru.gz"


@pytest.mark.parametrize("method", ["baseline", "concrete", "fixed"])
def test_a_config_by_name_is_that_of_the_file(parse, method, tmp_path, monkeypatch):
  for preset in ("", ":multi30k"):
    by_file = parse(f"--config configs/{method}.py{preset} --workdir w --config.seed=3")
    with monkeypatch.context() as elsewhere:
      elsewhere.chdir(tmp_path)
      by_name = parse(f"--config {method}{preset} --workdir w --config.seed=3")
    assert by_name.to_dict() == by_file.to_dict() and by_name.seed == 3


@pytest.mark.parametrize(
  "line, message",
  [
    ("", "give --config .* and --workdir"),
    ("--config configs/concrete.py", "give --config .* and --workdir"),
    ("--config configs/concrete.py --workdir=", "give --config .* and --workdir"),
    ("--workdir w --config", "Missing value for flag --config"),
    (f"{START} --config.l0.coeff=3", "--config.l0.coeff: no such field; .* --config.l0.coef"),
    (f"{START} --config.steps=3", "--config.steps: no such field; .* --config.train.steps"),
    (f"{START} --config.modle.layers=3", "did you mean --config.model.layers"),
    (f"{START} --config.train={{'steps':3}}", "--config.train: no such field"),
    (f"{START} --config.train.steps=abc", "--config.train.steps=abc"),
    (f"{START} --config.train.steps=2.5", "--config.train.steps=2.5"),
    (f"{START} --config.train.steps", "--config.train.steps"),
    (f"{START} --config.tokenizer.shared=maybe", "--config.tokenizer.shared=maybe"),
    ("--config configs/concrete.py:multi3k --workdir w", "'multi3k': did you mean 'multi30k'"),
    ("--config configs/concret.py --workdir w", "--config configs/concret.py: no such file"),
    ("--config concrete:multi3k --workdir w", "'multi3k': did you mean 'multi30k'"),
    ("--config=baseline:,encoder --workdir w", "unknown preset ',encoder'"),
    ("--config concret --workdir w", "--config concret: no such file, nor one of baseline"),
    ("--config=concret:enru --workdir w", "--config concret: no such file, nor one of baseline"),
    ("--config configs --workdir w", "--config configs: no such file"),
    ("--config= --workdir w", "--config : no such file, nor one of baseline"),
    ("--config multi30k --workdir w", "that is a preset; .* before it: baseline:multi30k"),
    (f"--config.train.steps=3 {START}", "Found --config.train.steps=3 .* before"),
    (f"{START} --steps=3", "--steps: no such flag; did you mean --config.train.steps"),
    (f"{START} --l0.coef=3", "--l0.coef: no such flag; did you mean --config.l0.coef"),
    (f"{START} --workdri=3", "--workdri: no such flag; did you mean --workdir"),
    (f"{START} --budget 12", "--budget: no such flag; there are --config.FIELD, --config, --work"),
    (f"{START} runs/x", "unknown argument 'runs/x'"),
    (f"{START} --config.data.corpus.locale=de", "--config.data.corpus.locale has no effect with"),
  ],
)
def test_mistakes_on_the_command_line(parse, line, message):
  with pytest.raises(UserError, match=message) as caught:
    parse(line)
  assert "\n" not in str(caught.value)


def test_a_run_that_has_begun_goes_on_with_fields_in_vain(parse, tmp_path):
  line = f"--config concrete:enru --workdir {tmp_path} --config.data.corpus.locale=de"
  with pytest.raises(UserError, match="data.corpus.locale has no effect"):
    parse(line)
  (tmp_path / "config.json").write_text("{}")
  parse(line)


@pytest.mark.parametrize(
  "body, message",
  [
    ("  return foo", "name 'foo' is not defined"),
    ("  return (", "was never closed|invalid syntax"),
    ("  return int('a')", "ValueError: invalid literal"),
    (
      "  import ml_collections as m\n  return m.ConfigDict({'seed': 1})",
      "no config.data.corpus.dev: start",
    ),
  ],
)
def test_a_config_file_that_fails(parse, tmp_path, body, message):
  (tmp_path / "own.py").write_text(f"def get_config():\n{body}\n")
  with pytest.raises(UserError, match=f"--config: .*{message}"):
    parse(f"--config {tmp_path}/own.py --workdir w")


def test_a_mistake_is_one_line_and_exit_code_2():
  command = [sys.executable, "-m", "headprune.main", *START.split(), "--config.l0.coeff=3"]
  done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
  assert done.returncode == 2 and done.stdout == ""
  assert done.stderr == (
    "error: --config.l0.coeff: no such field; did you mean --config.l0.coef?\n"
  )
