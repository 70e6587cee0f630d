"""When heads get their functions: how many have each kind at a checkpoint, how near the best is."""

from collections.abc import Iterable, Sequence
import dataclasses

import numpy as np

from headprune import layout
from headprune.analysis import tables
from headprune.analysis.evidence import ERROR_RATE, Counted, Evidence
from headprune.analysis.result import Head
from headprune.analysis.subject import Subject
from headprune.nn.config import TYPES

GAIN = "accuracy above the baseline"


@dataclasses.dataclass(frozen=True)
class Level:
  """What the open heads of an attention type do of one kind of function."""

  type: str
  kind: str
  heads: int  # that have such a function; a head may have functions of several kinds
  open: int  # heads that could
  measure: str  # of `best` and `limit`, which are in 0..1: "share", GAIN or ERROR_RATE
  limit: float  # what a head needs: at least so much, of an ERROR_RATE at most
  best: float | None  # of the strongest head; None if there is no case or no open head
  function: str | None  # which one that is: "position -1"
  head: Head | None  # whose it is


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """What was found at a step of a run, and what the run recorded there."""

  run: str
  step: int
  dev_loss: float | None  # nats per target token; None as well where it is of another model
  dev_bleu: float | None  # percent; the same
  levels: tuple[Level, ...]
  notes: tuple[str, ...]  # on text and parses, and on numbers that were left out


def checkpoint(
  run: str, step: int, rows: Iterable[dict], subject: Subject, found: Sequence[Counted]
) -> Checkpoint:
  """What is known of a checkpoint.

  Args:
    run: its name.
    step: the checkpoint's.
    rows: of the run's metrics.jsonl.
    subject: the run at that step.
    found: what the analyses of functions found of it.
  """
  rows, average = [row for row in rows if row["step"] == step], subject.run.config.eval.average
  recorded = _numbers(rows)
  own = _numbers(map(_of_its_model, rows)) if average > 1 else recorded
  notes = [note for part in found for note in part.notes]
  if own != recorded:
    notes.append(
      f"dev BLEU and the last dev loss of {run} are left out: with eval.average={average} they are "
      "of means of checkpoints, heads are of single ones"
    )
  levels = [level(one, subject.open_heads(one.type)) for part in found for one in part.evidence]
  levels.sort(key=lambda one: TYPES.index(one.type))
  return Checkpoint(run, step, *own, tuple(levels), tuple(notes))


def _numbers(rows: Iterable[dict]) -> tuple[float | None, float | None]:
  """Dev loss and dev BLEU of the rows of a step."""
  found = {name: x for row in rows for name, x in row.items()}
  return found.get("dev_loss"), found.get("dev_bleu")


def _of_its_model(row: dict) -> dict:
  """A row of a run that translates with means of checkpoints, without what is measured on them.

  So is the last dev loss, whose row is the one with BLEU that tells nothing of training.
  """
  last = "dev_bleu" in row and "objective" not in row
  left_out = ("dev_bleu", "dev_loss") if last else ("dev_bleu",)
  return {name: x for name, x in row.items() if name not in left_out}


def level(evidence: Evidence, open_NH: np.ndarray) -> Level:
  """How many open heads have a function, and how strong the strongest is, enough or not."""
  everything = evidence.everything
  share_RNH = evidence.shares(everything)[0]
  baseline_R = evidence.baselines(everything)[0]
  gain_RNH = share_RNH - baseline_R[:, None, None]
  gain_RNH = np.where(evidence.usable_R[:, None, None] & open_NH, gain_RNH, -np.inf)
  best = function = head = None
  if np.isfinite(gain_RNH).any():
    r, n, h = map(int, np.unravel_index(np.argmax(gain_RNH), gain_RNH.shape))
    best = evidence.strength(float(gain_RNH[r, n, h]))
    function, head = evidence.names[r], (n, h)
  return Level(
    type=evidence.type,
    kind=evidence.kind,
    heads=int(np.sum(evidence.passing(everything)[0].any(0) & open_NH)),
    open=int(open_NH.sum()),
    measure=evidence.measure if evidence.baseline_ER is None else GAIN,
    limit=evidence.strength(evidence.limit),
    best=best,
    function=function,
    head=head,
  )


def table(checkpoints: Sequence[Checkpoint]) -> str:
  """A run's checkpoints as text: heads with each kind of function, and the strongest's measure.

  Args:
    checkpoints: at least one; all with the same kinds.
  """
  levels = checkpoints[0].levels
  new = [i == 0 or one.type != levels[i - 1].type for i, one in enumerate(levels)]
  rows = [
    ["", "", "", *(one.type if first else "" for one, first in zip(levels, new))],
    ["step", "dev loss", "dev BLEU", *(one.kind for one in levels)],
  ]
  widest = max(len(_count(x)) for point in checkpoints for x in point.levels)
  for point in checkpoints:
    numbers = (None if x is None else f"{x:.2f}" for x in (point.dev_loss, point.dev_bleu))
    cells = (f"{_count(x):<{widest}} {amount(x.measure, x.best):>4}" for x in point.levels)
    rows.append([f"{point.step:,}", *(number or "-" for number in numbers), *cells])
  rows.append(["needed", "", "", *map(needed, levels)])
  return layout.aligned(rows, ">>><")


def _count(one: Level) -> str:
  return f"{one.heads}/{one.open}"


def amount(measure: str, value: float | None) -> str:
  """A measure as people read it: "45%", or points above the baseline, "+12"."""
  if value is None:
    return "-"
  points = round(100 * value)
  return (f"{points:+d}" if points else "0") if measure == GAIN else f"{value:.0%}"


def nearest(one: Level) -> str:
  """What the best head reaches where that is not enough: "best 68%, needed ≥ 90%"."""
  best, limit = amount(one.measure, one.best), amount(one.measure, one.limit)
  if best == limit:  # rounded
    best = f"{100 * one.best:+.1f}" if one.measure == GAIN else f"{one.best:.1%}"
  return f"best {best}, needed {needed(one)}"


def needed(one: Level) -> str:
  """What a head needs to have such a function: "≥ 90%"."""
  return f"{'≤' if one.measure == ERROR_RATE else '≥'} {amount(one.measure, one.limit)}"


def to_csv(checkpoints: Sequence[Checkpoint]) -> str:
  """A line for each kind at each checkpoint; heads are counted from 1.1."""
  own, rows = ("run", "step", "dev_loss", "dev_bleu"), []
  for point in checkpoints:
    for one in point.levels:
      cells = dataclasses.asdict(one) | {"head": one.head and tables.name_head(one.head)}
      rows.append([*(getattr(point, name) for name in own), *cells.values()])
  return layout.csv_text([*own, *(field.name for field in dataclasses.fields(Level))], rows)
