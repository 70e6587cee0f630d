"""Checkpoints of the original TensorFlow program (Voita et al. 2019), from and to parameters.

Its variables are the same matrices in other shapes: heads and fused projections lie side by side in
one axis, head h in columns [hK, (h+1)K). So a conversion is a table of names and reshapes. Compact
models have narrower ones; hp.heads, which that program does not know, counts their heads.
"""

from collections.abc import Mapping
import re
import statistics
from typing import NamedTuple

from flax import traverse_util
import numpy as np

from headprune.errors import UserError
from headprune.model import ModelConfig

# Attention type -> (its name in hp, its layers' name in variables).
TYPES = {
  "enc_self": ("enc-self", "enc_attn"),
  "dec_self": ("dec-self", "dec_attn"),
  "dec_enc": ("dec-enc", "dec_enc_attn"),
}
# What this model computes; a field that hp leaves out is taken to be as in the released scripts.
_REQUIRED = {
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
_LAYER_VARIABLE = re.compile(r"mod/(enc_attn|dec_attn|dec_enc_attn|enc_ffn|dec_ffn)-\d+/(?!gate/)")


class _Variable(NamedTuple):
  """One array of the file and its place in the parameter tree."""

  name: str
  shape: tuple[int, ...]
  path: str
  new_shape: tuple[int, ...]


def from_npz(arrays: Mapping[str, np.ndarray], hp: Mapping | None) -> tuple[ModelConfig, dict]:
  """Converts a checkpoint's variables.

  Args:
    arrays: variable name -> array, as in `model-*.npz`.
    hp: the program's hyper-parameters, as far as known; None for what the released scripts set.
      Needed for the number of heads where no attention type has trained gates.
  Returns:
    (sizes and dropout rates, {"model": ..., "gates": type -> log_alpha_NH}), float32.
  Raises:
    UserError: a variable is missing, superfluous or mis-shaped, hp contradicts the file, or hp asks
      for what this model does not compute.
  """
  hp = hp or {}
  _check_hp(hp)
  gated = _gated_types(arrays, hp)
  config = _sizes(arrays, hp)
  variables = _variables(config)
  log_alphas = {
    name: [f"mod/{TYPES[name][1]}-{n}/gate/log_a:0" for n in range(config.layers)] for name in gated
  }
  heads = config.max_heads
  shapes = {v.name: v.shape for v in variables}
  shapes |= {name: (1, heads, 1, 1) for names in log_alphas.values() for name in names}
  _check_arrays(arrays, shapes)
  model = {}
  for v in variables:
    *parents, leaf = v.path.split("/")
    node = model
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = np.asarray(arrays[v.name], np.float32).reshape(v.new_shape)
  gates = {
    name: np.stack([np.asarray(arrays[n], np.float32).reshape(heads) for n in names])
    for name, names in log_alphas.items()
  }
  return config, {"model": model, "gates": gates}


def to_npz(config: ModelConfig, params: dict) -> tuple[dict[str, np.ndarray], dict]:
  """The other way: variables and hyper-parameters of a run's parameters.

  Args:
    config: sizes.
    params: {"model": ..., "gates": type -> log_alpha_NH}. Of shared embeddings, all three matrices
      are written.
  Returns:
    (variable name -> float32 array, hp); from_npz gives the same model back.
  """
  model = dict(params["model"])
  if config.share_embeddings:
    shared = model.pop("shared_embed")
    model |= {"src_embed": shared, "tgt_embed": shared, "logits_kernel": shared.T}
  flat = traverse_util.flatten_dict(model, sep="/")
  arrays = {
    v.name: np.asarray(flat[v.path], np.float32).reshape(v.shape) for v in _variables(config)
  }
  for name, log_alpha_NH in params["gates"].items():
    for n, log_alpha_H in enumerate(log_alpha_NH):
      row = np.asarray(log_alpha_H, np.float32).reshape(1, -1, 1, 1)
      arrays[f"mod/{TYPES[name][1]}-{n}/gate/log_a:0"] = row
  size = config.model_size
  hp = {field: value for field, value in _REQUIRED.items() if not field.startswith("dst_")}
  hp |= {"num_layers": config.layers, "num_heads": size // config.head_size}
  hp |= {"hid_size": size, "emb_size": size, "ff_size": config.ff_size}
  hp |= {"res_dropout": config.residual_dropout, "attn_dropout": config.attention_dropout}
  hp["relu_dropout"] = config.relu_dropout
  if params["gates"]:
    hp["concrete_heads"] = [TYPES[name][0] for name in params["gates"]]
  if any(count != hp["num_heads"] for heads in config.heads.values() for count in heads):
    hp["heads"] = {TYPES[name][0]: list(heads) for name, heads in config.heads.items()}
  return arrays, hp


def fixed_gates(hp: Mapping | None, config: ModelConfig) -> dict[str, tuple]:
  """The constant gates of a fixed-gate model.

  Args:
    hp: see `from_npz`.
    config: what `from_npz` returned.
  Returns:
    type -> gate of each layer and head, for the types that hp gives; {} if there are none.
  Raises:
    UserError: not a number for each layer and head.
  """
  alive = (hp or {}).get("alive_heads") or {}
  if not isinstance(alive, Mapping):
    raise UserError("hp.alive_heads must map attention types to a list of gates for each layer")
  _check_types(alive, "alive_heads")
  result = {}
  for name, (key, _) in TYPES.items():
    if key in alive:
      try:
        gate_NH = np.array(alive[key], np.float32)
      except (TypeError, ValueError):
        gate_NH = np.zeros(0)
      expected = (config.layers, config.max_heads)
      if gate_NH.shape != expected:
        raise UserError(
          f"hp.alive_heads[{key!r}] must be {expected[0]} lists (layers) of {expected[1]} numbers"
        )
      result[name] = tuple(tuple(row) for row in gate_NH.tolist())
  return result


def _check_hp(hp: Mapping) -> None:
  """Raises a UserError for the first field whose value this model cannot have."""
  for field, value in _REQUIRED.items():
    if hp.get(field, value) != value:
      raise UserError(f"hp.{field}={hp[field]!r}: only {value!r} can be converted")
  for field in ("num_layers_enc", "num_layers_dec"):
    if hp.get(field) and hp[field] != hp.get("num_layers", hp[field]):
      raise UserError(f"hp.{field}={hp[field]!r} must be hp.num_layers={hp['num_layers']!r}")
  for field in ("res_dropout", "attn_dropout", "relu_dropout", "label_smoothing"):
    if not (isinstance(hp.get(field, 0), int | float) and 0 <= hp.get(field, 0) < 1):
      raise UserError(f"hp.{field}={hp[field]!r} is not a probability below 1")
  for field in ("beam_size", "beam_spread", "len_alpha"):
    if not isinstance(hp.get(field, 1), int if field == "beam_size" else int | float):
      raise UserError(f"hp.{field}={hp[field]!r} is not a number")


def _check_types(keys, field: str) -> None:
  known = [key for key, _ in TYPES.values()]
  for key in keys if isinstance(keys, list | tuple | Mapping) else [keys]:
    if key not in known:
      raise UserError(f"hp.{field}: {key!r} is not one of {', '.join(known)}")


def _gated_types(arrays: Mapping, hp: Mapping) -> list[str]:
  """Types with trained gates: those that the file has; hp must list the same."""
  listed = hp.get("concrete_heads") or ()
  _check_types(listed, "concrete_heads")
  gated = []
  for name, (key, layer) in TYPES.items():
    found = [a for a in arrays if re.fullmatch(rf"mod/{layer}-\d+/gate/log_a:0", a)]
    if found and hp and key not in listed:
      raise UserError(f"variable {found[0]} is superfluous: hp.concrete_heads has no {key!r}")
    if found or key in listed:
      gated.append(name)
  if gated and hp.get("alive_heads"):
    raise UserError("hp has both concrete_heads and alive_heads: only one of them can be converted")
  return gated


def _sizes(arrays: Mapping, hp: Mapping) -> ModelConfig:
  """Sizes as most variables have them, so that the odd one out is named; checked against hp."""
  if "mod/emb_inp/mat:0" not in arrays and not any(map(_LAYER_VARIABLE.match, arrays)):
    raise UserError("no variable is called mod/...: this is not a model of the original program")
  size = _most_common(arrays, "layer_norm/scale:0", 0)
  per_layer = len(_layer_variables(ModelConfig(1, 1, 1, 1, 1, (1,), (1,), (1,)), 0))
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
    "ff_size": _most_common(arrays, "/conv1/b:0", 0),
    "num_heads": _most_common(arrays, "/gate/log_a:0", 1),
  }
  for field, value in found.items():
    given = hp.get(field)
    if given and value and given != value:
      raise UserError(f"hp.{field}={given!r}, but the variables have {value}")
  heads, layers = found["num_heads"] or hp.get("num_heads"), found["num_layers"]
  if not heads:
    raise UserError("no gates tell the number of heads: give --hp with num_heads")
  if not isinstance(heads, int) or heads < 1 or size % heads:
    raise UserError(f"{heads!r} heads do not divide the {size} channels")
  return ModelConfig(
    src_vocab=_array(arrays, "mod/emb_inp/mat:0").shape[0],
    tgt_vocab=_array(arrays, "mod/emb_out/mat:0").shape[0],
    model_size=size,
    head_size=size // heads,
    ff_size=found["ff_size"],
    embed_dropout=hp.get("res_dropout", 0.1),
    residual_dropout=hp.get("res_dropout", 0.1),
    attention_dropout=hp.get("attn_dropout", 0.1),
    relu_dropout=hp.get("relu_dropout", 0.1),
    **(counts or {name: (heads,) * layers for name in TYPES}),
  )


def _head_counts(hp: Mapping) -> dict[str, tuple[int, ...]] | None:
  """Heads of each layer of a compact model, None for others."""
  if "heads" not in hp:
    return None
  try:
    counts = {name: tuple(map(int, hp["heads"][key])) for name, (key, _) in TYPES.items()}
  except (KeyError, TypeError, ValueError):
    counts = {}
  lengths = {len(heads) for heads in counts.values()}
  if len(lengths) != 1 or lengths == {0} or min(map(min, counts.values())) < 0:
    raise UserError("hp.heads must be lists of head counts for enc-self, dec-self and dec-enc")
  return counts


def _most_common(arrays: Mapping, suffix: str, axis: int) -> int | None:
  """The size that most variables with this end of a name have along an axis."""
  found = [a.shape[axis] for name, a in arrays.items() if name.endswith(suffix) and a.ndim > axis]
  return statistics.mode(found) if found else None


def _variables(c: ModelConfig) -> list[_Variable]:
  """All variables but the gates."""
  size, source, target = c.model_size, c.src_vocab, c.tgt_vocab
  rows = [
    _Variable("mod/emb_inp/mat:0", (source, size), "src_embed", (source, size)),
    _Variable("mod/emb_inp_bias:0", (1, 1, size), "src_bias", (size,)),
    _Variable("mod/emb_out/mat:0", (target, size), "tgt_embed", (target, size)),
    _Variable("loss_xent_lm/logits/W:0", (size, target), "logits_kernel", (size, target)),
    *_norm("mod/enc_out_norm", "enc_norm", size),
    *_norm("mod/dec_out_norm", "dec_norm", size),
  ]
  for n in range(c.layers):
    rows += _layer_variables(c, n)
  return rows


def _layer_variables(c: ModelConfig, n: int) -> list[_Variable]:
  """Encoder and decoder layer `n`."""
  encoder, decoder, size, hidden = f"encoder_{n}", f"decoder_{n}", c.model_size, c.ff_size
  attention = lambda name, path, heads, cross: _attention(
    f"mod/{name}-{n}", path, size, (heads[n], c.head_size), cross
  )
  return [
    *attention("enc_attn", f"{encoder}/self_attention", c.enc_self, cross=False),
    *_norm(f"mod/enc_attn-{n}/layer_norm", f"{encoder}/self_norm", size),
    *_feed_forward(f"mod/enc_ffn-{n}", f"{encoder}/ffn", size, hidden),
    *attention("dec_attn", f"{decoder}/self_attention", c.dec_self, cross=False),
    *_norm(f"mod/dec_attn-{n}/layer_norm", f"{decoder}/self_norm", size),
    *attention("dec_enc_attn", f"{decoder}/cross_attention", c.dec_enc, cross=True),
    *_norm(f"mod/dec_enc_attn-{n}/layer_norm", f"{decoder}/cross_norm", size),
    *_feed_forward(f"mod/dec_ffn-{n}", f"{decoder}/ffn", size, hidden),
  ]


def _attention(name: str, path: str, size: int, split: tuple[int, int], cross: bool):
  """One attention; `split` is its heads and their size."""
  rows = [_Variable(f"{name}/out_conv/b:0", (size,), f"{path}/out_bias", (size,))]
  if split[0] == 0:
    return rows
  fused, kernel = (2, "kv") if cross else (3, "qkv")
  width = split[0] * split[1]
  memory, query = f"{name}/mem_conv", f"{name}/query_conv"
  rows += [
    _Variable(
      f"{memory}/W:0", (size, fused * width), f"{path}/{kernel}_kernel", (size, fused, *split)
    ),
    _Variable(f"{memory}/b:0", (fused * width,), f"{path}/{kernel}_bias", (fused, *split)),
    _Variable(f"{name}/out_conv/W:0", (width, size), f"{path}/out_kernel", (*split, size)),
  ]
  if cross:
    rows += [
      _Variable(f"{query}/W:0", (size, width), f"{path}/q_kernel", (size, *split)),
      _Variable(f"{query}/b:0", (width,), f"{path}/q_bias", split),
    ]
  return rows


def _feed_forward(name: str, path: str, size: int, hidden: int) -> list[_Variable]:
  return [
    _Variable(f"{name}/conv1/W:0", (size, hidden), f"{path}/in_kernel", (size, hidden)),
    _Variable(f"{name}/conv1/b:0", (hidden,), f"{path}/in_bias", (hidden,)),
    _Variable(f"{name}/conv2/W:0", (hidden, size), f"{path}/out_kernel", (hidden, size)),
    _Variable(f"{name}/conv2/b:0", (size,), f"{path}/out_bias", (size,)),
    *_norm(f"{name}/layer_norm", path.replace("/ffn", "/ffn_norm"), size),
  ]


def _norm(name: str, path: str, size: int) -> list[_Variable]:
  return [
    _Variable(f"{name}/scale:0", (size,), f"{path}/scale", (size,)),
    _Variable(f"{name}/bias:0", (size,), f"{path}/bias", (size,)),
  ]


def _array(arrays: Mapping, name: str) -> np.ndarray:
  """A matrix that sizes are read from."""
  if name not in arrays:
    raise UserError(f"variable {name} is missing")
  if arrays[name].ndim != 2:
    raise UserError(f"variable {name} has shape {arrays[name].shape}, expected a matrix")
  return arrays[name]


def _check_arrays(arrays: Mapping, shapes: Mapping) -> None:
  """Raises a UserError for the first variable that should not be as it is."""
  for name, shape in shapes.items():
    if name not in arrays:
      raise UserError(f"variable {name} is missing")
    array = arrays[name]
    if array.shape != shape:
      raise UserError(f"variable {name} has shape {array.shape}, expected {shape}")
    if not np.issubdtype(array.dtype, np.floating):
      raise UserError(f"variable {name} has type {array.dtype}, expected float32")
  superfluous = sorted(arrays.keys() - shapes.keys())
  if superfluous:
    raise UserError(
      f"variable {superfluous[0]} is superfluous ({len(superfluous)} in all): the model has no "
      "place for it"
    )
