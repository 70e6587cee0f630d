"""Finished runs as rows: what chose their heads, how many are left, and how good they are."""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses
import os
import pathlib
import sys

from ml_collections import ConfigDict

from headprune.curve.points import BASELINE, CONTROL, LEARNED, ONEPASS, SCRATCH, TRUNK
from headprune.errors import UserError
from headprune.files import damaged
from headprune.layout import csv_text, duration
from headprune.nn.config import TYPES, ModelConfig
from headprune.runs import config as config_lib
from headprune.runs import derived, effect, metrics, targets
from headprune.runs import heads as heads_lib
from headprune.runs.heads import Lists
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import sources

MRT = "mrt"
UNPRUNED = (BASELINE, CONTROL, MRT)
SPLITS = ("dev", "test")
COLUMNS = (
  "method", "tuned", "types", "seed", "wanted", "coef", "open", *TYPES,
  "dev_bleu", "test_bleu", "dev_chrf", "test_chrf", "dev_loss", "seconds", "run",
)  # fmt: skip

_COPIES = {"compact": "was cut out of", "converted": "was converted from"}  # kinds of summaries

_AMOUNTS = ("l0.target_heads", "l0.coef", "l0.per_head")  # what a table's lines are of

PValues = dict[tuple[str, bool], float]  # (folder, whether tuned) -> p, see significance


@dataclasses.dataclass(frozen=True)
class Row:
  """A finished run, or one whose heads were chosen and that was not yet trained on."""

  method: str  # one of UNPRUNED, of LEARNED, SCRATCH, or what chose the fixed gates
  tuned: bool  # trained after its heads were chosen, or while they were
  types: tuple[str, ...]  # attention types that may lose heads
  seed: int
  wanted: int | None  # heads of these types that were to stay; None if no number was given
  coef: float | None  # cost of heads, l0.coef, of gates that learned without such a number
  heads: Lists  # attention type -> layer -> test-time gates
  dev_bleu: float | None  # percent
  test_bleu: float | None  # percent
  dev_chrf: float | None  # percent
  test_chrf: float | None  # percent
  dev_loss: float | None  # nats per target token
  seconds: float  # of training here; for "onepass", the trunk's come on top once for all heads
  step: int  # whose translations are its own
  run: str  # the folder
  init_from: str  # what it was before it was pruned, "" if it was trained from scratch
  init_checkpoint: str = "last"  # which one of that
  setting: tuple = ()  # what runs share that differ in their seed alone
  steps: int = 0  # of the whole way from init_from, a trunk's and its fork's together
  loss: str = ""  # train.loss
  measured: tuple = ()  # what BLEU is of: text, sacreBLEU's settings
  size: tuple[int, ...] = ()  # layers, heads of each, ff in encoder and decoder; D; cut or not
  form: str = ""  # "by type" or "by layer" if each of them had a number of heads that were to stay
  variant: str = ""  # the fields in which others that are else called the same have other values

  @property
  def counts(self) -> dict[str, list[int]]:
    """Open heads: attention type -> a number for each layer."""
    return heads_lib.count_open(self.heads)

  @property
  def open(self) -> int:
    """Open heads of the types that may lose some."""
    return sum(sum(self.counts[name]) for name in self.types)

  @property
  def label(self) -> str:
    """The method, and what is unusual about it: "gradient, by layer, untuned"."""
    form = self.form if self.coef is None else "by cost"
    parts = self.method, form, self.variant, "" if self.tuned else "untuned"
    return ", ".join(filter(None, parts))

  def bleu(self, split: str) -> float | None:
    """BLEU on "dev" or "test", percent."""
    return self.test_bleu if split == "test" else self.dev_bleu


def rows(workdirs: Iterable[pathlib.Path | str]) -> list[Row]:
  """The rows of all finished runs among some folders; a note on stderr names what is left out.

  Raises:
    UserError: a folder is not there, or a file of a finished run is damaged.
  """
  found, paths = [], {}
  for path in workdirs:
    paths.setdefault(os.path.abspath(path), pathlib.Path(path))
  for path in paths.values():
    workdir = Workdir(path)
    if path.is_file():
      continue
    summary = _summary(workdir)
    if isinstance(summary, str):
      print(f"note: {path} {summary}: left out", file=sys.stderr)
    else:
      found += _of_run(workdir, summary)
  begun = [row for row in found if row.init_from]
  starts, pruned_from = (
    {os.path.abspath(row.init_from) for row in some}
    for some in (begun, [row for row in begun if row.method not in UNPRUNED])
  )
  return _told_apart([_named(row, starts, pruned_from) for row in found])


def _named(row: Row, starts: set[str], pruned_from: set[str]) -> Row:
  """A model without gates that others start from is their baseline, however it was trained.

  Unless pruned runs have the start that it had: it stays their control.
  """
  begins = row.method in UNPRUNED and os.path.abspath(row.run) in starts
  compared = row.init_from and os.path.abspath(row.init_from) in pruned_from
  return dataclasses.replace(row, method=BASELINE) if begins and not compared else row


