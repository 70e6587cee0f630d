"""What is told of a run that is not worth building on."""

import numpy as np
import pytest

from headprune.runs import defaults
from headprune.text.encoding import Report
from headprune.train import notes


@pytest.mark.parametrize(
  "points, note",
  [
    ([], None),
    ([(100, 3.0)], None),
    ([(50, 4.0), (100, 3.5)], "dev loss was still falling, by 0.20 nats in the last fifth"),
    ([(50, 4.0), (80, 3.04), (100, 3.0)], None),  # 0.04
    ([(50, 4.0), (80, 3.06), (100, 3.0)], "by 0.06 nats"),
    (
      [(50, 2.0), (60, 1.9), (80, 1.96), (100, 1.96)],
      "has risen by 0.06 nats since step 60: lower",
    ),
    ([(50, 2.0), (60, 1.92), (80, 1.96), (100, 1.96)], None),
  ],
)
def test_dev_loss(points, note):
  found = notes.dev_loss(points, 100, pruned=False)
  assert len(found) == (note is not None) and all(note in line for line in found)


def test_pruning_may_raise_the_loss():
  points = [(50, 2.0), (100, 2.5)]
  assert notes.dev_loss(points, 100, pruned=False) and not notes.dev_loss(points, 100, pruned=True)


def test_bleu():
  assert notes.bleu(15.0) == []
  assert "dev BLEU 3.1 is below 15" in notes.bleu(3.1)[0]


def test_no_gate_closed():
  config, edge = defaults.get_config("concrete"), float(-np.log(11.0))
  assert notes.closed(config, {}) == []
  assert notes.closed(config, {"enc_self": [[2.0, edge - 0.01]], "dec_enc": [[], [1.0]]}) == []
  (note,) = notes.closed(config, {"enc_self": [[2.0, edge + 0.01]], "dec_enc": [[], [1.0]]})
  assert "lowest log_alpha is -2.39, closed is below -2.40: raise config.train.steps" in note
  config.l0.target_heads = "100%"
  assert notes.closed(config, {"enc_self": [[20.0, 20.0]]}) == []


def test_heads_that_closed_unasked():
  config = defaults.get_config("concrete")
  config.l0.target_heads, config.train.steps, config.l0.settled = "1", 100, 0.5
  rows = [
    {"step": 40, "open": {"enc_self": 20, "dec_self": 8}},  # dec_self has no gates
    {"step": 50, "open": {"enc_self": 4, "dec_self": 8}},
    {"step": 50, "dev_loss": 1.0},
    {"step": 60, "open": {"enc_self": 1, "dec_self": 8}},
  ]
  last = {"enc_self": [[20.0] + [-20.0] * 19]}
  (note,) = notes.cut(config, rows, last)
  assert "4 heads were still open at step 50, just before all but 1 closed" in note
  assert "raise config.l0.ascent=5" in note
  config.gates.kind = "topk"
  assert notes.cut(config, rows, last) == []
  config.gates.kind, config.l0.target_heads = "concrete", ""
  assert notes.cut(config, rows, last) == []
  config.l0.target_heads = "1"
  assert notes.cut(config, [], last) == []
  assert notes.cut(config, rows[:1] + rows[2:], last) == []  # step 40 tells nothing of step 50
  rows[1]["open"]["enc_self"] = 3  # two of 20 too many
  assert notes.cut(config, rows, last) == []


def test_long_pairs():
  assert notes.lengths(Report(99, 5, 1), 64) == []
  assert notes.lengths(Report(98, 5, 2, keeps_99=80), 64) == [
    "2.0% of the training pairs were dropped as longer than config.data.row_length=64 (80 keeps "
    "99%)"
  ]
  assert notes.lengths(Report(98, 5, 2), 64)[0].endswith("row_length=64")  # from older files


def test_dev_text_that_was_trained_on():
  report = Report(99, 0, 0, seen={"dev": 0.05, "test": 0.0501})
  (note,) = notes.seen(report)
  assert note.startswith("5% of the test pairs are in the training text as well: BLEU there")
  assert notes.seen(Report(99, 0, 0)) == []  # from older files
  last = {"dev_loss": 3.9, "dev_bleu": 30.0}
  assert notes.of_run(defaults.base(), 1, [], last, 3.9, {}, report) == (note,)


def test_of_a_run():
  config = defaults.base()
  history = [{"step": 50, "dev_loss": 4.0}, {"step": 75, "objective": 9.0}]
  history.append({"step": 100, "dev_loss": 3.0})  # written before a kill
  report, last = Report(100, 0, 0), {"dev_loss": 3.9, "dev_bleu": 30.0}
  assert notes.of_run(config, 100, history, last, 3.9, {}, report) == ()
  (falling,) = notes.of_run(config, 100, history, last | {"dev_loss": 3.5}, 3.5, {}, report)
  assert falling.startswith("dev loss was still falling, by 0.20")
  config.eval.average = 2  # the last row is of a mean, its step's own parameters have own_loss
  (falling,) = notes.of_run(config, 100, history, last | {"dev_loss": 3.0}, 3.5, {}, report)
  assert falling.startswith("dev loss was still falling, by 0.20")
  history[2:2] = [{"step": 75, "dev_loss": 2.5}, {"step": 90, "dev_loss": 3.95}]  # ended at 75 once
  assert notes.of_run(config, 100, history, last, 3.94, {}, report) == ()
  last |= {"dev_bleu": 1.0, "dev_loss": 3.96}
  every = notes.of_run(config, 100, history, last, 3.94, {"enc_self": [[0.0]]}, report)
  begins = [line.split()[:2] for line in every]
  assert begins == [["the", "mean"], ["dev", "BLEU"], ["no", "gate"]]


def test_a_mean_that_is_worse_than_its_last_checkpoint():
  assert notes.mean(1.482, 1.473) == notes.mean(1.4, 1.473) == []
  (note,) = notes.mean(1.482, 1.4517)
  assert note.startswith("the mean of checkpoints has dev loss 1.482, the last one alone 1.452: ")
