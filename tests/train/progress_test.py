"""The clock and the progress line."""

import pytest

from headprune.errors import Stopped
from headprune.train import progress


@pytest.fixture
def now(monkeypatch):
  """A clock that stands still until it is set."""
  time = [100.0]
  monkeypatch.setattr(progress.time, "perf_counter", lambda: time[0])
  return time


def test_the_clock_counts_training_alone(now):
  clock = progress.Clock(trained_seconds=30.0)
  now[0] += 4.0
  with clock.paused():
    now[0] += 100.0
  now[0] += 1.0
  assert clock.read(1000) == {"tokens_per_second": 200.0, "train_seconds": 35.0}
  now[0] += 10.0
  assert clock.read(1000) == {"tokens_per_second": 100.0, "train_seconds": 45.0}


def test_what_is_paused_and_stopped_does_not_count_either(now):
  clocks = [progress.Clock(0.0), progress.Clock(0.0)]
  with pytest.raises(Stopped):
    with progress.paused(clocks):
      now[0] += 7.0
      raise Stopped("in an evaluation", 15)
  now[0] += 2.0
  assert [clock.seconds() for clock in clocks] == [2.0, 2.0]


def test_progress_line():
  row = {"objective": 4.03125, "tokens_per_second": 10300.4}
  assert progress.line(50, 1500, row, 61.0) == (
    "step   50/1500  objective 4.031  10,300 tokens/s  1:01 left"
  )
  row = {"dev_loss": 0.5, "dev_bleu": 91.26, "gates": {}, "open": {"enc_self": 3, "dec_enc": 16}}
  assert progress.line(1500, 1500, row, 0.0) == (
    "step 1500/1500  dev loss 0.500 (perplexity 1.65)  dev BLEU 91.3  open enc_self 3 dec_enc 16"
  )


def test_lines_by_time(now):
  clock = progress.Clock(trained_seconds=0.0)
  ticker = progress.Ticker(clock, 0, 1000)
  results = [{"objective": 9.0, "tokens": 500}]
  now[0] += 60.0  # compiles
  assert ticker.left(1) == pytest.approx(999 * 60.0)
  assert ticker.line(1, results) is None
  results += [{"objective": 2.0, "tokens": 100}, {"objective": 3.0, "tokens": 300}]
  now[0] += 3.9
  assert ticker.line(3, results) is None
  now[0] += 0.1
  assert ticker.line(3, results) == (
    "step    3/1000  objective 2.500  100 tokens/s  33:14 left"  # 997 steps at 0.5 a second
  )
  now[0] += 6.0
  with clock.paused():
    now[0] += 3.0
  results += [{"objective": 1.0, "tokens": 600}]
  assert ticker.line(4, results) is None  # 9 seconds later
  now[0] += 1.0
  assert ticker.line(3, results[:3]) is None  # no step since
  # 3 steps in 11 seconds of training since the first one
  assert "objective 1.000  86 tokens/s  1:00:52 left" in ticker.line(4, results)
  now[0] += 9.0
  ticker.printed(5)
  assert ticker.left(5) == pytest.approx(995 * 20 / 4)
  now[0] += 9.0
  assert ticker.line(9, []) is None


def test_the_time_left_is_that_of_the_last_two_minutes(now):
  ticker = progress.Ticker(progress.Clock(trained_seconds=0.0), 0, 1000)
  results = [{"objective": 1.0, "tokens": 1}] * 100
  assert ticker.left(0) == float("inf")
  went_on = progress.Ticker(progress.Clock(trained_seconds=9.0, seconds=8.0), 16, 1000)
  assert went_on.left(20) == pytest.approx(980 * 8.0 / 4)  # also where a row is due at once
  assert ticker.line(1, results) is None
  for step in range(2, 22):  # 10 seconds a step, then 20
    now[0] += 10.0 if step < 12 else 20.0
    assert ticker.line(step, results[:step])
    expected = 10.0 if step < 12 else 20.0
    if step in (11, 21):
      assert ticker.left(step) == pytest.approx((1000 - step) * expected)
  now[0] += 500.0  # one step that was very slow: the only one of the last two minutes
  ticker.printed(22)
  assert ticker.left(23) == pytest.approx(977 * 500.0 / 2)


def test_what_slow_work_is_at(now, monkeypatch, capsys):
  with progress.telling() as tell:
    tell("reading")
    now[0] += 10.0
    tell("encoding: 1 of 2")
    tell("encoding: 2 of 2")
  printed = capsys.readouterr()
  assert (printed.out, printed.err) == ("encoding: 1 of 2\n", "")
  monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
  with progress.telling() as tell:
    tell("reading")
  printed = capsys.readouterr()
  assert (printed.out, printed.err) == ("", "\r\033[Kreading\r\033[K")
