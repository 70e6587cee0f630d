"""Tests of headprune.analysis.report.parts."""

from headprune.analysis.report import parts
from headprune.analysis.result import Column
from tests.analysis.page import Page


def test_a_section_without_a_body_is_nothing():
  assert parts.section("x", "X", "", "") == ""
  page = Page(parts.section("x", "A < B", "", "<p>c</p>"))
  assert page.ids == ["x"] and page.text == "A < B\nc\n"


def test_text_is_text():
  assert parts.text("a < b") == "<p>a &lt; b</p>"
  assert parts.text("a", soft=True) == '<p class="soft">a</p>'


def test_a_table_is_a_file_and_folded_when_it_is_empty():
  columns = [Column("x")]
  page = Page(parts.table("name", columns, [(0.12345,)], "why"))
  assert page.files == ["name.csv"] and page.folded == [] and page.tables == [[["x"], ["0.123"]]]
  assert page.addresses == ["data:text/csv;charset=utf-8,x%0A0.12345%0A"]
  page = Page(parts.table("name", columns, [], "why < not"))
  assert page.files == [] and page.folded[0][0] == "why < not" and page.tables == [[["x"]]]


def test_a_figure_is_a_file():
  page = Page(parts.figure('a"b', ["<i>1</i>", "<i>2</i>"]))
  assert page.files == ['a"b.svg'] and page.text == "12"
