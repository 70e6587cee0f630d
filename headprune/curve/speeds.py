"""What heads cost in time: compact models of a curve translate by turns, beside arithmetic."""

from collections.abc import Sequence
import dataclasses
import pathlib

from headprune.bench import deployed
from headprune.curve.points import BASELINE, CONTROL
from headprune.curve.rows import Row
from headprune.errors import UserError
from headprune.nn import cost
from headprune.prune.cut import cut
from headprune.runs.run import load

SENTENCES, BATCH, REPEATS = 300, 100, 6
_SEARCH = (
  "eval.beams", "eval.alpha", "eval.spread", "model.precision", "model.attention_precision",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Speed:
  """How fast a compact model translates, over the model with all heads."""

  run: str
  open: int  # heads
  sentences: float  # a second, median
  gain: float  # median ratio of turns
  low: float
  high: float
  arithmetic: float  # what the removed operations alone would give


def measure(rows: Sequence[Row]) -> list[Speed]:
  """Speeds of one seed's pruned models, one for each number of open heads, and of its unpruned one.

  Args:
    rows: from rows.rows, whose folders hold checkpoints.
  Raises:
    UserError: there is no unpruned run among them, or a folder holds no checkpoint.
  """
  unpruned = [row for method in (CONTROL, BASELINE) for row in rows if row.method == method]
  if not unpruned:
    raise UserError("--speed compares with a baseline or a control: name one of them as well")
  compared = ((dense, _pruned(dense, rows)) for dense in unpruned)
  dense, others = next((pair for pair in compared if pair[1]), (None, ()))
  if dense is None:
    raise UserError(
      "--speed: no pruned run has the seed, size, text, beams and precision of "
      f"{unpruned[0].run}, or of another control or baseline"
    )
  runs = [load(pathlib.Path(row.run)) for row in (dense, *others)]
  small = [dataclasses.replace(run, translator=cut(run.translator)) for run in runs]
  found = deployed.measure(small, (), BATCH, SENTENCES, REPEATS)
  lines, _ = deployed.test_text(runs[0], SENTENCES)
  words = sum(map(len, runs[0].src_tokenizer.encode(lines))) / len(lines)
  flops = [
    cost.pair_flops(run.translator.config, words, words, run.config.eval.beams) for run in small
  ]
  return [
    Speed(row.run, _open(row), one["median"], *one["ratio"], arithmetic=flops[0] / own)
    for row, one, own in zip((dense, *others), found, flops)
  ]


def _pruned(dense: Row, rows: Sequence[Row]) -> list[Row]:
  """Of the rows that compare with `dense`, one for each smaller number of heads, most first."""
  alike = [row for row in rows if row.tuned and _comparable(row) == _comparable(dense)]
  pruned = {_open(row): row for row in alike}
  return [pruned[n] for n in sorted(pruned, reverse=True) if n < _open(dense)]


def _comparable(row: Row) -> tuple:
  """What is alike in models that heads alone make faster or slower."""
  search = [(name, value) for name, value in row.setting if name in _SEARCH]
  return row.seed, row.size, row.measured, search


def _open(row: Row) -> int:
  """Open heads of all types: runs that may lose heads of other types stand side by side."""
  return sum(map(sum, row.counts.values()))


def table(speeds: Sequence[Speed]) -> str:
  """The speeds as Markdown."""
  lines = [
    f"Translation of {SENTENCES} sentences at most of the test set (of the dev set where there is "
    f"none), in batches of {BATCH}, by compact models that take turns (median, least and most of "
    "the turns' ratios):",
    "",
    "| heads | sentences/s | gain | by arithmetic |",
    "| --- | --- | --- | --- |",
  ]
  for one in speeds:
    gain = f"{one.gain:.2f} ({one.low:.2f} - {one.high:.2f})"
    lines.append(f"| {one.open} | {one.sentences:,.0f} | {gain} | {one.arithmetic:.2f} |")
  return "\n".join(lines) + "\n"
