"""The command `headprune`, and the package as a wheel has it, outside a checkout."""

import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tomllib

import pytest

import headprune
from headprune import __main__ as command
from tests import xla_flags

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TINY = """
  --config baseline --workdir runs/tiny --config.data.corpus.train=60 --config.data.corpus.dev=2
  --config.data.corpus.test=0 --config.tokenizer.vocab_size=150 --config.model.model_size=8
  --config.model.layers=1 --config.model.num_heads=2 --config.model.ff_size=8
  --config.train.steps=1 --config.train.batch_tokens=384 --config.eval.beams=1
""".split()


@pytest.fixture
def call(monkeypatch, capsys):
  """The command in this process; gives what it printed and how it ended."""

  def call(*arguments):
    monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
    monkeypatch.setattr(sys, "argv", ["headprune", *arguments])
    try:
      with pytest.raises(SystemExit) as caught:
        command.main()
    finally:
      signal.signal(signal.SIGINT, signal.default_int_handler)
    return "".join(capsys.readouterr()), caught.value.code

  return call


def test_help_and_version_are_those_of_the_package(call):
  said, code = call("--help")
  assert code == 0 and all(f"\n  {name}" in said for name in command.COMMANDS)
  assert call("--version") == (f"headprune {headprune.__version__}\n", 0)
  said, code = call("prune")
  assert code == 2 and "choose from" in said


def test_every_command_is_a_module_that_is_run_as_python_m_does(call):
  for module, _ in command.COMMANDS.values():
    assert importlib.util.find_spec(f"headprune.{module}")
  said, code = call("translate", "--help")
  assert code == 0 and said.startswith("usage: headprune translate --workdir")


def test_a_signal_before_a_command_has_begun_is_one_line(call, monkeypatch):
  def read(*_, **__):  # as JAX does in C++
    try:
      signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
      raise ImportError("Encountered an error while initializing the extension.") from None

  monkeypatch.setattr(command.runpy, "run_module", read)
  monkeypatch.setattr(command.os, "_exit", sys.exit)
  assert call("translate") == ("stopped\n", 130)


def installed(folder: pathlib.Path) -> pathlib.Path:
  """A folder with what a wheel has of the package, by pyproject.toml's own patterns."""
  tools = PROJECT["tool"]["setuptools"]
  assert tools["packages"] == {"find": {"include": ["headprune*"]}}
  for package in ROOT.glob("headprune/**/__init__.py"):
    name = package.parent.relative_to(ROOT)
    patterns = ["*.py", *tools["package-data"].get(".".join(name.parts), ())]
    (folder / name).mkdir(parents=True)
    for path in (path for pattern in patterns for path in package.parent.glob(pattern)):
      shutil.copy(path, folder / name)
  return folder


def test_a_wheel_has_all_files(tmp_path):
  files = lambda top: {
    path.relative_to(top)
    for path in top.glob("headprune/**/*")
    if path.is_file() and path.suffix != ".pyc"
  }
  assert files(installed(tmp_path)) == files(ROOT)


def test_outside_a_checkout_the_command_trains(tmp_path):
  module, function = PROJECT["project"]["scripts"]["headprune"].split(":")
  script = tmp_path / "headprune"
  script.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
  (tmp_path / "elsewhere").mkdir()
  ended = subprocess.run(
    [sys.executable, str(script), "train", *TINY], cwd=tmp_path / "elsewhere",
    env=os.environ
    | {"PYTHONPATH": str(installed(tmp_path / "site")), "XLA_FLAGS": xla_flags.QUICK},
    capture_output=True, text=True,
  )  # fmt: skip
  assert ended.returncode == 0, ended.stderr
  assert "runs/tiny: checkpoints/" in ended.stdout
  assert (tmp_path / "elsewhere" / "runs" / "tiny" / "summary.json").is_file()
