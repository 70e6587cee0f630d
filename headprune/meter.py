"""How far a slow command is: one line on the terminal, or one a minute in a log."""

import sys
import time

from headprune.layout import duration

_EVERY = 0.2  # seconds between two drawings of the line
_LOGGED = 60.0  # seconds between two lines where there is no terminal; shorter commands have none


class Meter:
  """A line such as `translating: 1,200 of 5,000 lines, 310 a second, 0:12 left`, drawn in place.

  Where it is a context, the line is gone at its end.
  """

  def __init__(self, stream=None):
    """Writes to `stream`, stderr by default."""
    self._stream = stream or sys.stderr
    self._terminal = self._stream.isatty()
    self._drawn = False
    self._logged = time.perf_counter()

  def begin(self, task: str, total: int | None = None, unit: str = "sentences") -> None:
    """Goes over to another task and draws the line at once.

    Args:
      task: what is being done.
      total: how many things there are to do; 0 if they are not counted, None if nobody knows.
      unit: what they are.
    """
    self._task, self._total, self._unit = task, total, unit
    self._done, self._first = 0, 0
    self._since = time.perf_counter()
    self._draw(self._since)

  def add(self, count: float) -> None:
    """Tells that so many more things are done, or parts of one."""
    now = time.perf_counter()
    rate = (self._done + count - self._first) / max(now - self._since, 1e-9)
    if not self._done:  # compilation was a part of the first ones alone
      self._first, self._since = count, now
    self._done += count
    if now - self._last >= _EVERY:
      self._draw(now, rate)

  def clear(self) -> None:
    """Takes the line away, so that something else can be written."""
    if self._drawn:
      self._stream.write("\r\x1b[K")
      self._stream.flush()
      self._drawn = False

  def __enter__(self) -> "Meter":
    return self

  def __exit__(self, *error) -> None:
    self.clear()

  def _draw(self, now: float, rate: float = 0.0) -> None:
    self._last = now
    if self._terminal:
      self._stream.write(f"\r{self._text(rate)}\x1b[K")
      self._stream.flush()
      self._drawn = True
    elif now - self._logged >= _LOGGED:
      print(self._text(rate), file=self._stream, flush=True)
      self._logged = now

  def _text(self, rate: float) -> str:
    if self._total == 0:
      return f"{self._task} ..."
    done = round(self._done)
    parts = [f"{self._task}: {done:,} {self._unit}"]
    if self._total is not None:
      parts = [f"{self._task}: {min(done, self._total):,} of {self._total:,} {self._unit}"]
    if rate:
      parts.append(f"{rate:,.0f} a second" if rate >= 9.95 else f"{rate:.1f} a second")
      if self._total is not None:
        parts.append(f"{duration(max(0, self._total - self._done) / rate)} left")
    return ", ".join(parts)
