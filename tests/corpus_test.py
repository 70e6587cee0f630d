"""The built-in corpus as text files."""

import sys

import pytest

from headprune import corpus
from headprune.errors import UserError
from headprune.runs import defaults
from headprune.text import sources


@pytest.fixture
def command(monkeypatch, capsys):
  def call(*args):
    monkeypatch.setattr(sys, "argv", ["corpus", *map(str, args)])
    corpus.main()
    return capsys.readouterr().out

  return call


SIZES = "--train", 30, "--dev", 4, "--test", 3


def test_the_files_hold_what_a_run_of_those_numbers_trains_on(command, tmp_path):
  out = tmp_path / "a" / "text"
  said = command("--out", out, "--locale", "de", *SIZES)
  assert said == f"{out}: pairs of en and de: train 30, dev 4, test 3\n"
  data = defaults.base().data
  data.corpus.update({"locale": "de", "train": 30, "dev": 4, "test": 3})
  for split, pairs in sources.read_pairs(data).items():
    assert sources.read_parallel(out / f"{split}.en", out / f"{split}.de") == pairs
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    command("--out", out, *SIZES)


def test_a_split_of_no_pairs_is_left_out(command, tmp_path):
  command("--out", tmp_path / "text", "--train", 3, "--dev", 0, "--test", 0)
  assert sorted(path.name for path in (tmp_path / "text").iterdir()) == ["train.en", "train.ru"]


@pytest.mark.parametrize(
  "arguments, message",
  [(["--locale", "en"], "is English"), (["--test", -1], "test is -1; a split has 0 or more")],
)
def test_a_mistake_leaves_no_folder(command, tmp_path, arguments, message):
  with pytest.raises(UserError, match=message):
    command("--out", tmp_path / "text", *SIZES, *arguments)
  assert not (tmp_path / "text").exists()
