"""Runs that differ in their seed alone: means, spread, distance to the control."""

import collections
from collections.abc import Iterable, Sequence
import dataclasses
import os
import statistics

from headprune.curve.points import CONTROL, LEARNED, METHODS
from headprune.curve.rows import MRT, SPLITS, UNPRUNED, Row
from headprune.nn.config import TYPES

_ORDER = (*UNPRUNED, *METHODS)  # of methods; others come behind


@dataclasses.dataclass(frozen=True)
class Spread:
  """What several seeds give."""

  mean: float
  deviation: float | None  # standard deviation of the sample; None of a single number
  n: int


def spread(values: Iterable[float | None]) -> Spread | None:
  """Mean and deviation of those that are not None; None if there is none."""
  found = [value for value in values if value is not None]
  if not found:
    return None
  deviation = statistics.stdev(found) if len(found) > 1 else None
  return Spread(statistics.fmean(found), deviation, len(found))


@dataclasses.dataclass(frozen=True)
class Setting:
  """A method and a number of heads, or a cost of heads: a run for each seed."""

  rows: tuple[Row, ...]
  bleu: dict[str, Spread | None]  # split -> percent
  change: dict[str, Spread | None]  # split -> less the control of the same seed

  @property
  def method(self) -> str:
    return self.rows[0].method

  @property
  def tuned(self) -> bool:
    return self.rows[0].tuned

  @property
  def label(self) -> str:
    return self.rows[0].label

  @property
  def types(self) -> tuple[str, ...]:
    return self.rows[0].types

  @property
  def size(self) -> tuple[int, ...]:
    return self.rows[0].size

  @property
  def kept(self) -> int:
    """The heads wanted; where no number was, the mean of the open ones, rounded."""
    wanted = self.rows[0].wanted
    return round(statistics.fmean(row.open for row in self.rows)) if wanted is None else wanted

  @property
  def open(self) -> tuple[int, int]:
    """The fewest and the most open heads."""
    counts = [row.open for row in self.rows]
    return min(counts), max(counts)

  @property
  def layers(self) -> dict[str, list[float]]:
    """Mean open heads: attention type -> a number for each layer."""
    return {
      name: [statistics.fmean(counts) for counts in zip(*(row.counts[name] for row in self.rows))]
      for name in TYPES
    }

  @property
  def by_type(self) -> dict[str, float]:
    """Mean open heads of each attention type."""
    return {name: sum(counts) for name, counts in self.layers.items()}


def aggregate(rows: Sequence[Row]) -> list[Setting]:
  """The settings of all rows: those of a method stand together, most heads first.

  Two runs of one seed are never of one setting: "8" and "50%" may be as many heads.
  """
  found, times = {}, collections.Counter()
  for row in rows:
    key = row.method, row.tuned, row.types, row.wanted, row.coef, row.setting
    times[key, row.seed] += 1
    found.setdefault((*key, times[key, row.seed]), []).append(row)
  settings = [_setting(some, rows) for some in found.values()]
  return sorted(settings, key=lambda p: (*_order(p), p.types, -p.kept))


def _order(setting: Setting) -> tuple:
  first = _ORDER.index(setting.method) if setting.method in _ORDER else len(_ORDER)
  return first, setting.method, not setting.tuned, setting.label


def _setting(some: Sequence[Row], rows: Sequence[Row]) -> Setting:
  change = {}
  for split in SPLITS:
    pairs = [(row.bleu(split), control_bleu(row, rows, split)) for row in some]
    change[split] = spread(own - other for own, other in pairs if None not in (own, other))
  bleu = {split: spread(row.bleu(split) for row in some) for split in SPLITS}
  return Setting(tuple(some), bleu, change)


def control_bleu(row: Row, rows: Sequence[Row], split: str) -> float | None:
  """BLEU of the row's control, if there is one."""
  control = control_of(row, rows)
  return control.bleu(split) if control else None


