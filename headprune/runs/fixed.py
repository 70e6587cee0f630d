"""The gates of a fixed run in the file that `gates.fixed_from` names."""

import difflib
import pathlib

from headprune.errors import UserError
from headprune.files import read_json
from headprune.nn.config import TYPES
from headprune.runs.workdir import Workdir


def _named(source: str) -> tuple[pathlib.Path, str]:
  """(a file or workdir, "" or the name of a structure in it)."""
  path, name = source, ""
  if not pathlib.Path(source).exists():
    path, _, name = source.partition("#")
  return pathlib.Path(path), name


def exists(source: str) -> bool:
  """Whether there is something to read."""
  try:
    read(source)
  except UserError:
    return False
  return True


def read(source: str) -> tuple[dict, str]:
  """The content of a heads.json, of a workdir's, or of a structure in a file, as FILE#NAME.

  Returns:
    (attention type -> gates per layer, not checked; what names them in messages).
  Raises:
    UserError: there is no such file, or no such structure in it, or several and no name.
  """
  path, name = _named(source)
  path = Workdir(path).heads if path.is_dir() else path
  if not path.is_file():
    raise UserError(f"config.gates.fixed_from: {path} does not exist")
  values, where = read_json(path), str(path)
  if name:
    known = list(values) if isinstance(values, dict) else []
    if name not in known:
      near = ", ".join(difflib.get_close_matches(name, known, cutoff=0.0)) or "nothing"
      raise UserError(f"config.gates.fixed_from: {path} has no {name!r}; near it is {near}")
    values, where = values[name], f"{path}#{name}"
  elif _are_named(values):
    raise UserError(
      f"config.gates.fixed_from={source}: name one of its structures, as {path}#NAME: "
      + ", ".join(values)
    )
  if not isinstance(values, dict):
    raise UserError(f"{where}: expected attention type -> list of gates per layer")
  return values, where


def _are_named(values) -> bool:
  """Whether the content of a file is name -> structure, not itself a structure."""
  several = isinstance(values, dict) and values and not values.keys() & set(TYPES)
  return several and all(isinstance(value, dict) for value in values.values())
