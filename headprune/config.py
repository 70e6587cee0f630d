"""Checks on a config, before anything is compiled, and what follows from it alone."""

import json
import math
import pathlib

from ml_collections import ConfigDict
import numpy as np

from headprune import gates
from headprune.errors import UserError
from headprune.layers import PRECISIONS, ModelConfig

GATE_KINDS = ("none", "concrete", "fixed")
_COUNTS = {
  "data": ("row_length", "packing_bins"),
  "model": ("layers", "model_size", "ff_size", "num_heads"),
  "train": (
    "steps",
    "batch_tokens",
    "accumulate",
    "log_every",
    "eval_every",
    "translate_every",
    "checkpoint_every",
    "keep",
  ),
  "eval": ("beams", "batch_sentences", "average"),
}
FREE_FIELDS = (  # what may change when a run goes on
  "train.steps",
  "train.patience",
  "train.log_every",
  "train.eval_every",
  "train.translate_every",
  "train.checkpoint_every",
  "train.keep",
  "pretrain",
)


def validate(config: ConfigDict) -> None:
  """Raises a UserError that names the first field whose value cannot work."""
  _choice(config, "gates.kind", GATE_KINDS)
  _choice(config, "model.precision", PRECISIONS)
  for name in config.gates.types:
    if name not in gates.TYPES:
      raise UserError(f"config.gates.types: {name!r} is not one of {', '.join(gates.TYPES)}")
    if config.gates.types.count(name) > 1:
      raise UserError(f"config.gates.types: {name!r} stands there twice")
  if config.gates.init != "glorot":
    _number(config.gates.init, "config.gates.init", "'glorot' or a number")
  for section, fields in _COUNTS.items():
    for field in fields:
      if config[section][field] < 1:
        raise UserError(f"config.{section}.{field}={config[section][field]} must be at least 1")
  if not 0 <= config.seed < 2**32:
    raise UserError(f"config.seed={config.seed} is not in 0 ... 4294967295")
  _probability(config.train.label_smoothing, "config.train.label_smoothing")
  if config.eval.average > config.train.keep:
    raise UserError(
      f"config.eval.average={config.eval.average} needs as many checkpoints: raise "
      f"config.train.keep={config.train.keep}"
    )
  if config.model.share_embeddings and not config.tokenizer.shared:
    raise UserError("config.model.share_embeddings needs config.tokenizer.shared=True")
  if config.gates.kind == "concrete" and not config.gates.types:
    raise UserError("config.gates.types is empty: name at least one of " + ", ".join(gates.TYPES))
  model = model_config(config.model, 3, 3)
  if config.gates.kind == "concrete" and not gates.num_modules(config.gates.types, model.heads):
    raise UserError(f"config.gates.types={config.gates.types}: no layer has heads of these types")
  if config.gates.kind == "fixed":
    fixed_gates(config.gates, model)


def model_config(config: ConfigDict, src_vocab: int, tgt_vocab: int) -> ModelConfig:
  """The model's sizes from the `model` section and the vocabularies' sizes."""
  if config.model_size % config.num_heads:
    raise UserError(
      f"config.model.num_heads={config.num_heads} does not divide "
      f"config.model.model_size={config.model_size}"
    )
  if config.model_size % 2 or config.model_size < 4:
    raise UserError(f"config.model.model_size={config.model_size} must be even and at least 4")
  heads = {}
  for name in gates.TYPES:
    given = tuple(config.heads[name]) or (config.num_heads,) * config.layers
    if len(given) != config.layers or not all(isinstance(h, int) and h >= 0 for h in given):
      raise UserError(
        f"config.model.heads.{name}={given}: give a number of heads for each of "
        f"config.model.layers={config.layers} layers"
      )
    heads[name] = given
  rates = {
    f"{n}_dropout": config[f"{n}_dropout"] for n in ("embed", "residual", "attention", "relu")
  }
  for field, rate in rates.items():
    _probability(rate, f"config.model.{field}")
  return ModelConfig(
    src_vocab=src_vocab,
    tgt_vocab=tgt_vocab,
    model_size=config.model_size,
    head_size=config.model_size // config.num_heads,
    ff_size=config.ff_size,
    share_embeddings=config.share_embeddings,
    precision=config.precision,
    **heads,
    **rates,
  )


def fixed_gates(config: ConfigDict, model: ModelConfig) -> dict[str, np.ndarray]:
  """Gates that are not learned: type -> gate_NH, ones unless the run's gates are fixed.

  Args:
    config: the `gates` section.
    model: sizes.
  Returns:
    float32 arrays [layers, model.max_heads]; columns past a layer's heads are 0.
  """
  result = {n: gates.present(heads, model.max_heads) for n, heads in model.heads.items()}
  if config.kind != "fixed":
    return result
  where, values = "config.gates.fixed", {n: config.fixed[n] for n in gates.TYPES}
  if config.fixed_from:
    where, values = _read_heads(pathlib.Path(config.fixed_from))
  for name, layers in values.items():
    if name not in result:
      raise UserError(f"{where}: {name!r} is not one of {', '.join(gates.TYPES)}")
    if layers:
      result[name] = _gate_array(layers, model.heads[name], model.max_heads, f"{where}.{name}")
  return result


def heads_as_lists(gate_values: dict, heads: dict) -> dict[str, list[list[float]]]:
  """Gate arrays as heads.json holds them: type -> layer -> a number for each head."""
  return {
    name: [
      [float(g) for g in np.asarray(gate_values[name])[n, :count]] for n, count in enumerate(c)
    ]
    for name, c in heads.items()
  }


