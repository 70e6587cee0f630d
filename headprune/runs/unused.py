"""Fields that a person sets in vain: what they are for is not what the config asks for."""

from collections.abc import Iterable, Mapping
import dataclasses

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import defaults
from headprune.runs.config import LEARNED, flatten


@dataclasses.dataclass(frozen=True)
class _Need:
  """What fields need of another one to have an effect."""

  fields: tuple[str, ...]  # names, or beginnings of names
  other: str
  values: tuple[str, ...] = ()  # that the other one must have; () is any but ""


_NEEDS = (
  _Need(("data.text.",), "data.kind", ("text",)),
  _Need(("data.tfds.",), "data.kind", ("tfds",)),
  _Need(("data.corpus.",), "data.kind", ("corpus",)),
  _Need(("data.corpus.locale",), "data.corpus.kind", ("cldr",)),
  _Need(("gates.topk_",), "gates.kind", ("topk",)),
  _Need(("gates.fixed", "gates.chosen_by"), "gates.kind", ("fixed",)),
  _Need(("gates.fixed.",), "gates.fixed_from", ("",)),
  _Need(("gates.init", "l0.", "optim.gates_factor"), "gates.kind", LEARNED),
  _Need(("l0.coef", "l0.per_head"), "l0.target_heads", ("",)),
  _Need(("l0.ramp", "l0.ascent", "l0.settled"), "l0.target_heads"),
  _Need(("l0.ramp", "l0.ascent"), "gates.kind", ("concrete",)),
  _Need(("mrt.",), "train.loss", ("mrt",)),
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
  fields, base = flatten(config), flatten(defaults.base())
  for name in named:
    if name not in base or fields[name] == base[name]:
      continue
    for field, flag in instead.items():
      if name.startswith(field):
        raise UserError(f"--config.{name} has no effect here: leave it out, {flag} says it")
    for need in _NEEDS:
      if name.startswith(need.fields) and need.other not in instead:
        _check_need(name, need, fields[need.other])


def _check_need(name: str, need: _Need, value: str) -> None:
  if value in need.values or (value and not need.values):
    return
  other = f"config.{need.other}"
  wanted = f"have {other}={' or '.join(map(repr, need.values))}" if need.values else f"set {other}"
  raise UserError(
    f"--config.{name} has no effect with {other}={value!r}: leave it out, or {wanted}"
  )
