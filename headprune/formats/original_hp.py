"""The original program's hyper-parameters: what they ask for, and the sizes that they tell."""

from collections.abc import Mapping
import pathlib
import re
import statistics
import sys

import numpy as np

from headprune.errors import UserError
from headprune.files import read_json
from headprune.formats.original_variables import layer_variables
from headprune.nn.config import ModelConfig

# Attention type -> (its name in hp, its layers' name in variables).
NAMES = {
  "enc_self": ("enc-self", "enc_attn"),
  "dec_self": ("dec-self", "dec_attn"),
  "dec_enc": ("dec-enc", "dec_enc_attn"),
}
# What this model computes; a field that hp leaves out is taken to be as in the released scripts.
REQUIRED = {
  "ffn_type": "conv_relu",
  "res_steps": "nlda",
  "rescale_emb": True,
  "inp_emb_bias": True,
  "normalize_out": True,
  "share_emb": False,
  "dwwt": False,
  "loss_bias": False,
  "loss_name": "loss_xent_lm",
  "multihead_attn_format": "v1",
  "dst_reverse": False,
  "dst_rand_offset": False,
  "force_bos": False,
  "attn_value_dropout": 0,
  "attn_beta": 0,
}
_NUMBERS = (int, float)  # exactly: to isinstance, true is a number as well
_SEARCH = {  # field -> its types, the least, the most, in words
  "beam_size": ((int,), 1, float("inf"), "a whole number above 0"),
  "beam_spread": (_NUMBERS, 0, float("inf"), "a number of at least 0"),
  "len_alpha": (_NUMBERS, -sys.float_info.max, sys.float_info.max, "a finite number"),
}
_LAYER_VARIABLE = re.compile(r"mod/(enc_attn|dec_attn|dec_enc_attn|enc_ffn|dec_ffn)-\d+/(?!gate/)")


def read(path) -> dict:
  """The content of a file of hyper-parameters, {} without one."""
  if path is None:
    return {}
  hp = read_json(pathlib.Path(path))
  if not isinstance(hp, dict):
    raise UserError(f"{path}: expected a JSON object of hyper-parameters")
  return hp


def check(hp: Mapping) -> None:
  """Raises a UserError for the first field whose value this model cannot have."""
  for field, value in REQUIRED.items():
    if hp.get(field, value) != value:
      raise UserError(f"hp.{field}={hp[field]!r}: only {value!r} can be converted")
  for field in ("num_layers_enc", "num_layers_dec"):
    if hp.get(field) and hp[field] != hp.get("num_layers", hp[field]):
      raise UserError(f"hp.{field}={hp[field]!r} must be hp.num_layers={hp['num_layers']!r}")
  for field in ("res_dropout", "attn_dropout", "relu_dropout", "label_smoothing"):
    if not (type(hp.get(field, 0)) in _NUMBERS and 0 <= hp.get(field, 0) < 1):
      raise UserError(f"hp.{field}={hp[field]!r} is not a probability below 1")
  for field, (kinds, least, most, wanted) in _SEARCH.items():
    if not (type(hp.get(field, 1)) in kinds and least <= hp.get(field, 1) <= most):
      raise UserError(f"hp.{field}={hp[field]!r} is not {wanted}")


def num_heads(config: ModelConfig) -> int:
  """That program's num_heads: the heads of a whole layer."""
  return config.model_size // config.enc_head_size


def fixed_gates(hp: Mapping, config: ModelConfig) -> dict[str, tuple]:
  """The constant gates of a fixed-gate model.

  Args:
    hp: see `from_npz`.
    config: what `from_npz` returned.
  Returns:
    type -> gate of each layer and head, for the types that hp gives; {} if there are none.
  Raises:
    UserError: not a number from 0 to 1 for each layer and head.
  """
  alive = hp.get("alive_heads") or {}
  if not isinstance(alive, Mapping):
    raise UserError("hp.alive_heads must map attention types to a list of gates for each layer")
  _check_types(alive, "alive_heads")
  result = {}
  for name, (key, _) in NAMES.items():
    if key in alive:
      try:
        gate_NH = np.array(alive[key], np.float32)
      except (TypeError, ValueError):
        gate_NH = np.zeros(0)
      expected = (config.enc_layers, num_heads(config))
      if gate_NH.shape != expected or not ((0 <= gate_NH) & (gate_NH <= 1)).all():
        raise UserError(
          f"hp.alive_heads[{key!r}] must be {expected[0]} lists (layers) of {expected[1]} numbers "
          "from 0 to 1"
        )
      result[name] = tuple(tuple(row) for row in gate_NH.tolist())
  return result


