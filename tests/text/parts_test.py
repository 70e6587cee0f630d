"""Long lines in parts."""

import pytest

from headprune.text import parts


def _words(text: str) -> int:
  return len(text.split()) + 1  # EOS


@pytest.mark.parametrize(
  "line, limit, want",
  [
    ("a b c.", 9, ["a b c."]),
    ("a b c. d e f g! h", 5, ["a b c.", "d e", "f g! h"]),
    ("a b c d e f g", 5, ["a b c", "d e f g"]),
    ('He said "no!" Then he left.', 4, ['He said "no!"', "Then he left."]),
    ("  a b  ", 2, ["a", "b"]),
    ("", 8, [""]),
  ],
)
def test_cuts_are_at_sentence_ends_or_spaces(line, limit, want):
  assert parts.split(line, _words, limit) == want


def test_text_without_spaces_is_cut_between_characters():
  assert parts.split("abcdefgh", len, 3) == ["ab", "cd", "ef", "gh"]
  assert parts.split("一二。三四", len, 3) == ["一二。", "三四"]
  assert parts.split("ab", lambda _: 99, 3) == ["a", "b"]


@pytest.mark.parametrize("line", ["ﷺ。", "ab。", "。ab", "a。。"])
def test_a_cut_is_never_at_the_end_of_the_text(line):
  assert parts.split(line, lambda text: 9 * len(text), 9) == list(line)


def test_a_long_text_is_whole_and_in_small_parts():
  line = " ".join(f"word{i}." if i % 7 == 0 else f"word{i}" for i in range(5000))
  found = parts.split(line, _words, 64)
  assert " ".join(found) == line
  assert max(map(_words, found)) <= 64 and len(found) < 5000 / 20


def test_marks_stay_with_what_they_belong_to():
  assert parts.split("e\u0301" * 5, len, 4) == ["e\u0301" * 2, "e\u0301", "e\u0301" * 2]
  assert parts.split("a" + "\u0301" * 5, len, 4) == ["a\u0301\u0301", "\u0301" * 3]
  line = "他说「你好吗。」然后他走了。我们都很高兴。"
  assert parts.split(line, len, 12) == ["他说「你好吗。」", "然后他走了。", "我们都很高兴。"]
