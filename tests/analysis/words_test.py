"""Tests of headprune.analysis.words."""

from headprune.analysis import conllu, words
from headprune.text import tokenizer
from tests.analysis.conllu_test import DIDNT


def test_words_stand_between_spaces():
  assert words.spans("a  man, ") == [(0, 1), (3, 7)]


def test_units_are_words_with_their_pieces():
  # "They didn't go" as They | di | dn't | (lone mark) | go: did and n't share a piece.
  spans = [(0, 4), (5, 8), (8, 11), (12, 14)]
  pieces = [(0, 4), (5, 7), (7, 11), (12, 12), (12, 14)]
  assert words.units(spans, pieces) == ([0, 1, 1, 2], [[0], [1, 2], [3, 4]])


def test_units_of_words_without_pieces_and_pieces_on_one_character():
  spans = [(0, 1), (2, 3), (4, 9)]
  pieces = [(0, 1), (0, 1), (4, 9)]
  assert words.units(spans, pieces) == ([0, -1, 1], [[0, 1], [2]])


def test_units_from_a_tokenizer(tmp_path):
  (tmp_path / "parsed.conllu").write_text(DIDNT, encoding="utf-8")
  lines = ["They didn't go.", "They did go.", "Au parc they go."] * 20
  tokenizer.train("bpe", lines, lines, 40, True, True, tmp_path / "tokenizer")
  side, _ = tokenizer.load(tmp_path / "tokenizer")
  (sentence,) = conllu.read(tmp_path / "parsed.conllu")
  unit_of_word, members = words.units(sentence.spans, side.spans(sentence.text))
  pieces = side.pieces(side.encode([sentence.text])[0])
  together = ["".join(pieces[p] for p in held).lstrip("\u2581") for held in members]
  assert "".join(together) == "theydidn'tgo."
  assert together[unit_of_word[0]] == "they" and together[unit_of_word[3]] == "go"


def test_one_spelling_is_found_in_another():
  text, other = "Two  dogs , they bark", "two dogs, theyBARK"
  assert words.squeeze(text) == words.squeeze(other) == "twodogs,theybark"
  assert words.squeeze("İ") == "İ", "a letter that becomes two in lower case"
  spans = [(0, 3), (5, 9), (10, 11), (12, 16), (17, 21), (4, 5)]
  assert [other[a:b] for a, b in words.move_spans(spans, text, other)] == [
    "two", "dogs", ",", "they", "BARK", "",
  ]  # fmt: skip
  assert words.move_spans([(4, 5)], text, other) == [(0, 0)], "a space alone"
