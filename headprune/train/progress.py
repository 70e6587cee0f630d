"""What a person sees of a run under way: how fast it is, how long it will take, a line per row.

Between the rows of metrics, which come by steps, lines come by time.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import math
import sys
import time

from headprune.layout import duration
from headprune.runs.summary import perplexity

_FIRST = 4.0  # seconds from the end of the first step to the first line
_EVERY = 10.0  # seconds from line to line
_RECENT = 120.0  # seconds of training whose speed says how long the rest takes


class Clock:
  """Times training, evaluation left out."""

  def __init__(self, trained_seconds: float, seconds: float = 0.0):
    """Earlier processes spent `trained_seconds` up to the last reading and `seconds` since."""
    self._trained, self._since = trained_seconds, time.perf_counter() - seconds

  @contextlib.contextmanager
  def paused(self):
    """Does not count the time inside."""
    begin = time.perf_counter()
    try:
      yield
    finally:  # also where a signal ends what is inside
      self._since += time.perf_counter() - begin

  def seconds(self) -> float:
    """Seconds since the last reading."""
    return max(time.perf_counter() - self._since, 1e-9)

  def trained(self) -> float:
    """Seconds of training so far."""
    return self._trained + self.seconds()

  def read(self, tokens: int) -> dict:
    """Speed since the last reading, over which `tokens` were trained on, and all seconds so far."""
    seconds = self.seconds()
    self._trained += seconds
    self._since += seconds
    return {"tokens_per_second": tokens / seconds, "train_seconds": self._trained}


@contextlib.contextmanager
def paused(clocks: Iterable[Clock]) -> Iterator[None]:
  """Pauses several clocks: of runs that train together, since all wait."""
  with contextlib.ExitStack() as stack:
    for clock in clocks:
      stack.enter_context(clock.paused())
    yield


class Ticker:
  """Lines by time, for rows that are far apart. Nothing of it is kept."""

  def __init__(self, clock: Clock, step: int, steps: int):
    """`step` is that of the clock's last reading."""
    self._clock, self._steps = clock, steps
    self._next = None  # when the next line is due; None before the first step, which compiles
    # Steps and seconds of training: at first those of that reading, then at recent lines.
    self._marks = [(step, clock.trained() - clock.seconds())]

  def printed(self, step: int) -> None:
    """Another line was printed after `step`."""
    if self._next is not None:
      self._wait(step, _EVERY)

  def line(self, step: int, results: list[dict]) -> str | None:
    """The line that is due after `step`, or None.

    Args:
      step: the last one that is through.
      results: what the steps up to it gave, at least those since the line before.
    """
    if self._next is None:
      self._marks = []
      self._wait(step, _FIRST)
    first, seconds = self._marks[-1]
    if time.perf_counter() < self._next or step == first:
      return None
    recent, seconds = results[first - step :], self._clock.trained() - seconds
    total = lambda name: sum(float(result[name]) for result in recent)
    row = {"objective": total("objective") / len(recent)}
    row["tokens_per_second"] = total("tokens") / seconds
    left = self.left(step)
    self._wait(step, _EVERY)
    return line(step, self._steps, row, left)

  def left(self, step: int) -> float:
    """Seconds of training left, at the speed of the last two minutes.

    Compiling counts for the first step alone.
    """
    first, seconds = self._marks[0]
    if step == first:
      return math.inf
    return (self._steps - step) * (self._clock.trained() - seconds) / (step - first)

  def _wait(self, step: int, seconds: float) -> None:
    now = self._clock.trained()
    recent = [mark for mark in self._marks if now - mark[1] <= _RECENT]
    self._marks = [*(recent or self._marks[-1:]), (step, now)]
    self._next = time.perf_counter() + seconds


@contextlib.contextmanager
def telling() -> Iterator[Callable[[str], None]]:
  """Gives a function that tells what slow work is at, as often as one likes.

  On a terminal it is a line of stderr, written over and wiped at the end; else a line of stdout,
  every ten seconds.
  """
  due = time.perf_counter() + _EVERY

  def tell(text: str) -> None:
    nonlocal due
    if sys.stderr.isatty():
      print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif time.perf_counter() >= due:
      print(text, flush=True)
      due = time.perf_counter() + _EVERY

  try:
    yield tell
  finally:
    if sys.stderr.isatty():
      print("\r\033[K", end="", file=sys.stderr, flush=True)


def line(step: int, steps: int, row: dict, left: float) -> str:
  """A metrics row for people; `left` seconds of training are left."""
  parts = [f"step {step:>{len(str(steps))}}/{steps}"]
  if "objective" in row:
    parts.append(f"objective {row['objective']:.3f}")
  if "dev_loss" in row:
    parts.append(f"dev loss {row['dev_loss']:.3f} (perplexity {perplexity(row['dev_loss']):.2f})")
  if "dev_bleu" in row:
    parts.append(f"dev BLEU {row['dev_bleu']:.1f}")
  if "tokens_per_second" in row:
    parts.append(f"{row['tokens_per_second']:,.0f} tokens/s  {duration(left)} left")
  if "gates" in row:
    parts.append("open " + " ".join(f"{name} {count}" for name, count in row["open"].items()))
  return "  ".join(parts)


def say_nothing(*words) -> None:
  """In place of what tells a person something, where there is nobody to tell."""