def control_of(row: Row, rows: Sequence[Row]) -> Row | None:
  """The control of the row's seed: trained on as it was, from the same checkpoint and for as long.

  Its BLEU is of the same text, by the same settings of sacreBLEU.

  A row that was not pruned has none. One that was trained from scratch, which started nowhere,
  takes that of its seed if there is one start and one number of steps. Of several it is the one
  whose config is most like the row's, in its attention types first.
  """
  if row.method in UNPRUNED:
    return None
  own = lambda r: (r.seed, r.loss, r.measured)
  alike = [r for r in rows if own(r) == own(row)]
  controls = [r for r in alike if r.method in (CONTROL, MRT)]
  if row.init_from or len(set(map(_course, controls))) > 1:
    controls = [r for r in controls if _course(r) == _course(row)]
  unlike = lambda r: (r.types != row.types, len(set(r.setting) ^ set(row.setting)))
  return min(controls, key=unlike, default=None)


def _course(row: Row) -> tuple[str, str, int]:
  """Where a run started ("" if it was trained from scratch), and for how many steps."""
  return row.init_from and os.path.abspath(row.init_from), row.init_checkpoint, row.steps


@dataclasses.dataclass(frozen=True)
class Group:
  """One table or curve: models of one size that may lose heads of the same attention types, with
  BLEU of one text.
  """

  types: tuple[str, ...]
  text: str  # what tells that text from other groups'; "" if all have the same
  total: int  # heads of these types
  split: str  # whose BLEU counts, see `common_split`
  settings: tuple[Setting, ...]  # of pruned runs
  unpruned: tuple[Setting, ...]  # of runs whose method is in UNPRUNED

  @property
  def lines(self) -> dict[str, list[Setting]]:
    """Label of each method -> its settings, most heads first."""
    found = {}
    for setting in self.settings:
      found.setdefault(setting.label, []).append(setting)
    return found


def groups(rows: Sequence[Row]) -> list[Group]:
  """All rows by attention types, most first, size, and the text that BLEU is of.

  Runs that were not pruned belong to every group of their size and text.
  """
  split, settings = common_split(rows), aggregate(rows)
  kind = lambda setting: (setting.size, _text(setting.rows[0], split))
  pruned = [setting for setting in settings if setting.method not in UNPRUNED]
  kinds = set(map(kind, pruned))
  alone = [setting for setting in settings if kind(setting) not in kinds]
  every = dict.fromkeys((setting.types, *kind(setting)) for setting in (*pruned, *alone))
  common = set.intersection(*(set(text) for _, _, text in every))
  return [
    _group(
      types,
      ", ".join(f"{name} {value}" for name, value in text if (name, value) not in common),
      split,
      [setting for setting in settings if kind(setting) == (size, text)],
    )
    for types, size, text in sorted(every, key=lambda key: (-len(key[0]), *key[:2]))
  ]


def _text(row: Row, split: str) -> tuple:
  """As Row.measured, without the files of the other split."""
  other = "dev_" if split == "test" else "test_"
  return tuple((name, value) for name, value in row.measured if not name.startswith(other))


def _group(types: tuple[str, ...], text: str, split: str, settings: Sequence[Setting]) -> Group:
  of_types = [setting for setting in settings if setting.types == types]
  pruned = [setting for setting in of_types if setting.method not in UNPRUNED]
  unpruned = []
  for method in UNPRUNED:
    found = [setting for setting in of_types if setting.method == method]
    unpruned += found or [setting for setting in settings if setting.method == method]
  members = [row for setting in (*pruned, *unpruned) for row in setting.rows]
  total = max(sum(len(layer) for name in types for layer in row.heads[name]) for row in members)
  return Group(types, text, total, split, tuple(pruned), tuple(unpruned))


def common_split(rows: Sequence[Row]) -> str:
  """The split whose BLEU all rows have, "test" if it can be."""
  return "dev" if any(row.test_bleu is None for row in rows) else "test"


def hits(rows: Sequence[Row]) -> tuple[int, int]:
  """Of the runs that learned which heads to keep: (those with the number wanted, all)."""
  learned = [row for row in rows if row.wanted is not None and row.method in LEARNED]
  return sum(row.open == row.wanted for row in learned), len(learned)
