"""Tests of headprune.layout."""

import pytest

from headprune import layout


def test_columns_are_aligned():
  rows = [("a", "bb", "c"), ("long", "b", "")]
  assert layout.aligned(rows, "<") == "a     bb  c\nlong  b"
  assert layout.aligned(rows, "><") == "   a  bb  c\nlong  b"
  assert layout.aligned(rows, "<>") == "a     bb  c\nlong   b"


def test_csv_has_a_header_and_quotes_what_has_commas():
  assert layout.csv_text(("x", "y"), [(1, None), ("a, b", 0.5)]) == 'x,y\n1,\n"a, b",0.5\n'


@pytest.mark.parametrize(
  "seconds, text",
  [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"),
   (90061, "25:01:01"), (float("inf"), "?"), (float("nan"), "?")],
)  # fmt: skip
def test_duration(seconds, text):
  assert layout.duration(seconds) == text
