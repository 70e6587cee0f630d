"""What a run says: metrics.jsonl, TensorBoard events and the progress line."""

import contextlib
import json
import math
import pathlib
import time

import jax
import tensorboardX

FILE = "metrics.jsonl"


class Writer:
  """Appends rows to metrics.jsonl and TensorBoard; silent on all processes but the first."""

  def __init__(self, workdir: pathlib.Path, step: int):
    """Opens the files; rows after `step`, left by an interrupted run, are removed."""
    self._file = self._board = None
    if jax.process_index() == 0:
      kept = [json.dumps(row) + "\n" for row in read(workdir) if row["step"] <= step]
      draft = (workdir / FILE).with_suffix(".tmp")
      draft.write_text("".join(kept))
      draft.rename(workdir / FILE)
      self._file = (workdir / FILE).open("a")
      self._board = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

  def write(self, step: int, row: dict) -> None:
    """Writes one row; nested lists (gate values) go to TensorBoard element by element."""
    if self._file is None:
      return
    self._file.write(json.dumps({"step": step, **row}) + "\n")
    self._file.flush()
    for name, value in _scalars("", row):
      self._board.add_scalar(name, value, step)

  def close(self) -> None:
    if self._file is not None:
      self._file.close()
      self._board.close()


def read(workdir: pathlib.Path) -> list[dict]:
  """All rows of a run so far; a last line that was cut off is left out."""
  path = workdir / FILE
  if not path.is_file():
    return []
  lines = path.read_text().split("\n")
  return [json.loads(line) for line in lines[:-1] if line]


def _scalars(prefix: str, value):
  if isinstance(value, dict):
    for key, inner in value.items():
      yield from _scalars(f"{prefix}/{key}" if prefix else key, inner)
  elif isinstance(value, list):
    for i, inner in enumerate(value):
      yield from _scalars(f"{prefix}/{i}", inner)
  elif isinstance(value, (int, float)) and not isinstance(value, bool):
    yield prefix, value


def say(*words) -> None:
  """Prints a line on the first process."""
  if jax.process_index() == 0:
    print(*words, flush=True)


class Clock:
  """Times training, evaluation left out."""

  def __init__(self, step: int, steps: int, trained_seconds: float):
    """`trained_seconds`: what earlier processes spent on the steps before `step`."""
    self._step, self._steps, self._trained = step, steps, trained_seconds
    self._start, self._rate = time.perf_counter(), 0.0

  @contextlib.contextmanager
  def paused(self):
    """Does not count the time inside."""
    begin = time.perf_counter()
    yield
    self._start += time.perf_counter() - begin

  def read(self, step: int, tokens: int) -> dict:
    """Speed since the last reading, over which `tokens` were trained on, and all seconds so far."""
    now = time.perf_counter()
    seconds = max(now - self._start, 1e-9)
    self._rate = (step - self._step) / seconds
    self._trained += seconds
    self._start, self._step = now, step
    return {"tokens_per_second": tokens / seconds, "train_seconds": self._trained}

  def left(self, step: int) -> float:
    """Seconds of training left, at the speed of the last reading."""
    return (self._steps - step) / self._rate if self._rate else math.inf


def progress(step: int, steps: int, row: dict, left: float) -> str:
  """The line of a metrics row that a person reads."""
  parts = [f"step {step:>{len(str(steps))}}/{steps}"]
  if "loss" in row:
    parts.append(f"loss {row['loss']:.3f}")
  if "dev_loss" in row:
    parts.append(f"dev loss {row['dev_loss']:.3f}")
  if "dev_bleu" in row:
    parts.append(f"dev BLEU {row['dev_bleu']:.1f}")
  if "tokens_per_second" in row:
    parts.append(f"{row['tokens_per_second']:,.0f} tokens/s  {duration(left)} left")
  if "gates" in row:
    parts.append("open " + " ".join(f"{name} {count}" for name, count in row["open"].items()))
  return "  ".join(parts)


def duration(seconds: float) -> str:
  """1:02:03 or 2:03."""
  if not math.isfinite(seconds):
    return "?"
  minutes, s = divmod(int(seconds + 0.5), 60)
  hours, m = divmod(minutes, 60)
  return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
