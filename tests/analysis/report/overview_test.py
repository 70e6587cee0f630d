"""Tests of headprune.analysis.report.overview: which heads live and what they do."""

import dataclasses
import re

from headprune.analysis.report import overview
from headprune.analysis.result import Function, Kind
from tests.analysis.page import Page
from tests.analysis.results import RESULT


def test_heads_have_the_colours_of_their_kinds():
  text = overview.picture([RESULT], maps=False)
  encoder, decoder, cross = Page(text).grids
  assert encoder.title == "encoder self-attention: 2 of 3"
  assert (decoder.title, cross.title) == (
    "decoder self-attention: 1 of 1", "cross-attention: 2 of 2",
  )  # fmt: skip
  assert encoder.cells == ["P", "", "SR"] and cross.cells == ["A", ""]
  assert encoder.tips == [
    "encoder self-attention 1.1: position -1",
    "encoder self-attention 1.2: closed",
    "encoder self-attention 2.1: obj head→dep, rare words",
  ]
  assert cross.tips[1] == "cross-attention 2.1: unknown"
  assert [len(strengths) for strengths in encoder.strengths] == [1, 0, 2]  # closed: an outline
  assert re.findall(r'<rect [^>]*fill:var\(--(\w+)\)', text) == [
    "c0", "c1", "c2", "unknown", "c3", "unknown",
  ]  # fmt: skip


def test_the_legend_counts():
  page = Page(overview.picture([RESULT], maps=False))
  kinds = "positional 1", "syntactic 1", "rare words 1", "aligning 1"
  for item in (*kinds, "unknown 2", "closed 1"):
    assert item in page.text, item


def test_runs_stand_below_each_other_in_the_same_colours():
  other = Function("else", "new", "enc_self", ((0, 0),), "share", 1.0)
  kinds = (Kind("else", "enc_self", ""),)
  dense = dataclasses.replace(RESULT, run="dense", functions=(other,), kinds=kinds)
  text = overview.picture([dense, RESULT], maps=True)
  page = Page(text)
  assert page.text.index("dense") < page.text.index("a<b") and len(page.grids) == 6
  assert page.grids[0].cells[0] == "E", "a kind that the report's run does not know"
  assert re.search(r"fill:var\(--(\w+)\)", text)[1] == "unknown"
  assert page.grids[3].places == ["enc_self 0 0", "enc_self 0 1", "enc_self 1 0"]
  assert page.grids[0].places == [None] * 3, "maps are of the last run"
  assert "<h3>" not in overview.picture([RESULT], maps=False)


def test_of_several_runs_the_legend_says_whose_heads_it_counts():
  dense = dataclasses.replace(RESULT, run="dense")
  counted = "The legend counts the heads of a<b."
  asked = f"{counted} Click one of them to see where it looks."
  assert asked in Page(overview.picture([dense, RESULT], maps=True)).text
  assert counted in Page(overview.picture([dense, RESULT], maps=False)).text
  alone = Page(overview.picture([RESULT], maps=True)).text
  assert "Click a head to see where it looks." in alone and "legend" not in alone


def test_idle_heads_have_a_letter_and_no_colour():
  idle = Kind("idle", "enc_self", "", useful=False)
  heads = Function("idle", "end", "enc_self", ((0, 0), (1, 0)), "share", 1.0)
  result = dataclasses.replace(
    RESULT, kinds=(*RESULT.kinds, idle), functions=(*RESULT.functions[1:], heads)
  )
  text = overview.picture([result], maps=False)
  assert Page(text).grids[0].cells == ["I", "", "SRI"]
  assert re.findall(r"<rect [^>]*fill:var\(--(\w+)\)", text)[:3] == ["unknown", "c1", "c2"]
  assert "idle 2" in Page(text).text
