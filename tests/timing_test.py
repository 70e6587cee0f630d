"""How programs are timed against each other."""

import sys
import time

from headprune import timing


def test_each_turn_is_a_warm_up_and_three_calls(monkeypatch, capsys):
  monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
  order = []
  calls = [lambda: order.append("a"), lambda: order.append("b")]
  first, seconds = timing.take_turns(calls, repeats=4)
  assert "".join(order) == "ab" + "aaaabbbb" * 2
  assert len(first) == 2 and [len(row) for row in seconds] == [6, 6]
  assert "measuring: 0 of 18 calls" in capsys.readouterr().err


def test_seconds_are_those_of_the_call():
  first, seconds = timing.take_turns([lambda: time.sleep(0.02)], repeats=1)
  assert all(0.02 <= s < 1.0 for s in first + seconds[0])
