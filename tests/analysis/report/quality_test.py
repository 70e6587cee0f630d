"""Tests of headprune.analysis.report.quality."""

import dataclasses

from headprune.analysis.report import quality
from headprune.analysis.report.quality import Quality
from headprune.runs.summary import OF_TRANSLATIONS, Summary
from tests.analysis.page import Page
from tests.analysis.results import CLOSED, GATES, RESULT

BEFORE = Summary("trained", dev_bleu=30.004, dev_chrf=50.0, dev_loss=1.5, signature="tok:13a")
AFTER = Summary(
  "trained", dev_bleu=29.996, test_bleu=28.5, dev_chrf=51.0, dev_loss=0.0, signature="tok:13a"
)


def test_what_is_shown():
  page = Page(quality.top(RESULT, []))
  assert "Heads of a<b" in page.text and page.tables == []
  assert "5 of 6 heads open. Measured on 1,000 sentence pairs." in page.text
  assert "-log p is 1.5000 per target token." in page.text


def test_before_and_after():
  page = Page(quality.top(RESULT, [Quality("<x>", BEFORE, GATES), Quality("y", AFTER, CLOSED)]))
  assert page.tables == [[
    ["", "<x>", "y", "change"],
    ["dev BLEU", "30.00", "30.00", "+0.00"],  # of the rounded numbers, which one sees
    ["test BLEU", "", "28.50", ""],
    ["dev chrF", "50.00", "51.00", "+1.00"],
    ["dev loss", "1.5000", "0.0000", "-1.5000"],
    ["perplexity", "4.48", "1.00", "-3.48"],
    ["heads open", "5 of 6", "0 of 6", ""],
  ]]  # fmt: skip
  assert "BLEU: tok:13a" in page.text


def test_of_different_bleu_there_is_no_change():
  other = dataclasses.replace(BEFORE, test_bleu=28.0, signature="tok:none")
  page = Page(quality.top(RESULT, [Quality("<x>", other, GATES), Quality("y", AFTER, CLOSED)]))
  assert [row[-1] for row in page.tables[0]] == ["change", "", "", "", "-1.5000", "-3.48", ""]
  assert "BLEU: tok:13a; that of <x>: tok:none, so no change is told" in page.text
  loss = dataclasses.replace(other, dev_bleu=None, test_bleu=None)
  page = Page(quality.top(RESULT, [Quality("x", loss, GATES), Quality("y", AFTER, CLOSED)]))
  assert page.text.count("that of") == 0, "it measured none"


def test_of_other_text_there_is_no_change():
  other, last = Quality("<x>", BEFORE, GATES, comparable=()), Quality("y", AFTER, CLOSED)
  page = Page(quality.top(RESULT, [other, last]))
  assert page.tables[0][1] == ["dev BLEU", "30.00", "30.00", ""]
  assert [row[-1] for row in page.tables[0]] == ["change", "", "", "", "", "", ""]
  sentence = "The dev and test text of <x> may be other text than that of y: these numbers do not"
  assert sentence in page.text
  page = Page(quality.top(RESULT, [Quality("x", BEFORE, GATES), other, last]))
  assert page.tables[0][1] == ["dev BLEU", "30.00", "30.00", "30.00", "+0.00"]  # of the first
  assert sentence in page.text
  for nothing in (None, Summary("converted")):
    page = Page(quality.top(RESULT, [dataclasses.replace(other, summary=nothing), last]))
    assert "may be other text" not in page.text


def test_of_other_dev_pairs_there_is_no_change_of_loss():
  other = Quality("<x>", BEFORE, GATES, comparable=OF_TRANSLATIONS)
  page = Page(quality.top(RESULT, [other, Quality("y", AFTER, CLOSED)]))
  assert [row[-1] for row in page.tables[0]] == ["change", "+0.00", "", "+1.00", "", "", ""]
  assert "The dev loss of <x> is of other rows or tokens than that of y" in page.text


def test_one_run_has_no_change():
  (table,) = Page(quality.top(RESULT, [Quality("y", BEFORE, GATES)])).tables
  assert table == [
    ["", "y"], ["dev BLEU", "30.00"], ["dev chrF", "50.00"], ["dev loss", "1.5000"],
    ["perplexity", "4.48"], ["heads open", "5 of 6"],
  ]  # fmt: skip


def test_what_was_not_recorded_is_left_out():
  for summary in (None, Summary("converted")):
    assert Page(quality.top(RESULT, [Quality("y", summary, GATES)])).tables == []
  loss = dataclasses.replace(BEFORE, dev_bleu=None, dev_chrf=None)
  page = Page(quality.top(RESULT, [Quality("x", None, GATES), Quality("y", loss, GATES)]))
  assert page.tables[0][1] == ["dev loss", "", "1.5000", ""] and "BLEU" not in page.text
