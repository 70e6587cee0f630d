"""What came out of a run: the content of summary.json, and the closing table."""

from collections.abc import Collection
import dataclasses
import math

from headprune.layout import duration
from headprune.runs import heads as heads_lib

KINDS = ("trained", "compact", "converted")
MEASURES = (  # field or property of a summary, what people call it, digits
  ("dev_bleu", "dev BLEU", 2),
  ("test_bleu", "test BLEU", 2),
  ("dev_chrf", "dev chrF", 2),
  ("test_chrf", "test chrF", 2),
  ("dev_loss", "dev loss", 4),
  ("dev_perplexity", "perplexity", 2),
)
FIELDS = tuple(field for field, _, _ in MEASURES)
OF_TRANSLATIONS = ("dev_bleu", "test_bleu", "dev_chrf", "test_chrf")


@dataclasses.dataclass(frozen=True)
class Summary:
  """Numbers of a finished run; None is not measured."""

  kind: str  # in KINDS: how the run came to be
  origin: str = ""  # compact: the workdir; converted: the file
  checkpoint: str = ""  # compact: which one of that workdir
  step: int = 0  # optimiser steps taken here
  mean_of: tuple[int, ...] = ()  # steps of the checkpoints in the mean that is measured; () unknown
  ends_at: tuple[int, int] = (0, 0)  # train.steps and train.patience that were fulfilled
  dev_loss: float | None = None  # cross-entropy, nats per target token
  dev_smoothed_loss: float | None = None  # KL divergence from smoothed labels, as training has it
  dev_bleu: float | None = None  # percent
  test_bleu: float | None = None  # percent
  dev_chrf: float | None = None  # percent
  test_chrf: float | None = None  # percent
  signature: str = "not measured"  # sacreBLEU's, of BLEU
  tokens_per_second: float = 0.0  # source + target, median over the run
  train_seconds: float = 0.0
  notes: tuple[str, ...] = ()  # what to know before building on it

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")

  @property
  def dev_perplexity(self) -> float | None:
    """exp(dev_loss)."""
    return None if self.dev_loss is None else perplexity(self.dev_loss)

  def to_json(self) -> dict:
    """As summary.json holds it."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, row: dict) -> "Summary":
    """Reads what `to_json` made."""
    names = {field.name for field in dataclasses.fields(cls)}
    known = {name: value for name, value in row.items() if name in names}
    lists = {name: tuple(known.get(name, ())) for name in ("mean_of", "notes")}
    done = cls(**known | lists | {"ends_at": tuple(known["ends_at"])})
    done._check()
    return done

  def _check(self) -> None:
    """Raises a TypeError that names the first field that a file gave another kind of value."""
    whole = [self.step, *self.ends_at]
    if len(whole) != 3 or any(type(x) is not int for x in whole):
      raise TypeError(f"step or ends_at is not of whole numbers: {whole}")
    if any(type(step) is not int for step in self.mean_of):
      raise TypeError(f"mean_of is not of whole numbers: {self.mean_of!r:.40}")
    if not all(isinstance(note, str) for note in self.notes):
      raise TypeError(f"notes are not all texts: {self.notes!r:.40}")
    for field in dataclasses.fields(self):
      value, usual = getattr(self, field.name), field.default
      if isinstance(usual, str) and not isinstance(value, str):
        raise TypeError(f"{field.name} is {value!r}, not a text")
      if usual is None or isinstance(usual, float):
        if value is not usual and (type(value) not in (int, float) or not abs(value) <= 1e300):
          raise TypeError(f"{field.name} is not a number: {value!r:.40}")


def table(
  summary: Summary, heads: dict, before: Summary | None, comparable: Collection[str] = FIELDS
) -> str:
  """The closing table: quality before and after, open heads, speed.

  Args:
    summary: of the run.
    heads: type -> layer -> test-time gates.
    before: the summary of the run it started from, if any.
    comparable: of FIELDS, in which the two runs compare.
  """
  rows, notes = [], list(summary.notes)
  same = before is not None and before.signature == summary.signature
  if before and comparable and not same and {before.dev_bleu, before.test_bleu} != {None}:
    notes.append(f"BLEU of the run it started from is another one, {before.signature}: left out")
  for field, name, digits in MEASURES:
    value, old = getattr(summary, field), getattr(before, field, None)
    if field not in comparable or (field in OF_TRANSLATIONS and not same):
      old = None
    if value is not None:
      first = "" if old is None else f"{old:>8.{digits}f} -> "
      unit = "   nats a token" if field == "dev_loss" else ""
      rows.append(f"  {name:<12}{first}{value:>8.{digits}f}{unit}")
  rows.append(f"  {'heads open':<12}{heads_lib.describe_open(heads)}")
  counts = heads_lib.count_open(heads)
  for name, layers in heads.items():
    shown = "  ".join(f"{n}/{len(row)}" for n, row in zip(counts[name], layers))
    rows.append(f"    {name:<10}{shown}   (layer 1 first)")
  rows.append(
    f"  {'speed':<12}{summary.tokens_per_second:,.0f} source + target tokens/s, "
    f"{summary.step:,} steps in {duration(summary.train_seconds)}"
  )
  rows.append(f"  {'BLEU':<12}{summary.signature}")
  rows += [f"  {'note':<12}{note}" for note in notes]
  return "\n".join(rows)


def perplexity(loss: float) -> float:
  """exp(loss), of nats per token; at most 1e300."""
  return math.exp(min(loss, 690.0))
