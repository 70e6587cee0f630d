"""Gates as files hold them: attention type -> layer -> a number for each head."""

import math

import numpy as np

from headprune.errors import UserError
from headprune.nn.config import TYPES, ModelConfig

Layers = list[list[float]]  # layer -> a number for each head
Lists = dict[str, Layers]  # attention type -> layer -> a number for each head


def as_lists(values: dict, heads: dict) -> Lists:
  """Arrays [N, H] as lists that hold a number for each head that there is.

  Args:
    values: attention type -> array.
    heads: attention type -> heads of each layer; types that `values` lacks are left out.
  """
  return {
    name: [
      [float(x) for x in np.asarray(values[name])[n, :count]] for n, count in enumerate(counts)
    ]
    for name, counts in heads.items()
    if name in values
  }


def checked(lists) -> Lists:
  """`lists`, or a ValueError if it is not attention type -> layer -> numbers."""
  layers = list(lists.values()) if isinstance(lists, dict) else [None]
  if not all(isinstance(rows, list) and all(map(_is_row, rows)) for rows in layers):
    raise ValueError("not attention type -> layer -> a number for each head")
  return lists


def _is_row(row) -> bool:
  return isinstance(row, list) and all(type(x) in (int, float) and is_number(x) for x in row)


def as_arrays(lists: dict, config: ModelConfig, where: str) -> dict[str, np.ndarray]:
  """The other way: type -> gate_NH, for the types that `lists` gives.

  Args:
    lists: what a file or a config holds.
    config: the model, whose head counts the lists must have; columns past a layer's heads are 0.
    where: names the lists in messages.
  Raises:
    UserError: what is wrong in which layer, counted from 1.
  """
  result = {}
  for name, layers in lists.items():
    if name not in TYPES:
      raise UserError(f"{where}: {name!r} is not one of {', '.join(TYPES)}")
    if layers:
      result[name] = _array(layers, config, name, f"{where}.{name}")
  return result


def _array(layers, config: ModelConfig, name: str, where: str) -> np.ndarray:
  counts = config.heads[name]
  if not isinstance(layers, (list, tuple)) or len(layers) != len(counts):
    size = len(layers) if isinstance(layers, (list, tuple)) else "no list of"
    raise UserError(f"{where} has {size} layers; the model has {len(counts)}")
  gate_NH = np.zeros(config.gate_shapes[name], np.float32)
  for n, (row, count) in enumerate(zip(layers, counts)):
    if not isinstance(row, (list, tuple)) or len(row) != count:
      size = len(row) if isinstance(row, (list, tuple)) else "no list of"
      raise UserError(f"{where}, layer {n + 1}: {size} gates; the layer has {count} heads")
    for value in row:
      if not (is_number(value) and 0 <= float(value) <= 1):
        raise UserError(f"{where}, layer {n + 1}: {value!r} is not a number from 0 to 1")
    gate_NH[n, :count] = row
  return gate_NH


def is_number(value) -> bool:
  """Whether `value` is, or spells, a finite number."""
  try:
    return math.isfinite(float(value))
  except (OverflowError, TypeError, ValueError):
    return False


def count_open(heads: dict) -> dict[str, list[int]]:
  """Heads whose test-time gate is above 0: type -> a number for each layer."""
  return {name: [sum(g > 0 for g in row) for row in layers] for name, layers in heads.items()}


def describe_open(heads: dict) -> str:
  """How many of the heads have a test-time gate above 0: "3 of 8"."""
  gates = [gate for layers in heads.values() for row in layers for gate in row]
  return f"{sum(gate > 0 for gate in gates)} of {len(gates)}"
