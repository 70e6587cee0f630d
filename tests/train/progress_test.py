"""The clock and the progress line."""

import pytest

from headprune.train import progress


@pytest.fixture
def now(monkeypatch):
  """A clock that stands still until it is set."""
  time = [100.0]
  monkeypatch.setattr(progress.time, "perf_counter", lambda: time[0])
  return time


def test_the_clock_counts_training_alone(now):
  clock = progress.Clock(step=10, steps=50, trained_seconds=30.0)
  assert clock.left(10) == float("inf")
  now[0] += 4.0
  with clock.paused():
    now[0] += 100.0
  now[0] += 1.0
  assert clock.read(20, 1000) == {"tokens_per_second": 200.0, "train_seconds": 35.0}
  assert clock.left(20) == 15.0  # 30 steps at 2 a second
  now[0] += 10.0
  assert clock.read(25, 1000) == {"tokens_per_second": 100.0, "train_seconds": 45.0}
  assert clock.left(25) == 50.0


def test_progress_line():
  row = {"objective": 4.03125, "tokens_per_second": 10300.4}
  assert progress.line(50, 1500, row, 61.0) == (
    "step   50/1500  objective 4.031  10,300 tokens/s  1:01 left"
  )
  row = {"dev_loss": 0.5, "dev_bleu": 91.26, "gates": {}, "open": {"enc_self": 3, "dec_enc": 16}}
  assert progress.line(1500, 1500, row, 0.0) == (
    "step 1500/1500  dev loss 0.500 (perplexity 1.65)  dev BLEU 91.3  open enc_self 3 dec_enc 16"
  )