def gated_types(arrays: Mapping, hp: Mapping) -> list[str]:
  """Types with trained gates: those that the file has; hp must list the same."""
  listed = hp.get("concrete_heads") or ()
  _check_types(listed, "concrete_heads")
  gated = []
  for name, (key, layer) in NAMES.items():
    found = [a for a in arrays if re.fullmatch(rf"mod/{layer}-\d+/gate/log_a:0", a)]
    if found and hp and key not in listed:
      raise UserError(f"variable {found[0]} is superfluous: hp.concrete_heads has no {key!r}")
    if found or key in listed:
      gated.append(name)
  if gated and hp.get("alive_heads"):
    raise UserError("hp has both concrete_heads and alive_heads: only one of them can be converted")
  return gated


def sizes(arrays: Mapping, hp: Mapping) -> ModelConfig:
  """Sizes as most variables have them, so that the odd one out is named; checked against hp."""
  if "mod/emb_inp/mat:0" not in arrays and not any(map(_LAYER_VARIABLE.match, arrays)):
    raise UserError("no variable is called mod/...: this is not a model of the original program")
  size, ff_size = (_size(arrays, suffix) for suffix in ("layer_norm/scale:0", "/conv1/b:0"))
  one = ModelConfig(1, 1, 1, (1,), (1,), (1,), 1, 1, 1, 1)
  per_layer = len(layer_variables(one, 0))
  counts = _head_counts(hp)
  if counts and _most_common(arrays, "/gate/log_a:0", 1):
    raise UserError("hp.heads is of a compact model, which has no gates")
  named = sum(map(bool, map(_LAYER_VARIABLE.match, arrays)))
  found = {
    "num_layers": len(counts["enc_self"]) if counts else round(named / per_layer),
    "hid_size": size,
    "emb_size": size,
    "key_size": size,
    "value_size": size,
    "ff_size": ff_size,
    "num_heads": _most_common(arrays, "/gate/log_a:0", 1),
  }
  for field, value in found.items():
    given = hp.get(field)
    if given and value and given != value:
      raise UserError(f"hp.{field}={given!r}, but the variables have {value}")
  heads, layers = found["num_heads"] or hp.get("num_heads"), found["num_layers"]
  if not heads:
    raise UserError("no gates tell the number of heads: give --hp with num_heads")
  if type(heads) is not int or heads < 1 or size % heads:
    raise UserError(f"{heads!r} heads do not divide the {size} channels")
  return ModelConfig(
    src_vocab=_array(arrays, "mod/emb_inp/mat:0").shape[0],
    tgt_vocab=_array(arrays, "mod/emb_out/mat:0").shape[0],
    model_size=size,
    enc_head_size=size // heads,
    dec_head_size=size // heads,
    enc_ff_size=ff_size,
    dec_ff_size=ff_size,
    embed_dropout=hp.get("res_dropout", 0.1),
    residual_dropout=hp.get("res_dropout", 0.1),
    attention_dropout=hp.get("attn_dropout", 0.1),
    activation_dropout=hp.get("relu_dropout", 0.1),
    **(counts or {name: (heads,) * layers for name in NAMES}),
  )


def _check_types(keys, field: str) -> None:
  known = [key for key, _ in NAMES.values()]
  for key in keys if isinstance(keys, list | tuple | Mapping) else [keys]:
    if key not in known:
      raise UserError(f"hp.{field}: {key!r} is not one of {', '.join(known)}")


def _head_counts(hp: Mapping) -> dict[str, tuple[int, ...]] | None:
  """Heads of each layer of a compact model, None for others."""
  if "heads" not in hp:
    return None
  try:
    counts = {name: tuple(hp["heads"][key]) for name, (key, _) in NAMES.items()}
  except (KeyError, TypeError):
    counts = {}
  lengths = {len(heads) for heads in counts.values()}
  plausible = all(type(n) is int and n >= 0 for heads in counts.values() for n in heads)
  if len(lengths) != 1 or lengths == {0} or not plausible:
    raise UserError("hp.heads must be lists of head counts for enc-self, dec-self and dec-enc")
  return counts


def _size(arrays: Mapping, suffix: str) -> int:
  """`_most_common` of vectors that every model has."""
  found = _most_common(arrays, suffix, 0)
  if not found:
    raise UserError(f"no variable is called mod/...{suffix}: the file has not the whole model")
  return found


def _most_common(arrays: Mapping, suffix: str, axis: int) -> int | None:
  """The size that most variables with this end of a name have along an axis."""
  found = [a.shape[axis] for name, a in arrays.items() if name.endswith(suffix) and a.ndim > axis]
  return statistics.mode(found) if found else None


def _array(arrays: Mapping, name: str) -> np.ndarray:
  """A matrix that sizes are read from."""
  if name not in arrays:
    raise UserError(f"variable {name} is missing")
  if arrays[name].ndim != 2:
    raise UserError(f"variable {name} has shape {arrays[name].shape}, expected a matrix")
  return arrays[name]
