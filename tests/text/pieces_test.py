"""SentencePiece models: what they are trained on, unknown and normalised text, spans.

What all tokenizers have in common is in tokenizer_test.
"""

import unicodedata

import hypothesis
from hypothesis import strategies as st
import pytest

from headprune.errors import UserError
from headprune.text import pieces
from headprune.text.special import EOS, UNK

GERMAN = [
  f"die {a} Katze sah {n} süße Hunde vor dem Haus." for a in ("Alte", "rote") for n in range(25)
]


def trained(lines, kind="bpe", vocab_size=90, lowercase=False):
  return pieces.parse(pieces.train(kind, [lines], vocab_size, lowercase, "source"), lowercase)


@pytest.fixture(scope="module")
def subwords():
  """(cased, lower-cased) German models."""
  return trained(GERMAN), trained(GERMAN, lowercase=True)


def test_large_text_is_sampled_evenly(monkeypatch):
  monkeypatch.setattr(pieces, "_MAX_LINES", 3)
  lines = ["ab", "xy", "cd", "xy", "ef"]
  side = trained(lines, vocab_size=20)
  assert UNK not in side.encode(["ab cd ef"])[0]
  assert UNK in side.encode(["xy"])[0]


def test_unknown_and_normalised_text(subwords):
  cased, _ = subwords
  ids = cased.encode(["漢"])[0]
  assert ids[-2] == UNK and "\u2047" in cased.decode([ids])[0]
  spelt = ["die  Katze\u00a0sah ", "su\u0308ße", "_EOS_"]
  assert cased.decode(cased.encode(spelt))[:2] == ["die Katze sah", "süße"]
  assert EOS not in cased.encode(spelt)[2][:-1]


def test_text_without_a_line_to_learn_from():
  line = "the cat " * 600
  with pytest.raises(UserError, match="^source text: no line .* more than 4,192 bytes"):
    trained([line] * 3)
  assert trained([line, *GERMAN]).vocab_size == 90


def test_small_text_gives_fewer_ids_than_asked():
  assert 40 < trained(GERMAN, vocab_size=5000).vocab_size < 500


def check_spans(side, line):
  """The spans are in order, inside the line, and cover all of it but white space."""
  spans = side.spans(line)
  assert len(spans) == len(side.encode([line])[0]) - 1
  assert all(0 <= start <= end <= len(line) for start, end in spans)
  assert spans == sorted(spans)
  return spans


@pytest.mark.parametrize(
  "line",
  [
    "  die  süße   Katze ",
    "su\u0308ße Hunde",
    "DIE SÜSSE Katze",
    "Ist die \u2047 Kat\u0301ze",
    "漢😀 Haus",
  ],
)
@pytest.mark.parametrize("lowercase", [False, True])
def test_spans_give_back_the_pieces(subwords, lowercase, line):
  side = subwords[lowercase]
  spans = check_spans(side, line)
  texts = [line[start:end] for start, end in spans]
  expected = side.processor.encode(line.lower() if lowercase else line, out_type=str)
  for text, piece in zip(texts, expected, strict=True):
    text = unicodedata.normalize("NFKC", text.lower() if lowercase else text)
    assert text == piece.lstrip("▁")
  assert "".join(texts) == line.replace(" ", "")


def test_spans_by_hand():
  lines = ["ab", "ab", "ab c"] * 9
  side = trained(lines, vocab_size=9, lowercase=True)
  assert side.pieces(side.encode(["AB  c½"])[0])[-2] == "_UNK_"
  assert side.pieces(side.encode(["AB  c"])[0]) == ["▁ab", "▁", "c", "_EOS_"]
  assert side.spans(" AB  c") == [(1, 3), (5, 5), (5, 6)]
  assert side.spans("AB  c½") == [(0, 2), (4, 4), (4, 5), (5, 6)]
  # "İ" is lower-cased to two characters, of which the second is unknown.
  assert side.pieces(side.encode(["Aİ c"])[0]) == ["▁", "a", "_UNK_", "▁", "c", "_EOS_"]
  assert side.spans("Aİ c") == [(0, 0), (0, 1), (1, 2), (3, 3), (3, 4)]


def test_spans_of_one_character_in_several_pieces():
  lines = ["f i", "if i", "b"] * 9
  side = trained(lines, "unigram", vocab_size=7)
  assert side.pieces(side.encode(["bﬁb"])[0]) == ["▁", "b", "f", "i", "b", "_EOS_"]
  assert side.spans("bﬁb") == [(0, 0), (0, 1), (1, 2), (1, 2), (2, 3)]


@hypothesis.given(line=st.text(), lowercase=st.booleans())
@hypothesis.settings(deadline=None)  # the machine may be busy
def test_spans_of_any_text(subwords, line, lowercase):
  side = subwords[lowercase]
  text = line.lower() if lowercase else line
  joined = "".join(side.processor.encode(text, out_type=str))
  assert joined == side.processor.normalize(text)
  check_spans(side, line)


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_the_sample_of_parts_is_that_of_all_lines(monkeypatch, most):
  monkeypatch.setattr(pieces, "_MAX_LINES", most)
  for sizes in ((7, 4), (0, 5), (1, 1), (3, 9)):
    parts = [[(n, i) for i in range(size)] for n, size in enumerate(sizes)]
    whole = parts[0] + parts[1]
    assert pieces._sample(parts) == whole[:: -(-len(whole) // most)]
