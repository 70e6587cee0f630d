"""Tests of headprune.analysis.conllu."""

import gzip

import pytest

from headprune.analysis import conllu
from headprune.errors import UserError


def row(number, form, head, relation, misc="_"):
  return "\t".join([str(number), form, form, "_", "_", "_", str(head), relation, "_", misc])


DIDNT = "\n".join([
  "# sent_id = 1",
  row(1, "They", 2, "nsubj"),
  row("2-3", "didn't", "_", "_"),
  row(2, "did", 0, "root"),
  row(3, "n't", 2, "advmod"),
  row("3.1", "elided", "_", "_"),
  row(4, "go", 2, "xcomp", "SpaceAfter=No"),
  row(5, ".", 2, "punct"),
])  # fmt: skip
AU_PARC = "\n".join([
  row("1-2", "Au", "_", "_"),
  row(1, "à", 3, "case"),
  row(2, "le", 3, "det"),
  row(3, "parc", 0, "root"),
])  # fmt: skip


@pytest.fixture
def parsed(tmp_path):
  path = tmp_path / "two.conllu"
  path.write_text(f"{DIDNT}\n\n\n{AU_PARC}\n", encoding="utf-8")
  return path


def test_multiword_tokens_and_empty_nodes(parsed):
  didnt, au_parc = conllu.read(parsed)
  assert didnt.text == "They didn't go."
  assert [didnt.text[a:b] for a, b in didnt.spans] == ["They", "did", "n't", "go", "."]
  assert didnt.heads == [1, -1, 1, 1, 1]
  assert didnt.relations == ["nsubj", "root", "advmod", "xcomp", "punct"]
  assert au_parc.text == "Au parc"
  assert [au_parc.text[a:b] for a, b in au_parc.spans] == ["Au", "Au", "parc"]


def test_gzip_and_spaced_text(parsed, tmp_path):
  path = tmp_path / "two.conllu.gz"
  path.write_bytes(gzip.compress(parsed.read_bytes()))
  assert conllu.read(path) == conllu.read(parsed)
  didnt = conllu.read(path, spaced=True)[0]
  assert didnt.text == "They didn't go ."
  assert [didnt.text[a:b] for a, b in didnt.spans] == ["They", "did", "n't", "go", "."]


@pytest.mark.parametrize(
  "bad, message",
  [
    ("1\tword", "line 1: 2 columns"),
    (row("x", "word", 0, "root"), "line 1: 'x' is not a number"),
    (row(2, "word", 0, "root"), "line 1: word 2 stands where word 1 is due"),
    (row(1, "word", "_", "root"), "line 1: '_' is not a number"),
    (row(1, "word", 3, "obj"), "line 1: head 3 in a sentence of 1 words"),
    (
      f"{row(1, 'a', 0, 'root')}\n{row(2, 'b', 9, 'obj')}",
      "line 2: head 9 in a sentence of 2 words",
    ),
    (
      f"{row('1-3', 'ab', '_', '_')}\n{row(1, 'a', 0, 'root')}\n{row(2, 'b', 1, 'obj')}",
      "line 3: the sentence ends, but word 3 of a range is due",
    ),
    ("# text = nothing", "no sentence"),
    (row("1-2-3", "ab", "_", "_"), "line 1: '1-2-3' is not a range of words that begins with 1"),
    (row("1-", "ab", "_", "_"), "line 1: '1-' is not a range"),
    (row("2-1", "ab", "_", "_"), "line 1: '2-1' is not a range"),
    (row("2-3", "ab", "_", "_"), "line 1: '2-3' is not a range"),
    (row("1-0", "ab", "_", "_"), "line 1: '1-0' is not a range"),
    (
      f"{row('1-2', 'ab', '_', '_')}\n{row(1, 'a', 0, 'root')}\n{row('2-3', 'bc', '_', '_')}",
      "line 3: '2-3' is not a range of words that begins with 3",
    ),
  ],
)
def test_what_is_not_conllu(tmp_path, bad, message):
  path = tmp_path / "bad.conllu"
  path.write_text(bad + "\n")
  with pytest.raises(UserError, match=message):
    conllu.read(path)