def _told_apart(rows: Sequence[Row]) -> list[Row]:
  """Rows whose labels say what they differ in, besides seed and number of heads.

  Sizes, attention types and texts have tables of their own.
  """
  alike = {}
  for row in rows:
    alike.setdefault((row.label, row.types, row.size, row.measured), []).append(row)
  variants = {}
  for some in alike.values():
    differing = _differing([row.setting for row in some])
    for row in some:
      own = [f"{name} {value}" for name, value in row.setting if name in differing]
      variants[row.run, row.tuned] = ", ".join(own)
  return [dataclasses.replace(row, variant=variants[row.run, row.tuned]) for row in rows]


def _differing(settings: Sequence[tuple]) -> set[str]:
  """The fields, other than how many heads are to stay, that all have, not all with one value."""
  fields = list(map(dict, settings))
  names = set.intersection(*map(set, fields)).difference(_AMOUNTS)
  return {name for name in names if any(own[name] != fields[0][name] for own in fields)}


def _summary(workdir: Workdir) -> Summary | str:
  """The summary of a run that was trained there, or why the folder gives no row."""
  if not workdir.path.exists():
    raise UserError(f"{workdir.path}: no such folder")
  if not workdir.is_run():
    return "is not a run, or has not begun (there is no config.json)"
  summary = workdir.read_summary()
  if summary is None:
    return "is not finished"
  if summary.kind != "trained":
    return f"{_COPIES[summary.kind]} {summary.origin or 'another model'}, not trained"
  if config_lib.load(workdir).gates.chosen_by == TRUNK:
    seconds = duration(summary.train_seconds)
    return f"is a trunk, whose {seconds} of training serve all onepass runs of its seed together"
  return summary


def _of_run(workdir: Workdir, summary: Summary) -> Iterator[Row]:
  config = config_lib.load(workdir)
  model = derived.model_config(config.model)
  heads = workdir.read_heads()
  if heads.keys() != model.heads.keys():
    raise damaged(workdir.heads, ValueError(f"its types are not {', '.join(TYPES)}"))
  heads_lib.as_arrays(heads, model, str(workdir.heads))
  trunk = _trunk(workdir, config)
  begun = trunk or config
  row = Row(
    method=method(config),
    tuned=True,
    types=_in_order(config.gates.types),
    seed=config.seed,
    wanted=_wanted(config, model),
    coef=_coef(config, model),
    heads=heads,
    dev_bleu=summary.dev_bleu,
    test_bleu=summary.test_bleu,
    dev_chrf=summary.dev_chrf,
    test_chrf=summary.test_chrf,
    dev_loss=summary.dev_loss,
    seconds=summary.train_seconds,
    step=summary.step,
    run=str(workdir.path),
    init_from=begun.init_from,
    init_checkpoint=begun.init_checkpoint,
    setting=(*_setting(config, model), *_start_setting(workdir, begun)),
    steps=config.train.steps + (trunk.train.steps if trunk else 0),
    loss=config.train.loss,
    measured=_measured(config),
    size=_size(config.model),
    form=_form(_target(config, model)[0]),
  )
  fixed = config.gates.kind == "fixed"
  row = dataclasses.replace(row, wanted=row.open) if fixed else row
  if fixed and config.init_from:
    yield from _untuned(workdir, row)
  yield row


def _in_order(types: Sequence[str]) -> tuple[str, ...]:
  """Attention types in the order of TYPES, whichever a config has."""
  return tuple(name for name in TYPES if name in types)


def method(config: ConfigDict) -> str:
  """What a run is in tables, by its config."""
  gates = config.gates
  if gates.kind == "none":
    trained_on = MRT if config.train.loss == "mrt" else CONTROL
    return trained_on if config.init_from else BASELINE
  if gates.kind == "fixed":
    return gates.chosen_by or "fixed" if config.init_from else SCRATCH
  return next(name for name, kind in LEARNED.items() if kind == gates.kind)


def _wanted(config: ConfigDict, model: ModelConfig) -> int | None:
  _, wanted = _target(config, model)
  return sum(wanted) if wanted else None


def _coef(config: ConfigDict, model: ModelConfig) -> float | None:
  by_cost = derived.gated_types(config) and not config.l0.target_heads
  return float(derived.coefficient(config, model)) if by_cost else None


def _target(config: ConfigDict, model: ModelConfig) -> tuple[tuple, tuple[int, ...]]:
  """Groups of heads and how many of each were to stay, see targets.parse; empty if nobody said."""
  text = config.gates.chosen_for if config.gates.kind == "fixed" else config.l0.target_heads
  if not text:
    return (), ()
  groups, wanted_G = targets.parse(text, config.gates.types, model)
  return groups, tuple(map(int, wanted_G))


