"""Signals: when they wait, when they do not, and that they are left as they were found."""

import os
import signal
import sys

import pytest

from headprune.errors import Stopped
from headprune.train import stopping


def _send(number: int) -> None:
  os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_waits_between_steps_and_a_second_ctrl_c_does_not(number):
  with stopping.on_signals() as stop, stop.waiting():
    assert not stop.asked(3)
    _send(number)
    assert stop.asked(3)
    assert stop.stopped("x").signal == number
    _send(signal.SIGTERM)  # Slurm sends it twice to a job that it preempts
    assert stop.stopped("x").signal == number
    with pytest.raises(Stopped):
      _send(signal.SIGINT)


def test_outside_of_the_steps_and_in_evaluations_a_signal_ends_the_section():
  with stopping.on_signals() as stop:
    with pytest.raises(Stopped, match="goes on from the last checkpoint") as caught:
      _send(signal.SIGTERM)
    assert caught.value.signal == signal.SIGTERM
  with stopping.on_signals() as stop, stop.waiting():
    with pytest.raises(Stopped):
      with stop.waiting(patient=False):
        _send(signal.SIGINT)
    assert stop.asked(1)


def test_an_evaluation_does_not_begin_after_a_signal():
  with stopping.on_signals() as stop, stop.waiting():
    _send(signal.SIGINT)
    with pytest.raises(Stopped):
      with stop.waiting(patient=False):
        raise AssertionError("it began")


def test_handlers_are_there_for_the_section_alone():
  before = [signal.getsignal(number) for number in stopping.SIGNALS]
  with stopping.on_signals():
    assert signal.getsignal(signal.SIGTERM) != before[0]
  assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_where_nobody_can_catch_it_a_signal_waits_without_a_word(monkeypatch):
  told = []
  monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(found.exc_type))
  hook = sys.unraisablehook

  class Last:
    def __init__(self, words):
      self.words = words

    def __del__(self):
      self.words()

  with stopping.on_signals() as stop:
    Last(lambda: _send(signal.SIGTERM))
    assert stop.asked(1) and not told
    Last(lambda: 1 / 0)
    assert told == [ZeroDivisionError]
  assert sys.unraisablehook is hook


def test_without_signals_nothing_is_ever_asked():
  stop = stopping.Stop()
  with stop.waiting(), stop.waiting(patient=False):
    assert not stop.asked(0)
