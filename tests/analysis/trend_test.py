"""Tests of headprune.analysis.trend: what is known of checkpoints, and how it is written."""

import dataclasses

from ml_collections import ConfigDict

from headprune.analysis import trend
from headprune.analysis.evidence import ERROR_RATE, Counted
from headprune.analysis.levels import Level
from headprune.analysis.trend import Checkpoint
from tests.analysis import subjects
from tests.analysis.levels_test import BELOW, SHARE, make


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
    {"step": 60, "dev_loss": 1.75, "dev_bleu": 40.0},  # it went on; nothing is logged here
  ]  # fmt: skip
  found = [Counted(evidence=(), notes=("One.",))]
  points = [trend.checkpoint("r", step, rows, subject, found) for step in range(10, 70, 10)]
  assert [point.dev_loss for point in points] == [2.5, 2.5, 2.25, None, 2.5, 1.75]
  assert {point.dev_bleu for point in points} == {None}
  assert [len(point.notes) for point in points] == [1, 2, 1, 2, 2, 2]
  assert points[1].notes[0] == "One."
  assert points[1].notes[1].startswith("dev BLEU and the last dev loss of r are left out: with ev")
  subject.run.config.eval.average = 1
  point = trend.checkpoint("r", 50, rows, subject, found)
  assert (point.dev_loss, point.dev_bleu, point.notes) == (2.0, 30.0, ("One.",))


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


def test_the_table_does_not_round_to_what_is_enough():
  near = dataclasses.replace(SHARE, heads=0, best=0.896)
  row = trend.table([Checkpoint("r", 250, None, None, (near,), ())]).split("\n")[2]
  assert row.split()[3:] == ["0/16", "89.6%"]


def test_a_csv_line_is_one_kind_at_one_checkpoint():
  lines = trend.to_csv(POINTS).split("\n")
  assert lines[0] == (
    "run,step,dev_loss,dev_bleu,type,kind,heads,open,measure,limit,best,function,head"
  )
  assert len(lines) == 1 + 2 * 4 + 1 and lines[-1] == ""
  assert lines[1] == "r,250,,,enc_self,positional,3,16,share,0.9,0.95,position -1,1.3"
  assert lines[7] == "r,1000,1.756,14.2,dec_enc,idle,0,8,share,0.9,,,"
