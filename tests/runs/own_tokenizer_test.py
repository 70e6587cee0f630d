"""A tokenizer folder is the one that the run was made with, or it is told."""

import json
import shutil

import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import own_tokenizer
from headprune.runs.workdir import Workdir
from headprune.text import special, tokenizer
from tests.base_config import changed


def make(path, *words) -> Workdir:
  """A run that has begun, with these words on both sides."""
  workdir = Workdir(path)
  tokens = [*special.RESERVED, *words]
  tokenizer.write_files(workdir.tokenizer, tokenizer.whitespace_files(tokens, tokens))
  config_lib.save(changed(), workdir)
  return workdir


def test_a_tokenizer_of_as_many_words_from_another_run_is_told(tmp_path):
  mine, other = make(tmp_path / "mine", "a", "b"), make(tmp_path / "other", "b", "a")
  assert own_tokenizer.load(mine)[0].encode(["a b"]) == [[3, 4, 1]]
  shutil.rmtree(mine.tokenizer)
  with pytest.raises(UserError, match="mine/tokenizer: no tokenizer here"):
    own_tokenizer.load(mine)
  shutil.copytree(other.tokenizer, mine.tokenizer)
  with pytest.raises(UserError, match="mine/tokenizer: not the tokenizer .*config.json: restore"):
    own_tokenizer.load(mine)
  fields = json.loads(mine.config.read_text())
  del fields[own_tokenizer.FIELD]  # as in older runs
  mine.config.write_text(json.dumps(fields))
  assert own_tokenizer.load(mine)[0].encode(["a b"]) == [[4, 3, 1]]


def test_what_is_recorded_is_no_field_of_the_config(tmp_path):
  workdir = make(tmp_path, "a")
  assert own_tokenizer.FIELD in json.loads(workdir.config.read_text())
  assert config_lib.load(workdir).to_dict() == changed().to_dict()


def test_a_run_without_a_tokenizer_records_none(tmp_path):
  assert own_tokenizer.record(Workdir(tmp_path)) == {}
