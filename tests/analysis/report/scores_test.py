"""Tests of headprune.analysis.report.scores."""

import dataclasses

import pytest

from headprune.analysis.report import scores
from headprune.analysis.result import Score
from tests.analysis.page import Page
from tests.analysis.results import CLOSED, GATES, RESULT

PRUNED = dataclasses.replace(RESULT, heads=GATES | {"enc_self": CLOSED["enc_self"]})


def test_grids_of_importances():
  page = Page(scores.importances([RESULT], maps=False))
  assert [grid.title for grid in page.grids] == [
    "encoder self-attention", "decoder self-attention", "cross-attention", "cross-attention",
  ]  # fmt: skip
  assert "Confidence" in page.text and "mean of <something>" in page.text
  assert page.grids[0].cells == [".25", "×", ".75"]
  # Full colour is the largest value of all open heads, here 1.
  assert page.grids[0].strengths == [[0.155], [], [0.465]]
  assert page.files == ["confidence.svg", "errors.svg"]


def test_grids_of_shares():
  page = Page(scores.shares([RESULT], maps=False))
  titles = [grid.title for grid in page.grids]
  assert titles == ["rarest, encoder self-attention"], "others are not drawn"
  assert page.grids[0].strengths == [[0.062], [], [0.372]]  # of always
  assert scores.shares([dataclasses.replace(RESULT, scores=())], maps=False) == ""


def test_runs_stand_side_by_side_and_share_their_colours():
  values = {"enc_self": [[2.0, 1.0], [0.5]], "dec_enc": [[9.0], [0.0]]}
  dense = dataclasses.replace(
    RESULT, run="dense", heads=GATES | {"enc_self": [[1.0, 1.0], [1.0]], "dec_enc": [[0.0], [1.0]]},
    scores=(Score("confidence", "confidence", "", values),),
  )  # fmt: skip
  page = Page(scores.importances([dense, RESULT], maps=False))
  assert [grid.title for grid in page.grids[:3]] == [
    "encoder self-attention · dense", "encoder self-attention · a<b",
    "decoder self-attention · a<b",
  ]  # fmt: skip
  assert page.grids[0].strengths == [[0.62], [0.31], [0.155]], (
    "that of a closed head, 9, is no matter"
  )
  assert page.grids[1].strengths[0] == [pytest.approx(0.0775, abs=1e-4)]


def test_types_without_open_heads_are_folded_away():
  page = Page(scores.importances([RESULT, PRUNED], maps=False))
  ((reason, content),) = page.folded
  assert reason == "Encoder self-attention: no head is open in a<b"
  assert page.files == ["confidence.svg", "confidence-enc_self.svg", "errors.svg"]
  assert "decoder self-attention" not in content
  assert [reason for reason, _ in Page(scores.shares([PRUNED], maps=False)).folded] == [reason]


def test_the_table_of_all_heads_begins_with_those_that_are_open():
  page = Page(scores.all_heads(RESULT))
  opened, closed = page.tables
  assert opened[0] == closed[0]
  assert opened[0] == ["type", "head", "confidence", "alignment error", "functions"]
  assert opened[2] == ["encoder self-attention", "2.1", "0.750", "", "obj head→dep, rare words"]
  assert opened[-1] == ["cross-attention", "2.1", "0.000", "0.625", ""] and len(opened) == 6
  assert closed[1:] == [["encoder self-attention", "1.2", "0.125", "", ""]]
  assert page.folded[0][0] == "Closed heads: 1" and "open-heads.csv" in page.files


def test_scores_that_agree():
  page = Page(scores.correlations(RESULT))
  assert page.tables[0][1] == ["confidence", "+1.00", "-0.50"]
  assert "Encoder self-attention, n = 2 open heads" in page.text
  assert scores.correlations(dataclasses.replace(RESULT, correlations=())) == ""
