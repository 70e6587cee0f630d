"""The built-in corpus as text files."""

import sys

import pytest

from headprune import corpus
from headprune.analysis import conllu
from headprune.analysis.measured import alignment
from headprune.errors import UserError
from headprune.runs import defaults
from headprune.text import sources, textfile


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
  data.corpus.update({"kind": "cldr", "locale": "de", "train": 30, "dev": 4, "test": 3})
  for split, pairs in sources.read_pairs(data).items():
    assert textfile.read_parallel(out / f"{split}.en", out / f"{split}.de") == pairs
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    command("--out", out, "--kind", "none")  # told before anything is made


def test_only_more_training_pairs_are_new_to_a_run(command, tmp_path):
  lines = {}
  for name, more in (("run", ()), ("test", ("--test", 20)), ("train", ("--train", 40))):
    command("--out", tmp_path / name, *SIZES, *more)
    for split in sources.SPLITS:
      lines[name, split] = textfile.read_lines(tmp_path / name / f"{split}.en")
  seen = set().union(*(lines["run", split] for split in sources.SPLITS))
  assert seen.issuperset(lines["test", "test"]), "hence the warning in --help"
  first, new = lines["train", "train"][:30], lines["train", "train"][30:]
  assert first == lines["run", "train"] and len(new) == 10 and not seen.intersection(new)


def test_a_split_of_no_pairs_is_left_out(command, tmp_path):
  command("--out", tmp_path / "text", "--kind", "cldr", "--train", 3, "--dev", 0, "--test", 0)
  assert sorted(path.name for path in (tmp_path / "text").iterdir()) == ["train.en", "train.ru"]


def test_the_grammar_comes_with_parses_and_alignments(command, tmp_path):
  out = tmp_path / "text"
  said = command("--out", out, *SIZES)
  assert said == f"{out}: pairs of en and art: train 30, dev 4, test 3\n"
  data = defaults.base().data
  data.corpus.update({"kind": "grammar", "train": 30, "dev": 4, "test": 3})
  for split, (src, tgt) in sources.read_pairs(data).items():
    assert textfile.read_parallel(out / f"{split}.en", out / f"{split}.art") == (src, tgt)
    assert [sentence.text for sentence in conllu.read(out / f"{split}.conllu")] == src
    links = alignment.read(out / f"{split}.align")
    assert [len(sure) for sure, _ in links] == [len(line.split()) for line in src]
  command("--out", tmp_path / "few", *SIZES, "--test", 0)
  assert not list((tmp_path / "few").glob("test.*"))


def test_a_longer_train_set_ends_in_new_sentences(command, tmp_path):
  command("--out", tmp_path / "own", *SIZES)
  command("--out", tmp_path / "more", *SIZES, "--train", 50)
  lines = {path.stem: path.read_text().split("\n")[:-1] for path in tmp_path.glob("own/*.en")}
  longer = (tmp_path / "more" / "train.en").read_text().split("\n")[:-1]
  assert longer[:30] == lines["train"]
  assert len(set(longer[30:]) - set(sum(lines.values(), []))) == 20


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--locale", "en"], "is English"),
    (["--kind", "cldr", "--test", -1], "test is -1; a split has 0 or more"),
    (["--kind", "grammer"], "config.data.corpus.kind='grammer': choose one of cldr, grammar"),
    (["--kind", "grammar", "--locale", "de"], "--locale: the kind grammar has one target language"),
    (["--test", -1], "test is -1; a split has 0 or more"),
  ],
)
def test_a_mistake_leaves_no_folder(command, tmp_path, arguments, message):
  with pytest.raises(UserError, match=message):
    command("--out", tmp_path / "text", *SIZES, *arguments)
  assert not (tmp_path / "text").exists()
