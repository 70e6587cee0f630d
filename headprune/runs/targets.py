"""`l0.target_heads` as text: how many heads of which attention types to keep, and those."""

import math
import re

from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.nn import gates, topk
from headprune.nn.config import ModelConfig

_PART = re.compile(r"(?:([a-z_]+)\s+)?(\d+%?)(\s+a\s+layer)?")
_FORMS = '"16" or "33%" of all gated heads, "enc_self 2, dec_enc 10" of each type, "2 a layer"'


def parse(
  text: str, types: tuple[str, ...], model: ModelConfig, field: str = "l0.target_heads"
) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], np.ndarray]:
  """Groups of heads and how many of each to keep.

  Args:
    text: "16", "33%", "2 a layer", or such parts each with a type before it, with commas between.
    types: attention types with gates.
    model: whose heads they are.
    field: of the config that says so, for messages.
  Returns:
    (for each type (its name, the group of each of its layers), wanted_G float32). A layer without
    heads is in a group all the same.
  Raises:
    UserError: `text` has another form, leaves a gated type out, or wants more than there is.
  """
  parts = [_PART.fullmatch(part.strip()) for part in text.split(",")]
  if not all(parts):
    raise UserError(f"config.{field}={text!r}: give {_FORMS}")
  if parts[0][1] is None and len(parts) == 1:
    named = [(types, parts[0][2], bool(parts[0][3]))]
  else:
    named = [((part[1],), part[2], bool(part[3])) for part in parts]
  names = [name for some, _, _ in named for name in some]
  if sorted(map(str, names)) != sorted(types):
    raise UserError(
      f"config.{field}={text!r}: name each of config.gates.types once, {', '.join(types)}; "
      f"or give {_FORMS}"
    )
  groups, wanted = [], []
  for some, amount, a_layer in named:
    first = len(wanted)
    layers = [count for name in some for count in model.heads[name]]
    sizes = layers if a_layer else [sum(layers)]
    numbers = [_number(amount, size) for size in sizes]
    if max(numbers) > max(sizes):
      where = " in a layer" if a_layer else ""
      raise UserError(
        f"config.{field}={text!r}: {amount} of {max(sizes)} {', '.join(some)} heads{where}"
      )
    wanted += map(min, numbers, sizes)
    group = iter(range(first, len(wanted)))
    for name in some:
      groups.append((name, tuple(next(group) if a_layer else first for _ in model.heads[name])))
  return tuple(groups), np.array(wanted, np.float32)


def check_reads_source(text: str, types: tuple[str, ...], model: ModelConfig) -> None:
  """Raises a UserError if no head of cross-attention is to stay: the source would not be read.

  The arguments are those of `parse`.
  """
  groups, wanted_G = parse(text, types, model)
  numbers = sorted({number for name, own in groups if name == "dec_enc" for number in own})
  if any(model.heads["dec_enc"]) and numbers and not wanted_G[numbers].any():
    raise UserError(
      f"config.l0.target_heads={text!r} closes all heads of dec_enc, without which translations do "
      "not depend on their source: keep at least one"
    )


def as_tested(
  config: ConfigDict, model: ModelConfig, fixed_gates: dict, log_alphas: dict
) -> tuple[dict, dict]:
  """What a run is evaluated and used with: (log_alphas, gates), type -> [N, H] each.

  A top-K has as many open heads at any step, before its gates are settled too: the likeliest ones.

  Args:
    config: of the run.
    model: its sizes.
    fixed_gates: type -> gate_NH, of types without log_alpha and of heads that there are not.
    log_alphas: type -> log_alpha_NH, as learned.
  """
  if config.gates.kind == "topk":
    groups, wanted_G = parse(config.l0.target_heads, config.gates.types, model)
    log_alphas = topk.best(groups, wanted_G, log_alphas, model.heads)
  return log_alphas, gates.eval_gates(fixed_gates, log_alphas)


def _number(amount: str, size: int) -> int:
  """Heads of a group of `size` that "16" or "33%" stands for, the latter rounded up."""
  return math.ceil(int(amount[:-1]) * size / 100) if amount.endswith("%") else int(amount)
