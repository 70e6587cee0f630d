"""Tests of headprune.analysis.levels: levels of planted counts, and how they are put into words."""

import dataclasses

import numpy as np
import pytest

from headprune.analysis import levels
from headprune.analysis.evidence import ERROR_RATE, Evidence
from headprune.analysis.levels import GAIN, Level

SHARE = Level("enc_self", "positional", 3, 16, "share", 0.9, 0.95, "position -1", (0, 2))
BELOW = Level("enc_self", "syntactic", 0, 16, GAIN, 0.1, -0.034, "obj head→dep", (1, 9))
# Two sentences with 6 and 4 cases of two things; one layer with two heads.
HITS_ERNH = np.array([[[[6, 0]], [[1, 5]]], [[[2, 1]], [[1, 2]]]])
CASES_ER = np.array([[6, 6], [4, 4]])
OPEN_NH, FIRST_CLOSED_NH = np.array([[True, True]]), np.array([[False, True]])


def make(**changes) -> Evidence:
  """Shares of thing a: 0.8 and 0.1, of b: 0.2 and 0.7."""
  fields = dict(
    kind="k", type="enc_self", names=("a", "b"), hits_ERNH=HITS_ERNH, cases_ER=CASES_ER, limit=0.75
  )
  return Evidence(**(fields | changes))


def told(open_NH=OPEN_NH, **changes) -> tuple:
  one = levels.level(make(**changes), open_NH)
  best = one.best if one.best is None else round(one.best, 10)
  return one.heads, one.open, best, one.function, one.head


def test_the_strongest_head_is_told_whether_it_has_the_function_or_not():
  assert told() == (1, 2, 0.8, "a", (0, 0))
  assert told(limit=0.7) == (2, 2, 0.8, "a", (0, 0)), "exactly the limit is enough"
  assert told(limit=0.81) == (0, 2, 0.8, "a", (0, 0))
  one = levels.level(make(), OPEN_NH)
  assert (one.type, one.kind, one.measure, one.limit) == ("enc_self", "k", "share", 0.75)


def test_closed_heads_do_not_count():
  assert told(FIRST_CLOSED_NH) == (0, 1, 0.7, "b", (0, 1))
  assert told(FIRST_CLOSED_NH, limit=0.7) == (1, 1, 0.7, "b", (0, 1))
  assert told(~OPEN_NH) == (0, 0, None, None, None)


def test_above_a_baseline_the_largest_gain_counts_not_the_largest_share():
  by_chance = {"baseline_ER": np.array([[6, 2], [2, 1]])}  # 0.8 and 0.3
  assert told(limit=0.1, **by_chance) == (1, 2, 0.4, "b", (0, 1))
  assert told(limit=0.5, **by_chance) == (0, 2, 0.4, "b", (0, 1))
  low = {"baseline_ER": CASES_ER}
  assert told(limit=0.1, **low) == (0, 2, -0.2, "a", (0, 0)), "all are below it"
  assert levels.level(make(limit=0.1, **by_chance), OPEN_NH).measure == GAIN


def test_the_least_of_error_rates_is_the_strongest():
  errors = {"measure": ERROR_RATE, "names": ("word alignment",) * 2}
  assert told(limit=0.6, **errors) == (2, 2, 0.2, "word alignment", (0, 0))
  assert told(FIRST_CLOSED_NH, limit=0.75, **errors) == (0, 1, 0.3, "word alignment", (0, 1))
  one = levels.level(make(limit=0.6, **errors), OPEN_NH)
  assert one.measure == ERROR_RATE and one.limit == pytest.approx(0.4)


def test_what_cannot_be_a_function_is_not_the_strongest():
  assert told(allowed_R=np.array([False, True])) == (0, 2, 0.7, "b", (0, 1))
  assert told(cases_ER=CASES_ER * [0, 1]) == (0, 2, 0.7, "b", (0, 1))
  assert told(cases_ER=CASES_ER * 0) == (0, 2, None, None, None)
  nothing = {"names": (), "hits_ERNH": HITS_ERNH[:, :0], "cases_ER": CASES_ER[:, :0]}
  assert told(**nothing) == (0, 2, None, None, None)


def test_what_is_near_in_words():
  near = lambda **changes: levels.nearest(dataclasses.replace(SHARE, heads=0, **changes))
  assert near(best=0.684) == "best 68%, needed ≥ 90%"
  assert near(best=0.896) == "best 89.6%, needed ≥ 90%"
  assert near(best=0.124, limit=0.125) == "best 12.4%, needed ≥ 12.5%", "as it was asked for"
  assert near(measure=GAIN, best=0.124, limit=0.125) == "best +12.4, needed ≥ +12.5"
  assert levels.nearest(BELOW) == "best -3, needed ≥ +10"
  assert near(measure=GAIN, limit=0.1, best=0.096) == "best +9.6, needed ≥ +10"
  assert near(measure=ERROR_RATE, limit=0.5, best=0.504) == "best 50.4%, needed ≤ 50%"