def _gate_array(layers, heads: tuple[int, ...], width: int, where: str) -> np.ndarray:
  if not isinstance(layers, (list, tuple)) or len(layers) != len(heads):
    size = len(layers) if isinstance(layers, (list, tuple)) else "no list of"
    raise UserError(f"{where} has {size} layers; the model has {len(heads)}")
  gate_NH = np.zeros((len(heads), width), np.float32)
  for n, (row, count) in enumerate(zip(layers, heads)):
    if not isinstance(row, (list, tuple)) or len(row) != count:
      size = len(row) if isinstance(row, (list, tuple)) else "no list of"
      raise UserError(f"{where}, layer {n}: {size} gates; the layer has {count} heads")
    for value in row:
      _number(value, f"{where}, layer {n}", "a number for each head")
    gate_NH[n, :count] = row
  return gate_NH


def _read_heads(path: pathlib.Path) -> tuple[str, dict]:
  """(the file, its content) of a heads.json or of a workdir that holds one."""
  path = path / "heads.json" if path.is_dir() else path
  if not path.is_file():
    raise UserError(f"config.gates.fixed_from: {path} does not exist")
  try:
    values = json.loads(path.read_text())
  except ValueError as error:
    raise UserError(f"{path}: not JSON ({error})") from error
  if not isinstance(values, dict):
    raise UserError(f"{path}: expected attention type -> list of gates per layer")
  return str(path), values


def save(config: ConfigDict, path: pathlib.Path) -> None:
  """Writes the config as JSON, atomically; gates from another run's file are written out."""
  draft = path.with_suffix(".tmp")
  draft.write_text(json.dumps(_self_contained(config).to_dict(), indent=2) + "\n")
  draft.rename(path)


def _self_contained(config: ConfigDict) -> ConfigDict:
  """`config` with the gates of `fixed_from` as values, so that a run needs no other folder."""
  if config.gates.kind != "fixed" or not config.gates.fixed_from:
    return config
  _, values = _read_heads(pathlib.Path(config.gates.fixed_from))
  config = ConfigDict(config.to_dict())
  config.gates.fixed_from = ""
  config.gates.fixed.update({name: _tuple(values.get(name) or []) for name in gates.TYPES})
  return config.lock()


def load(workdir: pathlib.Path) -> ConfigDict:
  """The config of an existing run."""
  path = workdir / "config.json"
  if not path.is_file():
    raise UserError(f"{workdir}: not a run (there is no config.json)")
  try:
    fields = json.loads(path.read_text(), object_hook=_tuples)
  except ValueError as error:
    raise UserError(f"{path}: not JSON ({error}); restore the file") from error
  return ConfigDict(fields).lock()


def _tuples(node: dict) -> dict:
  """JSON knows no tuples; configs have no lists."""
  return {key: _tuple(value) for key, value in node.items()}


def _tuple(value):
  return tuple(map(_tuple, value)) if isinstance(value, list) else value


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Fields that keep a run from going on with another config, as "field: old -> new"."""
  old, new = flatten(old), flatten(_self_contained(new))
  rows = []
  for field in sorted(old.keys() | new.keys()):
    if not field.startswith(FREE_FIELDS) and old.get(field) != new.get(field):
      rows.append(f"{field}: {old.get(field)!r} -> {new.get(field)!r}")
  return rows


def flatten(config: ConfigDict) -> dict:
  """Dotted field -> value."""
  rows = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      rows.update({f"{key}.{k}": v for k, v in flatten(value).items()})
    else:
      rows[key] = _tuple(list(value)) if isinstance(value, (list, tuple)) else value
  return rows


def inherit_heads(config: ConfigDict, workdir: pathlib.Path) -> ConfigDict:
  """Takes the head counts that `config` leaves open from the run that it is made of, if it can.

  That is the workdir's own when it goes on, else that of `init_from`, or of `gates.fixed_from` for
  a structure that is trained from scratch. A run that goes on needs neither: its own config holds
  the fixed gates as well.
  """
  fixed_from = config.gates.fixed_from if config.gates.kind == "fixed" else ""
  runs = [workdir, *(pathlib.Path(name) for name in (config.init_from, fixed_from) if name)]
  run = next((run for run in runs if (run / "config.json").is_file()), None)
  if run is None:
    return config
  found = load(run)
  there = found.model
  result = ConfigDict(config.to_dict())
  for name, counts in result.model.heads.items():
    if not counts and there.layers == config.model.layers:
      result.model.heads[name] = there.heads[name]
  if run == workdir and fixed_from and not pathlib.Path(fixed_from).exists():
    result.gates.fixed_from, result.gates.fixed = "", found.gates.fixed
  return result.lock()


def pretraining(config: ConfigDict) -> ConfigDict:
  """The config of the baseline that `config` starts from: no gates, its own schedule."""
  baseline = ConfigDict(config.to_dict())
  baseline.init_from = ""
  baseline.gates.kind = "none"
  baseline.l0.coef = 0.0
  baseline.train = config.pretrain.train
  baseline.optim = config.pretrain.optim
  del baseline.pretrain
  return baseline.lock()


def _choice(config: ConfigDict, field: str, choices: tuple[str, ...]) -> None:
  section, name = field.split(".")
  if config[section][name] not in choices:
    raise UserError(f"config.{field}={config[section][name]!r}: choose one of {', '.join(choices)}")


def _number(value, where: str, expected: str) -> None:
  try:
    finite = math.isfinite(float(value))
  except (TypeError, ValueError):
    finite = False
  if not finite:
    raise UserError(f"{where}: {value!r} is not {expected}")


def _probability(value: float, where: str) -> None:
  if not 0.0 <= value < 1.0:
    raise UserError(f"{where}={value} is not a probability below 1")
