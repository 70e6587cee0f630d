"""Tests of headprune.analysis.tables."""

import pytest

from headprune.analysis import tables
from headprune.analysis.result import FORMS, Column
from tests.analysis.page import Page
from tests.analysis.results import RESULT


def test_cells_are_written_as_their_column_says():
  table = RESULT.tables[0]
  text = tables.sortable(table.columns, table.rows)
  page = Page(text)
  assert page.tables[0][1:] == [
    ["obj", "100", "70.0%", "+29.0", "+2", "2.1", "1.1, 1.10", "0.500"],
    ["amod", "7", "10.0%", "-20.0", "-1", "1.10", "none", ""],
  ]
  assert 'data-value="9"' in text and 'data-value="1000"' in text  # 1.10 sorts behind 1.9


def test_numbers_that_look_alike_sort_as_what_they_are():
  text = tables.sortable([Column("loss")], [(0.01491,), (0.01543,), (None,)])
  assert [row[0] for row in Page(text).tables[0][1:]] == ["0.015", "0.015", ""]
  assert 'data-value="0.01491"' in text and 'data-value="0.01543"' in text
  assert text.count("data-value") == 2


def test_csv_has_the_numbers_that_cells_round():
  table = RESULT.tables[0]
  rows = (("obj", 100, 0.71234567, 0.29, 2, (1, 0), ((0, 0), (0, 9)), 1e-7), table.rows[1])
  assert tables.csv(table.columns, rows).splitlines() == [
    "relation,cases,best,difference,offset,head,others,score",
    'obj,100,0.71234567,0.29,2,2.1,"1.1, 1.10",1e-07', "amod,7,0.1,-0.2,-1,1.10,none,",
  ]  # fmt: skip


def test_columns_say_that_they_can_be_sorted():
  text = tables.sortable([Column("<b>", "text"), Column("x")], [("a < b", 1)])
  assert text.count('aria-sort="none"') == 2 and text.count("<button>") == 2


def test_text_is_text():
  text = tables.sortable([Column("<b>", "text")], [("a < b",)])
  assert "<button>&lt;b&gt;</button>" in text and ">a &lt; b</td>" in text


def test_every_form_can_be_written():
  values = {"text": "a", "wrapped text": "a", "head": (0, 0), "heads": ((0, 0),), "offset": 1}
  for form in FORMS:
    assert "<td" in tables.sortable([Column("x", form)], [(values.get(form, 0.5),)])
  with pytest.raises(ValueError):
    tables.sortable([Column("x")], [(1, 2)])  # a cell too many


@pytest.mark.parametrize("value, text", [(7, "7"), (0.12345, "0.123"), (-0.0001, "0.000")])
def test_numbers(value, text):
  assert tables.number(value) == text
