"""Text to ids: the length filter, chunks, and files that are read back only if they are whole."""

import json

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.text import encoding, special, whitespace
from tests import file_limit

WORDS = whitespace.Whitespace((*special.RESERVED, *"abcdefgh"))
TOKENIZERS = WORDS, WORDS
LENGTH = 8
SRC = ["a b", "c", "", "d e f", "a " * LENGTH]
TGT = ["b", "a b c", "a", "h", "b"]
KEY = {"of": ["the text", 1]}


def _pair(pairs, i) -> tuple[list[int], list[int]]:
  return pairs.side("src", i).tolist(), pairs.side("tgt", i).tolist()


def _arrays(pairs) -> dict:
  return {name: getattr(pairs, name) for name in ("src_ids", "src_ends", "tgt_ids", "tgt_ends")}


def _write(folder, said=None) -> None:
  say = (lambda text: said.append(text)) if said is not None else print
  encoding.encode_to(folder, KEY, SRC, TGT, TOKENIZERS, LENGTH, say)


def test_encoded_pairs_end_in_eos_and_can_be_read_in_any_order():
  pairs, report = encoding.encode(["a b", "c", "d e f"], ["b", "a b c", "h"], TOKENIZERS, LENGTH)
  rows = [_pair(pairs, i) for i in (2, 0, 1)]
  assert rows == [([6, 7, 8, 1], [10, 1]), ([3, 4, 1], [4, 1]), ([5, 1], [3, 4, 5, 1])]
  assert [pairs.lengths(i) for i in (2, 0, 1)] == [(4, 2), (3, 2), (2, 4)]
  assert len(pairs) == 3 and report == encoding.Report(kept=3, empty=0, too_long=0)
  assert pairs.src_ids.dtype == np.int32
  assert pairs.src_ends.dtype == np.int64  # a large corpus has more than 2^31 tokens


def test_reserved_words_in_the_text_are_unknown_words():
  pairs, _ = encoding.encode(["_EOS_ a _BOS_"], ["_UNK_"], TOKENIZERS, LENGTH)
  assert _pair(pairs, 0) == ([special.UNK, 3, special.UNK, 1], [special.UNK, 1])


def test_the_filter_counts_what_it_drops():
  fits, too_long = "a " * (LENGTH - 1), "a " * LENGTH  # EOS takes one token
  src = [fits, too_long, "a", "", "a", " ", too_long]
  tgt = ["b", "b", too_long, "b", "", "", ""]
  pairs, report = encoding.encode(src, tgt, TOKENIZERS, LENGTH)
  assert report == encoding.Report(kept=1, empty=4, too_long=2, keeps_99=LENGTH + 1)
  assert pairs.lengths(0)[0] == LENGTH
  assert str(report) == (
    "1 pairs (dropped: 4 with an empty side, 2 too long; config.data.row_length=9 keeps 99%)"
  )
  with pytest.raises(UserError, match="config.data.row_length=1: 0 pairs .*3 with .*4 too long"):
    encoding.encode(src[:-1] + ["a"], tgt[:-2] + ["b", "b"], TOKENIZERS, 1)


def test_the_length_that_keeps_99_percent():
  for long, keeps in ((2, 0), (3, 10)):  # 198 or 197 pairs have two tokens
    lines = ["a"] * (200 - long) + ["a " * 9] * long
    assert encoding.encode(lines, lines, TOKENIZERS, LENGTH)[1].keeps_99 == keeps
  lines = ["a"] * 9 + ["a " * 20_000]
  assert encoding.encode(lines, lines, TOKENIZERS, LENGTH)[1].keeps_99 == 0  # 10,000 would not


def test_lines_are_encoded_in_chunks(monkeypatch):
  lines = ["a b", "", "c", "d e f", "g"]
  whole, report = encoding.encode(lines, lines, TOKENIZERS, LENGTH)
  monkeypatch.setattr(encoding, "_CHUNK", 2)
  chunked, chunked_report = encoding.encode(lines, lines, TOKENIZERS, LENGTH)
  assert chunked_report == report
  for name in ("src_ids", "src_ends", "tgt_ids", "tgt_ends"):
    np.testing.assert_array_equal(getattr(chunked, name), getattr(whole, name))


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_files_hold_what_memory_would(tmp_path, monkeypatch, chunk):
  want, report = encoding.encode(SRC, TGT, TOKENIZERS, LENGTH)
  monkeypatch.setattr(encoding, "_CHUNK", chunk)
  said = []
  monkeypatch.setattr(encoding, "_SAY_EVERY", 0.0)
  _write(tmp_path / "encoded", said)
  assert said[-1] == "encoding: 5 of 5 pairs" and len(said) == -(-5 // chunk)
  found, found_report = encoding.load(tmp_path / "encoded", KEY)
  assert found_report == report
  for name, array in _arrays(found).items():
    assert type(array) is np.ndarray and not array.flags.owndata
    assert array.dtype == _arrays(want)[name].dtype
    np.testing.assert_array_equal(array, _arrays(want)[name])


def test_files_of_another_key_are_not_taken(tmp_path):
  _write(tmp_path)
  assert encoding.load(tmp_path, KEY | {"more": 1}) is None
  assert encoding.load(tmp_path / "none", KEY) is None


@pytest.mark.parametrize("name", ["header.json", "src_ids", "src_ends", "tgt_ids", "tgt_ends"])
def test_damaged_files_are_not_taken_and_made_anew(tmp_path, name):
  _write(tmp_path)
  path = tmp_path / name
  whole = path.read_bytes()
  flipped = bytes([whole[0] ^ 1]) + whole[1:]
  for damage in (flipped, whole[:-1], whole[: len(whole) // 2], b"", b"\0" * len(whole), b"[]"):
    path.write_bytes(damage)
    assert encoding.load(tmp_path, KEY) is None, damage
  path.unlink()
  assert encoding.load(tmp_path, KEY) is None
  _write(tmp_path)
  assert path.read_bytes() == whole and encoding.load(tmp_path, KEY)


def test_half_written_files_are_not_taken(tmp_path):
  class Broken:
    def encode(self, lines):
      raise KeyboardInterrupt

  _write(tmp_path)
  with pytest.raises(KeyboardInterrupt):
    encoding.encode_to(tmp_path, KEY, SRC, TGT, (WORDS, Broken()), LENGTH, print)
  assert encoding.load(tmp_path, KEY) is None


def test_a_disk_that_does_not_take_them_is_named(tmp_path):
  lines = ["a b"] * 300
  with file_limit.bytes_of_a_file(1000):
    with pytest.raises(UserError, match=f"{tmp_path}/x cannot be written .File too large.; what"):
      encoding.encode_to(tmp_path / "x", KEY, lines, lines, TOKENIZERS, LENGTH, print)
  assert encoding.load(tmp_path / "x", KEY) is None


def test_linked_files_outlive_their_origin(tmp_path):
  _write(tmp_path / "there")
  encoding.link(tmp_path / "there", tmp_path / "here")
  assert (tmp_path / "here" / "src_ids").samefile(tmp_path / "there" / "src_ids")
  encoding.encode_to(tmp_path / "there", KEY, ["a"], ["b"], TOKENIZERS, LENGTH, print)
  assert len(encoding.load(tmp_path / "here", KEY)[0]) == 3
  assert len(encoding.load(tmp_path / "there", KEY)[0]) == 1
  assert json.loads((tmp_path / "here" / "header.json").read_text())["report"]["kept"] == 3
