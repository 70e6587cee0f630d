"""The README's examples: commands have the arguments that are printed, Python runs as it stands."""

import argparse
import dataclasses
import importlib
import json
import pathlib
import re
import shlex
import sys

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

import headprune
from headprune import __main__ as command
from headprune import config_flag, evaluate, sweep
from headprune.curve import planning
from tests import small_run

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = ["the dog saw a cat", "a big red dog", "cat"]


def commands() -> list[list[str]]:
  """The arguments of each `headprune` in a block, as a shell would give them."""
  found = []
  for language, block in BLOCKS:
    values = dict(re.findall(r'^(\w+)="(.*?)"', block, re.DOTALL | re.MULTILINE))
    for line in re.findall(r"^headprune (.*)", block.replace("\\\n", " "), re.MULTILINE):
      assert not language
      for name, value in values.items():
        line = line.replace(f"${name}", " ".join(value.split()))
      words = shlex.split(line, comments=True)
      redirected = [i for i, word in enumerate(words) if word in "<>"]
      found.append(words[: redirected[0]] if redirected else words)
  return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder that has what the examples name."""
  folder = tmp_path_factory.mktemp("readme")
  texts = [f"mydata/{split}.{language}" for split in ("dev", "test") for language in ("en", "de")]
  for name in ("data/grammar/test.en", "data/grammar/test.art", *texts):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n" for line in LINES))
  test_set = {f"data__text__test_{side}": "mydata/dev.en" for side in ("src", "tgt")}
  for name in ("concrete", "opus-small", "mine-small"):
    small_run.make(folder / "runs" / name, **test_set)
  return folder


def test_rooms_import_from_those_above_them_alone():
  built = README[README.index("\n## How it is built") :]
  rooms = re.findall(r"^  (\w+)/ ", built, re.MULTILINE)
  package = pathlib.Path(headprune.__file__).parent
  assert sorted(rooms) == sorted(path.parent.name for path in package.glob("*/__init__.py"))
  for number, room in enumerate(rooms):
    for path in (package / room).rglob("*.py"):
      imports = re.findall(r"^ *from headprune\.(\w+)", path.read_text("utf-8"), re.MULTILINE)
      below = set(imports).intersection(rooms[number + 1 :])
      assert not below, f"{path} imports from {below}"


def test_links_lead_to_headings_and_files():
  headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
  anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings}
  links = re.findall(r"\]\(([^)]+)\)", README)
  assert sum(link[1:] in anchors for link in links if link.startswith("#")) >= 10
  for link in links:
    path = pathlib.Path(__file__).parents[1] / link
    assert link[1:] in anchors if link.startswith("#") else path.is_file(), link


class _Parsed(Exception):
  pass


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_a_command_takes_its_arguments(words, monkeypatch):
  name, *arguments = words
  module, _ = command.COMMANDS[name]
  if name in ("train", "sweep"):
    saved = flagsaver.save_flag_values()
    argv = [name, *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    try:
      flags.FLAGS.unparse_flags()
      config_flag.parser("", sweep._FLAGS if name == "sweep" else [])(argv)
      if name == "sweep":
        wanted = dataclasses.replace(sweep._wanted(), baselines=())
        planning.check_flags(wanted)
    finally:
      flagsaver.restore_flag_values(saved)
    return
  parse = argparse.ArgumentParser.parse_args

  def parse_and_stop(parser, *args):
    parse(parser, *args)
    raise _Parsed

  monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
  monkeypatch.setattr(sys, "argv", words)
  with pytest.raises(_Parsed):
    importlib.import_module(f"headprune.{module}").main()


def test_each_evaluation_runs(folder, monkeypatch, capsys):
  monkeypatch.chdir(folder)
  examples = [words for words in commands() if words[0] == "evaluate"]
  assert len(examples) >= 4
  for words in examples:
    monkeypatch.setattr(sys, "argv", words)
    evaluate.main()
    assert json.loads(capsys.readouterr().out)["sentences"] == 3


def test_the_python_runs(folder, monkeypatch):
  monkeypatch.chdir(folder)
  names = {"sources": LINES, "targets": LINES[::-1], "references": LINES, "array": np.ones((2, 2))}
  for language, block in BLOCKS:
    if language == "python":
      exec(block, names)
  assert names["logits_BTV"].shape == (1, 64, 10) and names["attention"]["dec_enc"][1].ndim == 4
  learned = names["sources"], names["targets"]
  before, after = (np.concatenate(names[x].score(*learned)).mean() for x in ("run", "mine"))
  assert 0 < after < before
