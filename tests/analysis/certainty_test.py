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


def test_counts_are_of_heads_that_nearly_always_pass_and_that_sometimes_do():
  # 0.0 always has the first kind, 1.0 in about half of the resamples, and always the last one.
  parts = [evidence("first", [[100, 100], [50, 0]]), evidence("last", [[100, 0], [100, 0]])]
  assert certainty.count_surely(result((FIRST, LAST)), parts, "enc_self", 500, 0) == {
    "first": (1, 2),  # closed heads do not count
    "last": (0, 1),  # a head counts once
    certainty.TOTAL: (1, 2),  # the last is of no use
  }


def test_heads_that_differ_from_resample_to_resample_are_not_sure():
  # Ten heads that pass in 46% of the resamples each, by sentences of their own: hardly any resample
  # is without one, but none of the ten is sure to pass.
  rng = np.random.default_rng(0)
  right_ENH = np.stack([rng.permutation(SENTENCES) < 49 for _ in range(10)], axis=1)[:, None]
  many = dataclasses.replace(result((FIRST,)), heads=RESULT.heads | {"enc_self": [[1.0] * 10]})
  part = evidence("first", [[0]], hits_ERNH=right_ENH[:, None].astype(int))
  passing_YH = part.passing(part.weights(500, 0)).any(1)[:, 0]
  assert np.quantile(passing_YH.sum(1), 0.025) >= 1
  bounds = certainty.count_surely(many, [part], "enc_self", 500, 0)
  assert bounds["first"] == bounds[certainty.TOTAL] == (0, 10)


def test_bounds_are_reached_at_exactly_their_shares():
  having_YNH = np.arange(200)[:, None, None] < np.array([[195, 194, 5, 4]])
  assert certainty._bounds(having_YNH) == (1, 3)


def test_useful_kinds_together_can_be_sure_of_a_head():
  # 1.0 is of either kind by turns, so that neither is sure of it, but all are.
  other = Kind("other", "enc_self", "")
  parts = [evidence("first", [[0, 0], [50, 0]]), evidence("other", [[0, 0], [100, 0]])]
  bounds = certainty.count_surely(result((FIRST, other)), parts, "enc_self", 500, 0)
  assert bounds == {"first": (0, 1), "other": (0, 1), certainty.TOTAL: (1, 1)}


def test_a_kind_without_evidence_has_the_same_heads_in_every_resample():
  fixed = Function("first", "f", "enc_self", ((1, 0),), "share", 1.0)
  parts = [evidence("last", [[0, 0], [100, 0]])]
  bounds = certainty.count_surely(result((FIRST, LAST), (fixed,)), parts, "enc_self", 3, 0)
  assert bounds == {"first": (1, 1), "last": (0, 0), certainty.TOTAL: (1, 1)}


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
  assert (
    "97.5%" in note and "of 200 resamples" in note and "the mean of 2 models that differ" in note
  )


def test_what_had_no_case_has_neither_interval_nor_chance():
  parts = [evidence("first", [[100, 0], [0, 0]]), evidence("last", [[0, 0], [100, 0]])]
  none = evidence("first", [[0, 0], [0, 0]], cases_ER=np.zeros((SENTENCES, 1), int))
  told = certainty.tell(result((FIRST, LAST)), [none, parts[1]], 10, CHANCE, 0)
  assert [(kind.interval, kind.chance) for kind in told.kinds] == [(None, None), ((1, 1), 1.5)]
  assert [row[2:] for row in told.tables[0].rows] == [
    (0, None, None, None), (0, 1, 1, 1.5), (0, None, None, None),
  ]  # fmt: skip
  either = certainty.tell(result((FIRST, LAST)), [none, *parts], 10, CHANCE, 0)
  assert either.kinds[0].interval == (1, 1), "one of several with a case is enough"


def test_nothing_is_told_of_what_was_not_asked():
  bare = result((FIRST,))
  assert certainty.tell(bare, [], 0, (), 0) == bare
  only_chance = certainty.tell(result((FIRST, LAST, CROSS)), [], 0, CHANCE[:1], 0)
  assert only_chance.kinds[1].interval is None and only_chance.kinds[1].chance == 2.0
  assert only_chance.tables[0].rows[2][2:] == (0, None, None, 0.0)
  assert only_chance.notes[0].startswith("By chance is one model that differs from this one")
