"""Tests of headprune.analysis.trend: levels of planted counts, and how they are written."""

import dataclasses

from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.analysis import trend
from headprune.analysis.evidence import ERROR_RATE, Counted, Evidence
from headprune.analysis.trend import GAIN, Checkpoint, Level
from tests.analysis import subjects

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
  one = trend.level(make(**changes), open_NH)
  best = one.best if one.best is None else round(one.best, 10)
  return one.heads, one.open, best, one.function, one.head


def test_the_strongest_head_is_told_whether_it_has_the_function_or_not():
  assert told() == (1, 2, 0.8, "a", (0, 0))
  assert told(limit=0.7) == (2, 2, 0.8, "a", (0, 0)), "exactly the limit is enough"
  assert told(limit=0.81) == (0, 2, 0.8, "a", (0, 0))
  one = trend.level(make(), OPEN_NH)
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
  assert trend.level(make(limit=0.1, **by_chance), OPEN_NH).measure == GAIN


def test_the_least_of_error_rates_is_the_strongest():
  errors = {"measure": ERROR_RATE, "names": ("word alignment",) * 2}
  assert told(limit=0.6, **errors) == (2, 2, 0.2, "word alignment", (0, 0))
  assert told(FIRST_CLOSED_NH, limit=0.75, **errors) == (0, 1, 0.3, "word alignment", (0, 1))
  one = trend.level(make(limit=0.6, **errors), OPEN_NH)
  assert one.measure == ERROR_RATE and one.limit == pytest.approx(0.4)


def test_what_cannot_be_a_function_is_not_the_strongest():
  assert told(allowed_R=np.array([False, True])) == (0, 2, 0.7, "b", (0, 1))
  assert told(cases_ER=CASES_ER * [0, 1]) == (0, 2, 0.7, "b", (0, 1))
  assert told(cases_ER=CASES_ER * 0) == (0, 2, None, None, None)
  nothing = {"names": (), "hits_ERNH": HITS_ERNH[:, :0], "cases_ER": CASES_ER[:, :0]}
  assert told(**nothing) == (0, 2, None, None, None)


def test_a_checkpoint_is_all_that_is_known_of_its_step():
  subject = subjects.encoder([[3, 1]], [lambda q, ids: 0] * 2, [0.0, 1.0])
  found = [
    Counted(evidence=(make(kind="x"), make(kind="x", type="dec_enc")), notes=("One.",)),
    Counted(evidence=(make(kind="y"), make(kind="y", type="dec_self")), notes=("Two.",)),
  ]
  rows = [{"step": 5, "dev_loss": 9.0}, {"step": 10, "objective": 3.0, "dev_loss": 2.5},
          {"step": 10, "dev_bleu": 20.0}, {"step": 15, "dev_bleu": 30.0}]  # fmt: skip
  subject.run.config = ConfigDict({"eval": {"average": 1}})
  point = trend.checkpoint("r", 10, rows, subject, found)
  assert (point.run, point.step, point.dev_loss, point.dev_bleu) == ("r", 10, 2.5, 20.0)
  kinds = [(one.type, one.kind, one.open) for one in point.levels]
  assert kinds == [
    ("enc_self", "x", 1), ("enc_self", "y", 1), ("dec_self", "y", 2), ("dec_enc", "x", 2),
  ]  # fmt: skip
  assert point.notes == ("One.", "Two.")
  unknown = trend.checkpoint("r", 7, rows, subject, found)
  assert unknown.dev_loss is None is unknown.dev_bleu


def test_numbers_of_means_of_checkpoints_are_left_out():
  subject = subjects.encoder([[3, 1]], [lambda q, ids: 0] * 2, [1.0, 1.0])
  subject.run.config = ConfigDict({"eval": {"average": 8}})
  log = {"objective": 3.0, "dev_loss": 2.5}
  rows = [
    {"step": 10} | log, {"step": 20} | log | {"dev_bleu": 20.0},  # translates with the mean
    {"step": 30, "dev_loss": 2.25},  # evaluates where nothing is logged
    {"step": 40, "objective": 3.0}, {"step": 40, "dev_loss": 2.0, "dev_bleu": 30.0},  # the end
    {"step": 50} | log, {"step": 50, "dev_loss": 2.0, "dev_bleu": 30.0},  # the end, by patience
  ]  # fmt: skip
  found = [Counted(evidence=(), notes=("One.",))]
  points = [trend.checkpoint("r", step, rows, subject, found) for step in (10, 20, 30, 40, 50)]
  assert [point.dev_loss for point in points] == [2.5, 2.5, 2.25, None, 2.5]
  assert {point.dev_bleu for point in points} == {None}
  assert [len(point.notes) for point in points] == [1, 2, 1, 2, 2]
  assert points[1].notes[0] == "One."
  assert points[1].notes[1].startswith("dev BLEU and the last dev loss of r are left out: with ev")
  subject.run.config.eval.average = 1
  point = trend.checkpoint("r", 50, rows, subject, found)
  assert (point.dev_loss, point.dev_bleu, point.notes) == (2.0, 30.0, ("One.",))


def test_what_is_near_in_words():
  near = lambda **changes: trend.nearest(dataclasses.replace(SHARE, **changes))
  assert near(best=0.684) == "best 68%, needed ≥ 90%"
  assert near(best=0.896) == "best 89.6%, needed ≥ 90%"
  assert trend.nearest(BELOW) == "best -3, needed ≥ +10"
  assert near(measure=GAIN, limit=0.1, best=0.096) == "best +9.6, needed ≥ +10"
  assert near(measure=ERROR_RATE, limit=0.5, best=0.504) == "best 50.4%, needed ≤ 50%"


SHARE = Level("enc_self", "positional", 3, 16, "share", 0.9, 0.95, "position -1", (0, 2))
BELOW = Level("enc_self", "syntactic", 0, 16, GAIN, 0.1, -0.034, "obj head→dep", (1, 9))
NOTHING = Level("dec_enc", "idle", 0, 8, "share", 0.9, None, None, None)
ALIGNING = Level("dec_enc", "aligning", 8, 8, ERROR_RATE, 0.5, 0.051, "word alignment", (0, 0))
POINTS = [
  Checkpoint("r", 250, None, None, (SHARE, BELOW, NOTHING, ALIGNING), ()),
  Checkpoint(
    "r", 1000, 1.756, 14.2,
    (SHARE, dataclasses.replace(BELOW, best=0.004), NOTHING, ALIGNING), ("A note.",),
  ),
]  # fmt: skip


def test_the_table_has_a_row_for_each_checkpoint():
  assert trend.table(POINTS).split("\n") == [
    "                            enc_self               dec_enc",
    "  step  dev loss  dev BLEU  positional  syntactic  idle       aligning",
    "   250         -         -  3/16  95%   0/16   -3  0/8     -  8/8    5%",
    " 1,000      1.76     14.20  3/16  95%   0/16    0  0/8     -  8/8    5%",
    "needed                      ≥ 90%       ≥ +10      ≥ 90%      ≤ 50%",
  ]


def test_a_csv_line_is_one_kind_at_one_checkpoint():
  lines = trend.to_csv(POINTS).split("\n")
  assert lines[0] == (
    "run,step,dev_loss,dev_bleu,type,kind,heads,open,measure,limit,best,function,head"
  )
  assert len(lines) == 1 + 2 * 4 + 1 and lines[-1] == ""
  assert lines[1] == "r,250,,,enc_self,positional,3,16,share,0.9,0.95,position -1,1.3"
  assert lines[7] == "r,1000,1.756,14.2,dec_enc,idle,0,8,share,0.9,,,"
