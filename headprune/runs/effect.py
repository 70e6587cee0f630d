"""Which fields have an effect in a config: those set in vain, those in which two configs differ."""

from collections.abc import Iterable, Mapping
import dataclasses
import os

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import defaults
from headprune.runs.config import load, origin, self_contained
from headprune.runs.derived import LEARNED, flatten, gates_init

RECORD_FIELDS = (  # of how a run is recorded, kept and spread; its model is the same
  "train.log_every",
  "train.eval_every",
  "train.translate_every",
  "train.checkpoint_every",
  "train.keep",
  "train.shard_params",
  "gates.chosen_for",  # for tables alone
  "pretrain",
)
_FREE_FIELDS = ("train.steps", "train.patience", *RECORD_FIELDS)  # may change when a run goes on


@dataclasses.dataclass(frozen=True)
class _Need:
  """What fields need of another one to have an effect."""

  fields: tuple[str, ...]  # names, or beginnings of names
  other: str
  values: tuple[str, ...] = ()  # that the other one must have; () is any but "" and 0
  alternative: str = ""  # a field that does as well as the other one

  def is_met(self, fields: Mapping[str, object]) -> bool:
    value = fields[self.other] or fields.get(self.alternative, "")
    return value in self.values or bool(value and not self.values)

  def advice(self, fields: Mapping[str, object]) -> str:
    """What to change where it is not met."""
    other = f"config.{self.other}"
    values = " or ".join(map(repr, self.values))
    either = f"{other} or config.{self.alternative}" if self.alternative else other
    wanted = f"have {other}={values}" if values else f"set {either}"
    return f"{other}={fields[self.other]!r}: leave it out, or {wanted}"


_NEEDS = (
  _Need(("data.text.",), "data.kind", ("text",)),
  _Need(("data.tfds.",), "data.kind", ("tfds",)),
  _Need(("data.corpus.",), "data.kind", ("corpus",)),
  _Need(("data.corpus.locale",), "data.corpus.kind", ("cldr",)),
  _Need(("gates.topk_",), "gates.kind", ("topk",)),
  _Need(("gates.fixed", "gates.chosen_"), "gates.kind", ("fixed",)),
  _Need(("gates.fixed.",), "gates.fixed_from", ("",)),
  _Need(("gates.types",), "gates.kind", (*LEARNED, "fixed")),
  _Need(("gates.init", "l0.", "optim.gates_factor"), "gates.kind", LEARNED),
  _Need(("l0.coef", "l0.per_head"), "l0.target_heads", ("",)),
  _Need(("l0.ramp", "l0.ascent", "l0.settled"), "l0.target_heads"),
  _Need(("l0.ramp", "l0.ascent"), "gates.kind", ("concrete",)),
  _Need(("mrt.",), "train.loss", ("mrt",)),
  _Need(("train.word_dropout_by",), "train.src_word_dropout", alternative="train.tgt_word_dropout"),
  _Need(("init_checkpoint", "train.distill"), "init_from"),
)


def check(config: ConfigDict, named: Iterable[str], instead: Mapping[str, str] = {}) -> None:
  """Raises a UserError for the first of some fields that was set in vain.

  Args:
    config: with all changes.
    named: dotted fields that a person changed; those that have their default again are fine.
    instead: fields, or beginnings of them, that the command gives values of its own -> the flag
      that says which; what needs one of these has an effect somewhere.
  """
  fields = flatten(config)
  for name in named:
    if name.startswith("pretrain.") and not instead:  # a sweep trains baselines of its own
      _check_pretrain(name, fields[name], config)
    if name not in defaults.FIELDS or fields[name] == defaults.FIELDS[name][0]:
      continue
    for field, flag in instead.items():
      if name.startswith(field):
        raise UserError(f"--config.{name} has no effect here: leave it out, {flag} says it")
    for need in _needs(name):
      if need.other not in instead and not need.is_met(fields):
        raise UserError(f"--config.{name} has no effect with {need.advice(fields)}")


def _check_pretrain(name: str, value, config: ConfigDict) -> None:
  """Raises a UserError if the baseline that a field is of is not trained, or was otherwise."""
  there = origin(config)
  if there is None:
    raise UserError(
      f"--config.{name} has no effect with config.init_from='': leave it out, or set "
      "config.init_from"
    )
  if not there.read_summary():
    return
  if flatten(load(there)).get(name.removeprefix("pretrain.")) != value:
    raise UserError(
      f"--config.{name} has no effect: config.init_from={config.init_from} is finished, with "
      "another value; leave it out, or name another config.init_from"
    )


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Fields that keep a run from going on with another config, as "field: old -> new".

  Those without an effect in either do not matter: another version may have other defaults.
  """
  old, new = _resolved(old), _resolved(new)
  rows = []
  for field in sorted(old.keys() | new.keys()):
    matters = _has_effect(field, old) or _has_effect(field, new)
    before, now = old.get(field), new.get(field)
    if matters and not field.startswith(_FREE_FIELDS) and not _same(field, before, now):
      rows.append(f"{field}: {before!r} -> {now!r}")
  return rows


def _same(field: str, before, now) -> bool:
  """Whether two values mean the same; a folder may be named in several ways."""
  folders = field == "data.text.dir" or field == "init_from" and before and now
  return os.path.abspath(before) == os.path.abspath(now) if folders else before == now


def effective(config: ConfigDict) -> dict:
  """Dotted field -> value, of the fields that have an effect."""
  fields = _resolved(config)
  return {name: value for name, value in fields.items() if _has_effect(name, fields)}


def _resolved(config: ConfigDict) -> dict:
  """Dotted field -> value, without references to other files and with what "" stands for."""
  return flatten(self_contained(config)) | {"gates.init": gates_init(config)}


def _has_effect(name: str, fields: Mapping[str, object]) -> bool:
  return all(need.is_met(fields) for need in _needs(name))


def _needs(name: str) -> list[_Need]:
  return [need for need in _NEEDS if name.startswith(need.fields)]
