"""The line that says how far a command is."""

import io

import pytest

from headprune import meter as meter_lib


class Terminal(io.StringIO):
  def isatty(self):
    return True

  def lines(self) -> list[str]:
    """Each drawing of the line; "" where it was taken away."""
    return [part.removesuffix("\x1b[K") for part in self.getvalue().split("\r")[1:]]


@pytest.fixture
def at(monkeypatch):
  """Sets the clock to so many seconds."""
  return lambda seconds: monkeypatch.setattr(meter_lib.time, "perf_counter", lambda: 100 + seconds)


def test_the_line_comes_at_once_and_then_by_time(at):
  terminal = Terminal()
  at(0.0)
  with meter_lib.Meter(terminal) as meter:
    meter.begin("translating", 5000, "lines")
    at(10.0)
    meter.add(100)
    at(10.1)
    meter.add(100)  # too soon to be drawn
    at(12.0)
    meter.add(300)
    at(13.0)
    meter.add(4501)
  assert terminal.lines() == [
    "translating: 0 of 5,000 lines",
    "translating: 100 of 5,000 lines, 10 a second, 8:10 left",
    "translating: 500 of 5,000 lines, 200 a second, 0:23 left",  # without the first, which compiled
    "translating: 5,000 of 5,000 lines, 1,634 a second, 0:00 left",
    "",
  ]


def test_what_is_not_known_is_not_told(at):
  terminal = Terminal()
  at(0.0)
  meter = meter_lib.Meter(terminal)
  meter.begin("reading runs/x", 0)
  meter.begin("translating")
  at(4.0)
  meter.add(6)
  meter.clear()
  meter.clear()
  assert terminal.lines() == [
    "reading runs/x ...", "translating: 0 sentences", "translating: 6 sentences, 1.5 a second", "",
  ]  # fmt: skip


def test_a_log_has_a_line_a_minute(at):
  stream = io.StringIO()
  at(0.0)
  with meter_lib.Meter(stream) as meter:
    meter.begin("reading runs/x", 0)
    meter.begin("translating", 900, "lines")
    for second in (10, 50, 70, 110, 140):
      at(second)
      meter.add(100)
    at(195.0)
    meter.begin("drawing", 0)
    at(210.0)
    meter.begin("drawing more", 0)
  assert stream.getvalue().splitlines() == [
    "translating: 300 of 900 lines, 3.3 a second, 3:00 left",
    "translating: 500 of 900 lines, 3.1 a second, 2:10 left",
    "drawing more ...",
  ]


def test_a_quick_command_leaves_nothing_in_a_log():
  stream = io.StringIO()
  with meter_lib.Meter(stream) as meter:
    meter.begin("translating", 2)
    meter.add(2)
  assert stream.getvalue() == ""
