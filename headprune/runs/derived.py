"""What follows from a config alone: its fields by name, sizes, gates, steps."""

import dataclasses

from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.nn import gates
from headprune.nn.config import TYPES, ModelConfig, attention_precision
from headprune.runs import fixed, heads

LEARNED = ("concrete", "topk")  # kinds of gates that have a log_alpha

_OPEN = "2.0"  # of log_alpha: P(open) is 0.94


def flatten(config: ConfigDict) -> dict:
  """Dotted field -> value."""
  rows = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      rows.update({f"{key}.{k}": v for k, v in flatten(value).items()})
    else:
      rows[key] = as_tuple(value)
  return rows


def as_tuple(value):
  """`value` with tuples for lists, at any depth."""
  return tuple(map(as_tuple, value)) if isinstance(value, (list, tuple)) else value


def model_config(
  config: ConfigDict, tokenizers: tuple | None = None, platform: str = "cpu"
) -> ModelConfig:
  """The model's sizes from the `model` section and the vocabularies.

  Args:
    config: the `model` section.
    tokenizers: (source, target); None for a model whose vocabularies do not matter yet.
    platform: what the model will run on, such as "cpu" or "gpu".
  Raises:
    UserError: which field does not fit the others.
  """
  c = config
  layers = {"enc": c.layers, "dec": c.dec_layers or c.layers}
  num_heads = {"enc": c.num_heads, "dec": c.dec_num_heads or c.num_heads}
  for field, count in (("num_heads", c.num_heads), ("dec_num_heads", num_heads["dec"])):
    if c.model_size % count:
      raise UserError(
        f"config.model.{field}={count} does not divide config.model.model_size={c.model_size}"
      )
  if c.model_size % 2 or c.model_size < 4:
    raise UserError(f"config.model.model_size={c.model_size} must be even and at least 4")
  vocabularies = [tokenizer.vocab_size for tokenizer in tokenizers] if tokenizers else (3, 3)
  if not -1 <= c.decoder_start < vocabularies[1] and tokenizers:
    raise UserError(f"config.model.decoder_start={c.decoder_start}: no id of the vocabulary")
  same = {field.name: c[field.name] for field in dataclasses.fields(ModelConfig) if field.name in c}
  computed = {
    "src_vocab": vocabularies[0],
    "tgt_vocab": vocabularies[1],
    "enc_head_size": c.model_size // num_heads["enc"],
    "dec_head_size": c.model_size // num_heads["dec"],
    "enc_ff_size": c.ff_size,
    "dec_ff_size": c.dec_ff_size or c.ff_size,
    "decoder_start": None if c.decoder_start < 0 else c.decoder_start,
    "attention_precision": c.attention_precision or attention_precision(c.precision, platform),
    **({"eos": tokenizers[1].eos, "pad": tokenizers[1].pad} if tokenizers else {}),
    **{name: _head_counts(c, name, layers[name[:3]], num_heads[name[:3]]) for name in TYPES},
  }
  return ModelConfig(**(same | computed))


def _head_counts(config: ConfigDict, name: str, layers: int, num_heads: int) -> tuple[int, ...]:
  counts = tuple(config.heads[name]) or (num_heads,) * layers
  if len(counts) != layers or not all(isinstance(h, int) and h >= 0 for h in counts):
    raise UserError(
      f"config.model.heads.{name}={counts}: give a number of heads for each of its {layers} layers "
      "(config.model.layers, config.model.dec_layers)"
    )
  return counts


def fixed_gates(config: ConfigDict, model: ModelConfig) -> dict[str, np.ndarray]:
  """Gates that are not learned: type -> gate_NH, ones unless the run's gates are fixed.

  Args:
    config: the `gates` section.
    model: sizes.
  Returns:
    float32 arrays [layers, heads]; columns past a layer's heads are 0.
  """
  shapes = model.gate_shapes
  result = {name: gates.present(counts, shapes[name][1]) for name, counts in model.heads.items()}
  if config.kind != "fixed":
    return result
  if config.fixed_from:
    values, where = fixed.read(config.fixed_from)
    return result | heads.as_arrays(values, model, where)
  return result | heads.as_arrays(config.fixed.to_dict(), model, "config.gates.fixed")


def gated_types(config: ConfigDict) -> tuple[str, ...]:
  """Attention types whose gates are learned."""
  return config.gates.types if config.gates.kind in LEARNED else ()


def gates_init(config: ConfigDict) -> str:
  """How log_alpha starts, for gates.Gates.

  Heads of which a penalty is to leave a number start open and alike, so that what they are worth
  decides and not the draw. A top-K has noise that is larger than the draw.
  """
  aims = config.gates.kind == "concrete" and config.l0.target_heads
  return config.gates.init or (_OPEN if aims else "glorot")


def coefficient(config: ConfigDict, model: ModelConfig) -> float:
  """What P(open), summed over heads and averaged over gated modules, costs: `l0.coef`, in nats.

  The paper's lambda, `l0.per_head`, is of the plain sum; a wanted number of heads needs neither.
  """
  if config.l0.target_heads:
    return 0.0
  return config.l0.coef or config.l0.per_head * gates.num_modules(gated_types(config), model.heads)


def settle_step(config: ConfigDict) -> int:
  """Where `l0.target_heads` settles the gates, as the next step begins: what is saved here is from
  before.
  """
  return config.train.steps - round(config.l0.settled * config.train.steps)


def averaging(config: ConfigDict) -> tuple[int, int]:
  """Which checkpoints are averaged, as the last arguments of `averaging.newest`.

  Those from before a wanted number of heads has settled are of other heads.
  """
  return config.eval.average, settle_step(config) if config.l0.target_heads else 0
