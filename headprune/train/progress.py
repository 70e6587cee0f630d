"""What a person sees of a run under way: how fast it is, how long it will take, a line per row."""

import contextlib
import math
import time

from headprune.runs.summary import duration, perplexity


class Clock:
  """Times training, evaluation left out."""

  def __init__(self, step: int, steps: int, trained_seconds: float, seconds: float = 0.0):
    """Earlier processes spent `trained_seconds` on the steps before `step` and `seconds` since."""
    self._step, self._steps, self._trained = step, steps, trained_seconds
    self._since, self._rate = time.perf_counter() - seconds, 0.0

  @contextlib.contextmanager
  def paused(self):
    """Does not count the time inside."""
    begin = time.perf_counter()
    yield
    self._since += time.perf_counter() - begin

  def seconds(self) -> float:
    """Seconds since the last reading."""
    return max(time.perf_counter() - self._since, 1e-9)

  def read(self, step: int, tokens: int) -> dict:
    """Speed since the last reading, over which `tokens` were trained on, and all seconds so far."""
    seconds = self.seconds()
    self._rate = (step - self._step) / seconds
    self._trained += seconds
    self._since, self._step = self._since + seconds, step
    return {"tokens_per_second": tokens / seconds, "train_seconds": self._trained}

  def left(self, step: int) -> float:
    """Seconds of training left, at the speed of the last reading."""
    return (self._steps - step) / self._rate if self._rate else math.inf


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
