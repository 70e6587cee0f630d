"""Tests of headprune.analysis.report.functions."""

import dataclasses

from headprune.analysis.report import functions
from headprune.analysis.result import Function
from tests.analysis.page import Page
from tests.analysis.results import CLOSED, GATES, RESULT


def test_functions_name_their_heads():
  sure = dataclasses.replace(RESULT.functions[0], strength=0.9512345, interval=(0.5, 0.975))
  text = functions.functions(dataclasses.replace(RESULT, functions=(sure, *RESULT.functions[1:])))
  page = Page(text)
  assert page.tables == [[
    ["function", "attention", "heads", "which", "measure", "best head", "95%: from", "to",
     "baseline"],
    ["position -1", "encoder self-attention", "1", "1.1", "share", "95.1%", "50.0%", "97.5%", ""],
    ["obj head→dep", "encoder self-attention", "1", "2.1", "accuracy", "70.0%", "", "", "41.0%"],
    ["rare words", "encoder self-attention", "1", "2.1", "share", "60.0%", "", "", ""],
    ["word alignment", "cross-attention", "1", "1.1", "error rate", "37.5%", "", "", ""],
  ]]  # fmt: skip
  assert "0.9512345" in text, "its file has all digits"
  assert "Cross-attention: 1 aligning, 1 unknown." in page.text
  assert "Aligning: an error rate of at most 40%." in page.folded[0][1]


def test_an_intervals_head_was_chosen():
  warning = "as if it had not been chosen as the best of many."
  assert warning not in Page(functions.functions(RESULT)).folded[0][1]
  sure = dataclasses.replace(RESULT.functions[0], interval=(0.9, 0.97))
  sure = dataclasses.replace(RESULT, functions=(sure,))
  assert warning in Page(functions.functions(sure)).folded[0][1]


def test_kinds_are_counted_for_each_type():
  assert functions.describe_kinds(RESULT) == [
    "Encoder self-attention: 1 positional, 1 syntactic, 0 rare words, 0 unknown.",
    "Cross-attention: 1 aligning, 1 unknown.",
  ]


def test_no_function_is_folded_with_the_reason():
  nothing = dataclasses.replace(RESULT, functions=())
  (summary, _), *_ = Page(functions.functions(nothing)).folded
  assert summary == "No open head passes a threshold."
  closed = dataclasses.replace(nothing, heads=GATES | {"enc_self": CLOSED["enc_self"]})
  (summary, _), *_ = Page(functions.functions(closed)).folded
  reason = "(No head of encoder self-attention is open.)"
  assert summary == f"No open head passes a threshold. {reason}"


def test_where_heads_have_new_numbers_kept_is_of_layers():
  rule = "Kept: a head that had the function still has it. Moved: only other heads do now."
  page = Page(functions.outcomes([RESULT], RESULT))
  assert rule in page.text and "new numbers" not in page.text
  fewer = {"enc_self": [[1.0], [0.5]], "dec_enc": [[1.0], []]}
  page = Page(functions.outcomes([RESULT], dataclasses.replace(RESULT, heads=GATES | fewer)))
  assert (
    f"{rule} Where there are more or fewer heads than before (encoder self-attention, "
    "cross-attention) they have new numbers: kept means that a head of the same layer has it, "
  ) in page.text


def test_before_and_after():
  assert functions.outcomes([], RESULT) == ""
  gone = Function("positional", "position +1", "enc_self", ((0, 1), (1, 0)), "share", 0.95)
  dense = dataclasses.replace(
    RESULT, run="dense", functions=(gone,), heads=GATES | {"enc_self": [[1.0, 1.0], [1.0]]}
  )
  page = Page(functions.outcomes([dense], RESULT))
  changes, kinds = page.tables
  assert "Before and after: dense" in page.text
  assert changes[1] == ["position +1", "encoder self-attention", "lost", "1.2, 2.1", "none"]
  assert kinds[:2] == [
    ["attention", "kind", "dense", "a<b"],
    ["encoder self-attention", "positional", "2", "1"],
  ]
  assert kinds[5:] == [
    ["cross-attention", "aligning", "0", "1"],
    ["cross-attention", "unknown", "2", "1"],
  ]
