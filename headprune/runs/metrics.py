"""The numbers of a run over its steps: metrics.jsonl, and the same on TensorBoard."""

import collections
from collections.abc import Iterable
import contextlib
import json
import math
import sys
import time

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2, summary_pb2

from headprune.files import write_text, writing
from headprune.nn.config import TYPES
from headprune.runs import board, heads
from headprune.runs.workdir import Workdir

_NUMBERS = (
  "objective", "dev_loss", "dev_smoothed_loss", "dev_bleu", "test_bleu", "dev_chrf", "test_chrf",
  "tokens_per_second", "train_seconds",
)  # fmt: skip
_LISTS, _GATES = "log_alpha", "gates"  # type -> layer -> head -> value, both of the same heads
_OPEN = "open"  # type -> number of heads, of those with gates and of others


class Writer:
  """Appends rows to metrics.jsonl and TensorBoard, where a kill loses none that was written."""

  def __init__(self, workdir: Workdir, step: int, fields: dict):
    """Opens the files; rows after `step`, left by an interrupted run, are removed.

    Args:
      workdir: of the run.
      step: where it is.
      fields: of its config, dotted, for TensorBoard.
    """
    kept = [json.dumps(row) + "\n" for row in read(workdir) if row["step"] <= step]
    self._path = workdir.metrics
    write_text(workdir.metrics, "".join(kept))
    self._file = workdir.metrics.open("a")
    with writing(workdir.tensorboard):
      workdir.tensorboard.mkdir(exist_ok=True)
      # Not tensorboardX's SummaryWriter, which writes from a thread, two minutes late.
      own = f".{time.time_ns()}"  # two writers in one second have two files
      self._board = EventsWriter(str(workdir.tensorboard / "events"), own)
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._event(step + 1, session_log=start)  # later steps in older files do not count
      for summary in board.hyper_parameters(fields):
        self._event(step, summary=summary)

  def write(self, step: int, row: dict) -> None:
    """Writes one row."""
    values = board.values(row)
    # First the board: after a kill in between, the row is made again, and the board's is dropped.
    with writing(self._path):
      self._event(step, summary=summary_pb2.Summary(value=values))
      self._file.write(json.dumps({"step": step, **row}) + "\n")
      self._file.flush()

  def _event(self, step: int, **content) -> None:
    self._board.write_event(event_pb2.Event(wall_time=time.time(), step=step, **content))
    self._board.flush()

  def close(self) -> None:
    with contextlib.suppress(OSError):  # of what could not be written, and was told
      self._file.close()
      self._board.close()


def read(workdir: Workdir) -> list[dict]:
  """All rows of a run so far; a last line that was cut off is left out.

  Another damaged line costs its row, and a note on stderr tells which one.
  """
  if not workdir.metrics.is_file():
    return []
  lines = workdir.metrics.read_bytes().split(b"\n")
  found = {number: _row(line) for number, line in enumerate(lines[:-1], 1) if line}
  lists = [row[_LISTS] for row in found.values() if row and _LISTS in row]
  shapes = collections.Counter(map(_shape, lists))
  usual = {None, *(shape for shape, _ in shapes.most_common(1))}
  rows = []
  for number, row in found.items():
    if row and _shape(row.get(_LISTS)) in usual:
      rows.append(row)
    else:
      print(f"note: {workdir.metrics}, line {number} is damaged: left out", file=sys.stderr)
  return rows


def dev_losses(rows: Iterable[dict], average: int) -> dict[int, float]:
  """Step -> dev loss of the model as trained there, nats per target token.

  A run's end is a row behind another one of its step, and of the mean of checkpoints where they are
  averaged. A run that goes on from its end has it in its midst.

  Args:
    rows: of the run, in order.
    average: its `eval.average`.
  """
  found, steps = {}, set()
  for row in rows:
    if "dev_loss" in row and (average == 1 or row["step"] not in steps):
      found[row["step"]] = row["dev_loss"]
    steps.add(row["step"])
  return found


def _row(line: bytes) -> dict | None:
  """A line's row, None if it is damaged."""
  try:
    row = json.loads(line.decode("utf-8"))
    numbers = [row[name] for name in _NUMBERS if name in row]
    whole = type(row["step"]) is int and 0 <= row["step"] < 2**31
    good = whole and all(type(x) in (int, float) and heads.is_number(x) for x in numbers)
    for field in (_LISTS, _GATES):
      heads.checked(row.get(field, {}))
    good = good and _shape(row.get(_GATES)) in (None, _shape(row.get(_LISTS)))
    good = good and (_OPEN not in row or _are_counts(row[_OPEN], row.get(_LISTS, {})))
  except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
    return None
  return row if good else None


def _are_counts(counts: dict, lists: dict) -> bool:
  """Whether `counts` are numbers of heads for types that there are, at least those of `lists`."""
  most = {name: sum(map(len, lists[name])) if name in lists else math.inf for name in TYPES}
  plausible = all(type(n) is int and 0 <= n <= most[name] for name, n in counts.items())
  return plausible and lists.keys() <= counts.keys()


def _shape(lists: dict | None) -> tuple | None:
  """Types and layers with their number of heads, which are the same in all rows of a run."""
  if lists is None:
    return None
  return tuple((name, *map(len, layers)) for name, layers in lists.items())
