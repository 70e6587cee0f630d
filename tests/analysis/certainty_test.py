"""Tests of headprune.analysis.certainty: intervals and chance levels with known answers."""

import dataclasses

import numpy as np
import pytest

from headprune.analysis import certainty
from headprune.analysis.evidence import ERROR_RATE, Evidence
from headprune.analysis.result import Function, Kind
from tests.analysis.results import RESULT

FIRST, LAST, CROSS = (
  Kind("first", "enc_self", ""), Kind("last", "enc_self", "", useful=False),
  Kind("aligning", "dec_enc", ""),
)  # fmt: skip
# Heads 0.0 and 1.0 of the encoder are open; 0.1 is closed, 1.1 does not exist.
SENTENCES = 100


def evidence(kind, right, **changes):
  """Each head is right in so many of 100 sentences of one case."""
  hits_ERNH = np.arange(SENTENCES)[:, None, None, None] < np.array([right])[None]
  fields = dict(
    kind=kind, type="enc_self", names=("f",), hits_ERNH=hits_ERNH.astype(int),
    cases_ER=np.ones((SENTENCES, 1), int), limit=0.5,
  )  # fmt: skip
  return Evidence(**(fields | changes))


def result(kinds, functions=()):
  return dataclasses.replace(RESULT, kinds=kinds, functions=functions, tables=(), notes=())


def test_the_interval_of_a_share_is_the_binomials():
  function = Function("first", "f", "enc_self", ((0, 0), (1, 0)), "share", 0.8)
  told = certainty.tell(
    result((FIRST,), (function,)), [evidence("first", [[80, 99], [50, 0]])], 4000, (), 0
  )
  low, high = told.functions[0].interval  # of the strongest open head, 0.0
  spread = 1.96 * np.sqrt(0.8 * 0.2 / SENTENCES)
  assert (low, high) == pytest.approx((0.8 - spread, 0.8 + spread), abs=0.011)


def test_of_error_rates_the_lower_bound_comes_first():
  function = Function("first", "f", "enc_self", ((0, 0),), ERROR_RATE, 0.2)
  part = evidence("first", [[80, 0], [0, 0]], measure=ERROR_RATE)
  (told,) = certainty.tell(result((FIRST,), (function,)), [part], 4000, (), 0).functions
  assert told.interval == pytest.approx((0.122, 0.278), abs=0.011)


def test_counts_of_heads_in_each_resample():
  # 0.0 always has the first kind, 1.0 in about half of the resamples, and always the last one.
  parts = [evidence("first", [[100, 100], [50, 0]]), evidence("last", [[100, 0], [100, 0]])]
  counts = certainty.count_resamples(result((FIRST, LAST)), parts, "enc_self", 500, 0)
  assert set(counts["first"]) == {1, 2}, "closed heads do not count"
  assert abs(np.mean(counts["first"]) - 1.5) < 0.1
  assert (counts["first"] + counts["last"] == 2).all(), "a head counts once"
  assert counts[certainty.TOTAL].tolist() == counts["first"].tolist(), "the last is of no use"


def test_a_kind_without_evidence_has_the_same_heads_in_every_resample():
  fixed = Function("first", "f", "enc_self", ((1, 0),), "share", 1.0)
  parts = [evidence("last", [[0, 0], [100, 0]])]
  counts = certainty.count_resamples(result((FIRST, LAST), (fixed,)), parts, "enc_self", 3, 0)
  assert counts["first"].tolist() == [1] * 3 and counts["last"].tolist() == [0] * 3


CHANCE = [
  {"enc_self": {"first": 0, "last": 2, "unknown": 0}, "dec_enc": {"aligning": 1, "unknown": 1}},
  {"enc_self": {"first": 1, "last": 1, "unknown": 0}, "dec_enc": {"aligning": 0, "unknown": 2}},
]


def test_what_is_told():
  function = Function("first", "f", "enc_self", ((0, 0),), "share", 1.0)
  parts = [evidence("first", [[100, 0], [0, 0]]), evidence("last", [[0, 0], [50, 0]])]
  told = certainty.tell(result((FIRST, LAST, CROSS), (function,)), parts, 200, CHANCE, 0)
  assert [(kind.interval, kind.chance) for kind in told.kinds] == [
    ((1, 1), 0.5), ((0, 1), 1.5), ((0, 0), 0.5),
  ]  # fmt: skip
  (table,) = told.tables
  assert table.rows == (
    ("encoder self-attention", "first", 1, 1, 1, 0.5),
    ("encoder self-attention", "last", 0, 0, 1, 1.5),
    ("encoder self-attention", "with a function", 1, 1, 1, 0.5),
    ("cross-attention", "aligning", 0, 0, 0, 0.5),
    ("cross-attention", "with a function", 0, 0, 0, 0.5),
  )
  (note,) = told.notes
  assert "95% of 200 resamples" in note and "the mean of 2 models that differ" in note


def test_nothing_is_told_of_what_was_not_asked():
  bare = result((FIRST,))
  assert certainty.tell(bare, [], 0, (), 0) == bare
  only_chance = certainty.tell(result((FIRST, LAST, CROSS)), [], 0, CHANCE[:1], 0)
  assert only_chance.kinds[1].interval is None and only_chance.kinds[1].chance == 2.0
  assert only_chance.tables[0].rows[2][2:] == (0, None, None, 0.0)
  assert only_chance.notes[0].startswith("By chance is the mean of one model that differ")
