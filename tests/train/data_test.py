"""What a run reads, makes once, and finds again."""

import pathlib
import shutil

from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults
from headprune.runs.workdir import Workdir
from headprune.text import encoding, sources, special, tokenizer
from headprune.train import data


def text_config(folder: pathlib.Path) -> ConfigDict:
  config = defaults.base()
  config.data.kind, config.data.text.dir = "text", str(folder)
  config.tokenizer.kind = "whitespace"
  for split in ("train", "dev"):
    for side in ("src", "tgt"):
      config.data.text[f"{split}_{side}"] = f"{split}.{side}"
      (folder / f"{split}.{side}").write_text("a b\nc\n")
  return config


@pytest.fixture
def read(monkeypatch):
  """The splits that were read from their files, call by call."""
  calls = []
  old = sources.read_pairs
  monkeypatch.setattr(
    sources, "read_pairs", lambda config, splits: calls.append(splits) or old(config, splits)
  )
  return calls


def load(config, workdir) -> np.ndarray:
  """The training pairs' source ids; the run has begun then."""
  text, tokenizers, pairs = data.load(config, workdir)
  assert list(text) == ["dev"] and text["dev"][0] == ["a b", "c"] and len(pairs["dev"][0]) == 2
  config_lib.save(config, workdir)
  return np.array(pairs["train"][0].src_ids)


def test_a_run_that_goes_on_reads_no_training_text(tmp_path, read):
  config, workdir = text_config(tmp_path), Workdir(tmp_path / "run")
  first = load(config, workdir)
  np.testing.assert_array_equal(load(config, workdir), first)
  assert read == [sources.SPLITS, ("dev", "test")]
  (workdir.encoded / "tgt_ids").write_bytes(b"")
  np.testing.assert_array_equal(load(config, workdir), first)
  assert read[2:] == [sources.SPLITS]


def test_a_dev_line_that_no_memory_suffices_for_is_told_before_training(tmp_path):
  config = text_config(tmp_path)
  (tmp_path / "dev.src").write_text("a b\n" + "c " * 9000 + "\n")
  with pytest.raises(UserError, match="dev text, line 2: 9,001 tokens, at most 8,192 are"):
    data.load(config, Workdir(tmp_path / "run"))


def test_what_is_encoded_depends_on_the_built_in_corpus_only_where_that_is_the_text(tmp_path):
  config = defaults.config("baseline", "cldr")
  fields = data._key(config, Workdir(tmp_path))["data"]
  assert fields["corpus"]["kind"] == "cldr"
  config.data.kind = "text"
  assert "kind" not in data._key(config, Workdir(tmp_path))["data"]["corpus"]


def test_other_text_is_encoded_anew_which_is_told(tmp_path, read, capsys):
  config, workdir = text_config(tmp_path), Workdir(tmp_path / "run")
  assert len(load(config, workdir)) == 5
  (tmp_path / "train.src").write_text("a b a\nc\n")
  assert "anew" not in capsys.readouterr().out
  assert len(load(config, workdir)) == 6
  assert f"the text is encoded anew: {workdir.encoded} is damaged, or of" in capsys.readouterr().out
  assert read == [sources.SPLITS] * 2
  (tmp_path / "train.src").unlink()
  with pytest.raises(UserError, match="train.src: no such file"):
    load(config, workdir)


def test_a_run_takes_the_encoded_pairs_of_the_one_it_starts_from(tmp_path, monkeypatch):
  config, baseline = text_config(tmp_path), Workdir(tmp_path / "baseline")
  first = load(config, baseline)
  monkeypatch.setattr(encoding, "encode_to", None)
  config.init_from = str(baseline.path)
  np.testing.assert_array_equal(load(config, Workdir(tmp_path / "run")), first)
  shutil.rmtree(baseline.path)
  np.testing.assert_array_equal(load(config, Workdir(tmp_path / "run")), first)


def test_a_tokenizer_left_by_a_failed_start_is_not_reused(tmp_path):
  lines = [f"{word} {i}" for i in range(40) for word in ("day", "week", "month")]
  config = defaults.base()
  sizes = []
  for vocab_size in (40, 30):
    config.tokenizer.vocab_size = vocab_size
    sizes.append(data._tokenizers(config, Workdir(tmp_path / "x"), (lines, lines))[0].vocab_size)
  assert sizes[0] > sizes[1]


def test_processes_that_see_other_text_are_told(tmp_path, monkeypatch):
  config, workdir = text_config(tmp_path), Workdir(tmp_path / "run")
  load(config, workdir)
  (tmp_path / "train.src").write_text("a b\nc d\n")  # as on the disk of another machine
  monkeypatch.setattr(data.processes, "is_first", lambda: False)
  with pytest.raises(UserError, match="of other text files than this process sees, .*text.dir"):
    data._train_pairs(config, workdir, None, None, None, {})


def test_the_share_of_dev_text_that_is_trained_on_is_kept(tmp_path):
  config, workdir = text_config(tmp_path), Workdir(tmp_path / "run")
  load(config, workdir)
  assert data.load(config, workdir)[2]["train"][1].seen == {"dev": 1.0}


@pytest.mark.parametrize("split", ["train", "dev"])
def test_text_of_which_no_pair_fits_is_named(tmp_path, split):
  config = text_config(tmp_path)
  (tmp_path / f"{split}.src").write_text("a b " * 50 + "\nc " + "a b " * 50 + "\n")
  with pytest.raises(UserError, match=f"^{split} text: no pair fits into config.data.row_length"):
    data.load(config, Workdir(tmp_path / "run"))


def test_a_tokenizer_of_another_run_is_not_taken(tmp_path):
  config, run = text_config(tmp_path), Workdir(tmp_path / "run")
  load(config, run)
  words = [*special.RESERVED, "c", "a", "b"]  # as many ids
  tokenizer.write_files(run.tokenizer, tokenizer.whitespace_files(words, words))
  with pytest.raises(UserError, match="run/tokenizer: not the tokenizer that the run was made"):
    data.load(config, run)
  config.init_from = str(run.path)
  with pytest.raises(UserError, match="run/tokenizer: not the tokenizer that the run was made"):
    data.load(config, Workdir(tmp_path / "new"))
