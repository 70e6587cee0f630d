"""Tests of headprune.analysis.subject."""

import types

import numpy as np
import pytest

from headprune.analysis import subject
from headprune.errors import UserError
from tests import small_run
from tests.analysis import subjects


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return small_run.make(tmp_path_factory.mktemp("runs") / "run")


LONG = " ".join(["cat"] * 127)
SOURCES = ["the dog", "", LONG, LONG + " cat", "a cat", "a dog"]
TARGETS = ["the cat", "a cat", "cat", "cat", " ", "dog"]


def test_pairs_with_an_empty_or_a_long_side_are_left_out(run):
  found = subject.encode(run, SOURCES, TARGETS)
  assert found.numbers == [0, 2, 5] and found.lines == SOURCES
  assert found.text[2] == ("a dog", "dog")
  assert found.source_ids[2] == run.src_tokenizer.encode(["a dog"])[0]
  assert [len(ids) for ids in found.target_ids] == [3, 2, 2]
  assert len(found.source_ids[1]) == subject.MAX_LENGTH == 128
  assert subject.encode(run, SOURCES, TARGETS, 2).numbers == [0]
  with pytest.raises(UserError, match="no pair with 1 to 127 tokens"):
    subject.encode(run, SOURCES[3:5], TARGETS[3:5])


def test_batches_hold_each_pair_once(run):
  found, seen = subject.encode(run, SOURCES, TARGETS), []
  for rows, batch in found.batches():
    seen += rows
    for row, i in enumerate(rows):
      length = batch["tgt_segment_BT"][row].sum()
      assert batch["tgt_BT"][row, :length].tolist() == found.target_ids[i]
  assert sorted(seen) == [0, 1, 2]


def test_heads_that_are_open(run):
  found = subject.encode(run, ["a"], ["a"])
  assert found.open_heads("enc_self").tolist() == [[True, False]] * 2
  assert found.find_heads("enc_self", np.array([[False, True], [True, True]])) == ((1, 0),)
  uneven = subjects.encoder([[1]], [None] * 3, [1.0, 0.0, 1.0])
  values = {"enc_self": np.array([[1.0, 2.0, 3.0]]), "dec_enc": np.array([[4.0, 5.0]])}
  assert uneven.as_lists(values) == {"enc_self": [[1.0, 2.0, 3.0]], "dec_enc": [[4.0, 5.0]]}


def test_text_comes_from_files_or_the_dev_set(run, tmp_path):
  for name in ("a", "b"):
    (tmp_path / name).write_text("a cat\na dog\n")
  text = [str(tmp_path / name) for name in ("a", "b")]
  options = types.SimpleNamespace(text=text, sentences=1)
  assert subject.read(run, options).text == [("a cat", "a cat")]
  with pytest.raises(UserError, match="--sentences 0 must be at least 1"):
    subject.read(run, types.SimpleNamespace(text=text, sentences=0))
  with pytest.raises(UserError, match="dev data cannot be read .*give --text SRC TGT"):
    subject.read(run, types.SimpleNamespace(text=None, sentences=1))
