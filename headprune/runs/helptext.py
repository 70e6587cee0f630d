"""What `--help` says of configs: methods, presets, and every field with its value and meaning."""

import itertools

from ml_collections import ConfigDict

from headprune.runs import defaults, presets
from headprune.runs.derived import flatten


def text(config: ConfigDict | None) -> str:
  """The whole text.

  Args:
    config: whose values to show, those that are not the default with a star; None for the defaults.
  """
  shown = flatten(defaults.base() if config is None else config)
  of = "their defaults" if config is None else "the values of this config (*: not the default)"
  lines = ["Methods:", *_table(presets.METHODS), "", "Presets:"]
  lines += _table({name or "(none)": line for name, line in presets.ABOUT.items()})
  lines += ["", f"Fields, each changed by --config.FIELD=VALUE, with {of}:"]
  names = [*defaults.FIELDS, *(name for name in shown if name not in defaults.FIELDS)]
  section = lambda name: name.rpartition(".")[0].partition(".")[0]
  for _, group in itertools.groupby(names, section):
    lines += ["", *(_row(name, shown[name]) for name in group)]
  return "\n".join(lines)


def _table(rows: dict[str, str]) -> list[str]:
  return [f"  {name:<10} {line}" for name, line in rows.items()]


def _row(name: str, value) -> str:
  default, about = defaults.FIELDS.get(name.removeprefix("pretrain."), ("", ""))
  star = "*" if name in defaults.FIELDS and value != default else " "
  return f"{star} {name:<31} {_plain(value):<12}  {about}".rstrip()


def _plain(value) -> str:
  """As one types it behind a flag, numbers in six digits."""
  return f"{value:g}" if isinstance(value, float) else str(value) or '""'
