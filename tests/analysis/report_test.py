"""Tests of headprune.analysis.report: what the page says, and that it needs nothing else."""

import dataclasses
import json
import re

import pytest

from headprune.analysis import report
from headprune.analysis.result import Function
from tests import small_run
from tests.analysis.page import Page
from tests.analysis.results import GATES, RESULT

MAPS = report.Maps(
  ["</script>", "_EOS_"],
  ["b", "_EOS_"],
  {
    "enc_self": [[[[0, 255], [255, 0]]] * 2, [[[0, 255], [255, 0]]]],
    "dec_self": [[], [[[255, 0], [0, 255]]]],
    "dec_enc": [[[[255, 0], [0, 255]]], [[[255, 0], [0, 255]]]],
  },
)


def page(result=RESULT, *arguments, **changes):
  return Page(report.page(dataclasses.replace(result, **changes), *arguments))


def test_functions_name_their_heads():
  parsed = page()
  assert parsed.tables[0] == [
    ["function", "attention", "heads", "which", "how strong"],
    ["position -1", "encoder self-attention", "1", "1.1", "share 95%"],
    ["obj head→dep", "encoder self-attention", "1", "2.1", "accuracy 70%, baseline 41%"],
    ["rare words", "encoder self-attention", "1", "2.1", "share 60%"],
    ["word alignment", "cross-attention", "1", "1.1", "error rate 38%"],
  ]
  assert "5 of 6 heads open" in parsed.text and "1,000 sentence pairs" in parsed.text
  assert "Heads of a<b" in parsed.text and "-log p is 1.5000 per target token." in parsed.text
  assert "Aligning: an error rate of at most 40%." in parsed.text


def test_kinds_are_counted_for_each_type():
  assert report.describe_kinds(RESULT) == [
    "Encoder self-attention: 1 positional, 1 syntactic, 0 rare words, 0 unknown.",
    "Cross-attention: 1 aligning, 1 unknown.",
  ]
  assert "Cross-attention: 1 aligning, 1 unknown." in page().text


def test_grids_of_importances_and_shares():
  parsed = page()
  assert [["", "1", "2"], ["2", "0.750", ""], ["1", "0.250", "×"]] in parsed.tables
  assert [["", "1", "2"], ["2", "0.600", ""], ["1", "0.100", "×"]] in parsed.tables
  for text in ("Confidence", "mean of <something>", "rarest", "Where heads look"):
    assert text in parsed.text
  assert "position -2" not in parsed.text  # not drawn
  # Full colour is the largest value, or what the score says.
  assert report.page(RESULT).count("--x:1.000") == 2
  assert "--x:0.600" in report.page(RESULT)


def test_tables_of_analyses_are_shown():
  assert page().tables[1][1][:3] == ["obj", "100", "70.0%"]


def test_the_table_of_all_heads():
  (everything,) = [t for t in page().tables if t[0][:2] == ["type", "head"]]
  assert everything[0] == ["type", "head", "confidence", "alignment error", "functions"]
  assert everything[2] == ["encoder self-attention", "1.2", "0.125", "", ""]
  assert everything[3][-1] == "obj head→dep, rare words"
  assert everything[-2][-1] == "word alignment"
  assert everything[-1] == ["cross-attention", "2.1", "0.000", "0.625", ""]


def test_scores_that_agree():
  (table,) = [t for t in page().tables if t[0][0] == "score"]
  assert table[1] == ["confidence", "+1.00", "-0.50"]
  assert "Do the scores agree?" not in page(correlations=()).text


def test_before_and_after():
  assert "Before and after" not in page().text
  gone = Function("positional", "position +1", "enc_self", ((0, 1), (1, 0)), "share", 0.95)
  dense = dataclasses.replace(
    RESULT, run="dense", functions=(gone,), heads=GATES | {"enc_self": [[1.0, 1.0], [1.0]]}
  )
  parsed = page(RESULT, [dense])
  assert parsed.tables[1][1] == [
    "position +1", "encoder self-attention", "lost", "1.2, 2.1", "none",
  ]  # fmt: skip
  assert parsed.tables[2][:2] == [
    ["attention", "kind", "dense", "a<b"],
    ["encoder self-attention", "positional", "2", "1"],
  ]
  assert parsed.tables[2][5:] == [
    ["cross-attention", "aligning", "0", "1"],
    ["cross-attention", "unknown", "2", "1"],
  ]


def test_the_page_needs_nothing_else():
  pictures = [report.Picture("svg+xml", "lines", b"<svg/>"), report.Picture("gif", "c", b"GIF")]
  text = report.page(RESULT, (), pictures, [MAPS])
  assert "Gates while pruning" in text and "lines" in Page(text).text
  addresses = Page(text).addresses
  assert [a.partition(";")[0] for a in addresses] == ["data:image/svg+xml", "data:image/gif"]
  assert not re.findall(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_every_element_that_the_script_asks_for_is_there():
  text = report.page(RESULT, maps=[MAPS])
  for name in re.findall(r'pick\("(\w+)"\)', text):
    assert f'id="{name}"' in text, name


def test_maps_cannot_end_their_script():
  text = report.page(RESULT, maps=[MAPS])
  embedded = re.search(r'<script type="application/json" id="maps">(.*?)</script>', text, re.S)[1]
  assert json.loads(embedded) == {"maps": [vars(MAPS)], "gates": GATES}


def test_sentences_are_named_by_their_words():
  pieces = ["\u2581tw", "o", "\u2581dogs", *["\u2581bark"] * 20, "_EOS_"]
  named = dataclasses.replace(MAPS, source=pieces)
  text = report.page(RESULT, maps=[named])
  assert ">two dogs bark bark bark bark bark bark bark …</option>" in text


def test_nothing_found():
  closed = {"enc_self": [[0.0, 0.0], [0.0]], "dec_self": [[], [0.0]], "dec_enc": [[0.0], [0.0]]}
  parsed = page(functions=(), correlations=(), heads=closed)
  assert "0 of 6 heads open" in parsed.text and "No open head passes a threshold" in parsed.text
  assert "Attention maps" not in parsed.text


def test_attention_maps_of_a_run(tmp_path):
  run = small_run.make(tmp_path / "run", model__heads__dec_self=(1, 2))
  (found,) = report.attention_maps(run, [("a cat", "the dog saw")])
  assert found.source == ["a", "cat", "_EOS_"] and len(found.target) == 4
  assert [len(layer) for layer in found.weights["dec_self"]] == [1, 2]
  (attn,) = run.attention(["a cat"], ["the dog saw"])
  weights = attn.weights["dec_enc"][1, 0] * 255
  assert pytest.approx(weights, abs=0.5) == found.weights["dec_enc"][1][0]
  assert report.attention_maps(run, []) == []
