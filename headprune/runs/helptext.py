"""What `--help` says of configs: methods, presets, and every field with its value and comment."""

import inspect
import re

from ml_collections import ConfigDict

from headprune.runs import defaults, presets
from headprune.runs.derived import flatten

_FIELD = re.compile(r'^ *config\.([\w.]+)(?:\[f"\{split\}_(\w+)"\])? = .*?  # (.+)$', re.MULTILINE)
_NAME, _VALUE = 33, 12  # columns


def text(config: ConfigDict | None) -> str:
  """The whole text.

  Args:
    config: whose values to show, those that are not the default with a star; None for the defaults.
  """
  base, about = flatten(defaults.base()), comments()
  shown = base if config is None else flatten(config)
  of = "their defaults" if config is None else "the values of this config (*: not the default)"
  lines = ["Methods:", *_table(presets.METHODS), "", "Presets:"]
  lines += _table({name or "(none)": line for name, line in presets.ABOUT.items()})
  lines += ["", f"Fields, each changed by --config.FIELD=VALUE, with {of}:"]
  section = ""
  for name, value in shown.items():
    if name.split(".")[0] != section:
      section = name.split(".")[0]
      lines.append("")
    star = "*" if name in base and value != base[name] else " "
    known = about.get(name.removeprefix("pretrain."), "")
    lines.append(_row(f"{star} {name}", _plain(value), known))
  return "\n".join(lines)


def comments() -> dict[str, str]:
  """Field -> what its line in defaults.base() says; a section's comment is that of its fields."""
  found = {}
  for name, side, comment in _FIELD.findall(inspect.getsource(defaults.base)):
    splits = ("train", "dev", "test") if side else ("",)
    found |= {f"{name}.{split}_{side}" if side else name: comment for split in splits}
  fields = flatten(defaults.base())
  return {name: found.get(name) or found[name.rpartition(".")[0]] for name in fields}


def _table(rows: dict[str, str]) -> list[str]:
  return [f"  {name:<10} {line}" for name, line in rows.items()]


def _row(name: str, value: str, comment: str) -> str:
  return f"{name:<{_NAME}} {value:<{_VALUE}}  {comment}".rstrip()


def _plain(value) -> str:
  """As one types it behind a flag, numbers in six digits."""
  return f"{value:g}" if isinstance(value, float) else str(value) or '""'