def _form(groups: tuple) -> str:
  """As Row.form; `groups` from `_target`."""
  numbers = [set(group_of_layer) for _, group_of_layer in groups]
  if any(len(some) > 1 for some in numbers):
    return "by layer"
  return "by type" if len(set().union(*numbers)) > 1 else ""


def _trunk(workdir: Workdir, config: ConfigDict) -> ConfigDict | None:
  """The config of the trunk that a fork left, if that is there; None for all other runs."""
  return _start(workdir, config) if config.gates.chosen_by == ONEPASS else None


def _start(workdir: Workdir, config: ConfigDict) -> ConfigDict | None:
  """The config of what a run started from, if that is there.

  It is looked for beside the run as well: a sweep's folder may have been moved.
  """
  if not config.init_from:
    return None
  named = pathlib.Path(config.init_from)
  places = map(Workdir, (named, workdir.path.absolute().with_name(named.name)))
  return next((config_lib.load(there) for there in places if there.is_run()), None)


def _start_setting(workdir: Workdir, config: ConfigDict) -> Iterator[tuple]:
  """What belongs to a run's setting of where it started: runs whose baselines differ in more than
  their seed, too, are no seeds of one setting.
  """
  if config.init_from:
    yield "init_checkpoint", config.init_checkpoint
  if start := _start(workdir, config):
    for name, value in _setting(start, derived.model_config(start.model)):
      yield f"init_from.{name}", value


def _setting(config: ConfigDict, model: ModelConfig) -> tuple:
  """All fields that count, but those in which the runs of one setting may differ."""
  own = ("seed", "init_from", "init_checkpoint", "gates.fixed", "l0.target_heads")
  left_out = (*own, *effect.RECORD_FIELDS)
  fields = {k: v for k, v in effect.effective(config).items() if not k.startswith(left_out)}
  groups, wanted = _target(config, model)
  if "data.text.dir" in fields:  # of which there are several names
    fields["data.text.dir"] = os.path.abspath(fields["data.text.dir"])
  if "gates.types" in fields:
    fields["gates.types"] = _in_order(fields["gates.types"])
  if _form(groups):  # else it is Row.wanted: "12" and "25%" may be the same
    fields["l0.target_heads"] = groups, wanted
  return tuple(sorted(fields.items()))


def _size(model: ConfigDict) -> tuple[int, ...]:
  """As Row.size; `model` is that section of the config."""
  encoder = model.layers, model.num_heads, model.ff_size
  decoder = model.dec_layers, model.dec_num_heads, model.dec_ff_size  # 0 is as in the encoder
  return *encoder, *(own or same for own, same in zip(decoder, encoder)), model.model_size


def _measured(config: ConfigDict) -> tuple:
  """As Row.measured."""
  fields = sources.held_out(config.data) | {
    name: config.eval[name] for name in ("tokenize", "lowercase")
  }
  return tuple(sorted(fields.items()))


def _untuned(workdir: Workdir, row: Row) -> Iterator[Row]:
  """What a run was before its first step, if that was measured."""
  for first in metrics.read(workdir)[:1]:
    if first["step"] == 0 and "dev_bleu" in first:
      names = ("dev_bleu", "test_bleu", "dev_chrf", "test_chrf", "dev_loss")
      numbers = {name: first.get(name) for name in names}
      yield dataclasses.replace(row, tuned=False, seconds=0.0, step=0, **numbers)


def names(rows: Sequence[Row]) -> dict[str, str]:
  """Folder -> a short name: the path below the folder that all runs lie in."""
  parents = {row.run: os.path.dirname(os.path.abspath(row.run)) for row in rows}
  top = os.path.commonpath(parents.values()) if parents else ""
  return {run: pathlib.Path(os.path.relpath(run, top)).as_posix() for run in parents}


def to_csv(rows: Sequence[Row], p_values: PValues | None = None) -> str:
  """The rows as CSV.

  Args:
    rows: from `rows`.
    p_values: from significance.p_values; they make one more column.
  """
  columns = COLUMNS if p_values is None else (*COLUMNS, "p")
  cells = (_cells(row) | {"p": (p_values or {}).get((row.run, row.tuned))} for row in rows)
  return csv_text(columns, ([_rounded(own[name], name) for name in columns] for own in cells))


def _cells(row: Row) -> dict:
  """A row by the names in COLUMNS."""
  own = {name: getattr(row, name) for name in COLUMNS if name not in TYPES}
  own |= {name: sum(counts) for name, counts in row.counts.items()}
  return own | {"tuned": str(row.tuned).lower(), "types": "+".join(row.types)}


def _rounded(value, name: str):
  """A cell of a column; a price, which may be small, has all its digits."""
  return round(value, 4) if isinstance(value, float) and name != "coef" else value
