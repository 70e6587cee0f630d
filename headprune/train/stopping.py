"""Stopping when the system (SIGTERM) or a person (SIGINT) asks for it, so that no work is lost.

Only a command installs handlers; `training.train` called from Python is not asked anything, and
Ctrl-C means there what it means in any program.
"""

from collections.abc import Iterator
import contextlib
import os
import signal
import sys

import jax
from jax.experimental import multihost_utils

from headprune.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
  """Whether the run is to stop. By default it is never asked to."""

  def __init__(self):
    self._signal = 0  # the one that came
    self._patient = False  # a signal waits for `asked`; else it raises Stopped where it arrives

  def handle(self, number: int, frame=None) -> None:
    """What a signal does; a second Ctrl-C does not wait. SIGTERM counts once: Slurm sends two."""
    if self._signal and number == signal.SIGTERM:
      return
    waits = self._patient and not self._signal
    self._signal = number
    if not waits:
      raise Stopped("stopped; the same command goes on from the last checkpoint", number)

  def handle_together(self, number: int, frame=None) -> None:
    """What SIGINT does to one of several processes: JAX tells the others of a SIGTERM."""
    self._signal = number
    os.kill(os.getpid(), signal.SIGTERM)

  def asked(self, step: int) -> bool:
    """Whether to save and stop now; the same in all processes, each of which asks at every step."""
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(step)
    return bool(self._signal)

  def stopped(self, message: str) -> Stopped:
    """What to raise when all is saved."""
    return Stopped(message, self._signal or signal.SIGTERM)

  @contextlib.contextmanager
  def waiting(self, patient: bool = True) -> Iterator[None]:
    """A section in which a signal waits for `asked`, or, not `patient`, one which it ends."""
    if self._signal and not patient:
      raise self.stopped("")
    before, self._patient = self._patient, patient
    try:
      yield
    finally:
      self._patient = before


@contextlib.contextmanager
def on_signals() -> Iterator[Stop]:
  """A Stop that the signals of this process reach, until the section ends."""
  stop = Stop()
  if jax.process_count() > 1:  # JAX itself listens to SIGTERM
    handlers = {signal.SIGINT: stop.handle_together}
  else:
    handlers = dict.fromkeys(SIGNALS, stop.handle)
  before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
  hook, sys.unraisablehook = sys.unraisablehook, _quietly(sys.unraisablehook)
  try:
    yield stop
  finally:
    sys.unraisablehook = hook
    for number, handler in before.items():
      signal.signal(number, handler)


def _quietly(hook):
  """`hook` of exceptions that nobody can catch, but for Stopped: `asked` tells of the signal."""
  return lambda found: None if isinstance(found.exc_value, Stopped) else hook(found)
