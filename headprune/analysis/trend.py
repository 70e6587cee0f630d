"""When heads get their functions: how many have each kind at a checkpoint, how near the best is."""

from collections.abc import Sequence
import dataclasses

from headprune import layout
from headprune.analysis import tables
from headprune.analysis.evidence import Counted
from headprune.analysis.levels import Level, level, needed, reached
from headprune.analysis.subject import Subject
from headprune.nn.config import TYPES
from headprune.runs import metrics


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
  run: str, step: int, rows: Sequence[dict], subject: Subject, found: Sequence[Counted]
) -> Checkpoint:
  """What is known of a checkpoint.

  Args:
    run: its name.
    step: the checkpoint's.
    rows: of the run's metrics.jsonl.
    subject: the run at that step.
    found: what the analyses of functions found of it.
  """
  recorded = {name: x for row in rows if row["step"] == step for name, x in row.items()}
  average = subject.run.config.eval.average
  loss = metrics.dev_losses(rows, average).get(step)
  bleu = recorded.get("dev_bleu") if average == 1 else None
  notes = [note for part in found for note in part.notes]
  if (loss, bleu) != (recorded.get("dev_loss"), recorded.get("dev_bleu")):
    notes.append(
      f"dev BLEU and the last dev loss of {run} are left out: with eval.average={average} they are "
      "of means of checkpoints, heads are of single ones"
    )
  levels = [level(one, subject.open_heads(one.type)) for part in found for one in part.evidence]
  levels.sort(key=lambda one: TYPES.index(one.type))
  return Checkpoint(run, step, loss, bleu, tuple(levels), tuple(notes))


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
    cells = (f"{_count(x):<{widest}} {reached(x):>4}" for x in point.levels)
    rows.append([f"{point.step:,}", *(number or "-" for number in numbers), *cells])
  rows.append(["needed", "", "", *map(needed, levels)])
  return layout.aligned(rows, ">>><")


def _count(one: Level) -> str:
  return f"{one.heads}/{one.open}"


def to_csv(checkpoints: Sequence[Checkpoint]) -> str:
  """A line for each kind at each checkpoint; heads are counted from 1.1."""
  own, rows = ("run", "step", "dev_loss", "dev_bleu"), []
  for point in checkpoints:
    for one in point.levels:
      cells = dataclasses.asdict(one) | {"head": one.head and tables.name_head(one.head)}
      rows.append([*(getattr(point, name) for name in own), *cells.values()])
  return layout.csv_text([*own, *(field.name for field in dataclasses.fields(Level))], rows)
