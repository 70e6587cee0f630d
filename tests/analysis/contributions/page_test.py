"""Tests of headprune.analysis.contributions.page."""

import base64
import dataclasses
import re

from headprune.analysis.contributions import page
from headprune.analysis.contributions.result import Mean, Result
from tests.analysis.contributions.lines import lines
from tests.analysis.page import Page


def result() -> Result:
  first, second = lines("dense a<b", prefixes="own")
  second = dataclasses.replace(second, change=Mean(0.02, -0.01, 0.05))
  return Result(1234, 3, 4, (first, second))


def test_the_table_as_text():
  assert page.table(result()).split("\n") == [
    "run    checkpoint  prefix  n  source (95%)          less the first's         source entropy  "
    "target entropy",
    "dense  last        own     7  0.450 (0.350, 0.550)                           1.00            "
    "0.35",
    "a<b    last        own     7  0.450 (0.350, 0.550)  +0.020 (-0.010, +0.050)  1.00            "
    "0.35",
  ]


def test_the_page_holds_table_and_figures():
  text = page.page(result(), {"contributions": b"<svg/>"})
  assert Page(text).tables[0][1][4:7] == ["0.450", "0.350", "0.550"] and "a&lt;b" in text
  assert "+0.020 (-0.010, +0.050)" in text and base64.b64encode(b"<svg/>").decode() in text
  assert "3 source and 4 target tokens, EOS included, of a text of 1,234 pairs." in text
  assert "$" not in text and text.count('<figure><div class="scroll"><img') == 1
  assert "max-width: 100%; height" not in text, "on a phone a figure scrolls, or nobody can read it"
  assert "intervals of 95% over sentences: 1,000 resamples, seed 0." in text


def test_steps_and_changes_sort_as_numbers():
  text = page.page(result(), {})
  heads = re.findall(r"<th( class=\"text\")? aria-sort=\"none\"><button>(.*?)</button>", text)
  assert [name for kind, name in heads if kind] == ["run", "prefix"]


def test_without_resamples_there_are_no_intervals():
  first, second = (
    dataclasses.replace(line, source=Mean(0.45, None, None)) for line in result().lines
  )
  second = dataclasses.replace(second, change=Mean(0.02, None, None))
  bare = Result(1234, 3, 4, (first, second), resamples=0)
  assert page.table(bare).split("\n")[2].split() == [
    "a<b", "last", "own", "7", "0.450", "+0.020", "1.00", "0.35",
  ]  # fmt: skip
  assert "There are no intervals (--resamples 0)." in page.page(bare, {})
