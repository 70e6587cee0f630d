"""A run's config: checks before anything is compiled, what follows from it alone, its file."""

import jax
from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.nn import gates
from headprune.nn.config import (
  ACTIVATIONS,
  NORMS,
  POSITIONS,
  PRECISIONS,
  TYPES,
  ModelConfig,
  attention_precision,
)
from headprune.runs import defaults, fixed, heads, presets, targets, upgrade
from headprune.runs.workdir import Workdir, damaged, read_json, write_json

LEARNED = ("concrete", "topk")  # kinds of gates that have a log_alpha
GATE_KINDS = ("none", *LEARNED, "fixed")
_CHOICES = {
  "gates.kind": GATE_KINDS,
  "model.precision": PRECISIONS,
  "model.attention_precision": ("", *PRECISIONS),
  "model.norm": NORMS,
  "model.activation": ACTIVATIONS,
  "model.positions": POSITIONS,
  "train.loss": ("cross-entropy", "mrt"),
  "train.word_dropout_by": ("unknown", "random"),
}
_COUNTS = (  # at least 1
  "data.row_length", "data.packing_bins",
  "model.layers", "model.model_size", "model.ff_size", "model.num_heads",
  "train.steps", "train.batch_tokens", "train.accumulate", "train.log_every", "train.eval_every",
  "train.translate_every", "train.checkpoint_every", "train.keep",
  "mrt.sentences", "mrt.samples", "eval.beams", "eval.batch_sentences", "eval.average",
)  # fmt: skip
_LAYERS = ("model.layers", "model.dec_layers")  # at most 1000
_OPEN = "2.0"  # of log_alpha: P(open) is 0.94
_AVERAGED = 0.4  # share of a run's steps, the last ones, whose models may be averaged
_OVERRIDES = ("model.dec_layers", "model.dec_ff_size", "model.dec_num_heads")  # at least 0
_NOT_NEGATIVE = ("optim.gates_factor", "l0.coef", "l0.per_head", "l0.ascent")
_PROBABILITIES = (
  "train.label_smoothing",
  "train.src_word_dropout",
  "train.tgt_word_dropout",
  "model.embed_dropout",
  "model.residual_dropout",
  "model.attention_dropout",
  "model.activation_dropout",
)


def check_jax() -> None:
  """Raises a UserError if JAX is set to 64 bits, which a model of 32 would mix with its own."""
  if jax.config.jax_enable_x64:
    raise UserError("jax_enable_x64 is on, but models here have 32 bits: switch it off")


def validate(config: ConfigDict) -> None:
  """Raises a UserError that names the first field whose value cannot work."""
  fields = flatten(config)
  for name, choices in _CHOICES.items():
    if fields[name] not in choices:
      raise UserError(f"config.{name}={fields[name]!r}: choose one of {', '.join(choices)}")
  for least, names in ((1, _COUNTS), (0, _OVERRIDES)):
    for name in names:
      if fields[name] < least:
        raise UserError(f"config.{name}={fields[name]} must be at least {least}")
  for name in _LAYERS:
    if fields[name] > 1000:
      raise UserError(f"config.{name}={fields[name]} must be at most 1000")
  for name in _PROBABILITIES:
    if not 0.0 <= fields[name] < 1.0:
      raise UserError(f"config.{name}={fields[name]} is not a probability below 1")
  for name in _NOT_NEGATIVE:
    if not 0.0 <= fields[name] < float("inf"):
      raise UserError(f"config.{name}={fields[name]} must be at least 0")
  _validate_distill(config)
  _validate_schedule(config.optim)
  if config.init_checkpoint not in ("last", "best") and not config.init_checkpoint.isdecimal():
    raise UserError(
      f"config.init_checkpoint={config.init_checkpoint!r}: choose last, best or a step's number"
    )
  if not 0 <= config.seed < 2**32:
    raise UserError(f"config.seed={config.seed} is not in 0 ... 4294967295")
  if not config.model.norm_epsilon > 0:
    raise UserError(f"config.model.norm_epsilon={config.model.norm_epsilon} must be above 0")
  if config.eval.average > config.train.keep:
    raise UserError(
      f"config.eval.average={config.eval.average} needs as many checkpoints: raise "
      f"config.train.keep={config.train.keep}"
    )
  if config.model.share_embeddings and not config.tokenizer.shared:
    raise UserError("config.model.share_embeddings needs config.tokenizer.shared=True")
  _validate_gates(config)


def _validate_distill(config: ConfigDict) -> None:
  share = config.train.distill
  if not 0.0 <= share <= 1.0:
    raise UserError(f"config.train.distill={share} is no share of the loss from 0 to 1")
  if share and not config.init_from:
    raise UserError(f"config.train.distill={share} needs config.init_from: the run to learn from")
  if share and config.train.loss == "mrt":
    raise UserError(f"config.train.distill={share} does not go with config.train.loss='mrt'")


def _validate_schedule(optim: ConfigDict) -> None:
  if not optim.learning_rate > 0:
    raise UserError(f"config.optim.learning_rate={optim.learning_rate} must be above 0")
  if not 0 < optim.warmup <= 1:
    raise UserError(f"config.optim.warmup={optim.warmup} is no share of the steps above 0, up to 1")
  if not 0 <= optim.cooldown <= 1:
    raise UserError(f"config.optim.cooldown={optim.cooldown} is no share of the steps from 0 to 1")
  for name in ("b1", "b2"):
    if not 0 <= optim[name] < 1:
      raise UserError(f"config.optim.{name}={optim[name]} must be at least 0 and below 1")
  if not optim.eps > 0:
    raise UserError(f"config.optim.eps={optim.eps} must be above 0")


def _validate_gates(config: ConfigDict) -> None:
  types, known = config.gates.types, ", ".join(TYPES)
  for name in types:
    if name not in TYPES:
      raise UserError(f"config.gates.types: {name!r} is not one of {known}")
    if types.count(name) > 1:
      raise UserError(f"config.gates.types names {name!r} twice")
  if config.gates.init not in ("", "glorot") and not heads.is_number(config.gates.init):
    raise UserError(f"config.gates.init: {config.gates.init!r} is not 'glorot' or a number")
  if config.gates.kind in LEARNED and not types:
    raise UserError(f"config.gates.types is empty: name at least one of {known}")
  model = model_config(config.model)
  if config.gates.kind in LEARNED and not gates.num_modules(types, model.heads):
    raise UserError(f"config.gates.types={types}: no layer has heads of these types")
  fixed_gates(config.gates, model)
  if config.gates.chosen_for:
    targets.parse(config.gates.chosen_for, types, model, "gates.chosen_for")
  l0 = config.l0
  if l0.coef and l0.per_head and not l0.target_heads:
    raise UserError(
      f"config.l0.coef={l0.coef} and config.l0.per_head={l0.per_head}: give one, the other is 0"
    )
  if config.gates.kind == "topk":
    _validate_topk(config)
  if l0.target_heads:
    _validate_target(config, model)


def _validate_topk(config: ConfigDict) -> None:
  if not config.l0.target_heads:
    raise UserError("config.gates.kind='topk' needs config.l0.target_heads: how many heads to keep")
  first, last = config.gates.topk_start, config.gates.topk_end
  if not 0 < last <= first:
    raise UserError(
      f"config.gates.topk_start={first} and config.gates.topk_end={last}: temperatures above 0, "
      "which fall"
    )


def _validate_target(config: ConfigDict, model: ModelConfig) -> None:
  c = config.l0
  if config.gates.kind not in LEARNED:
    raise UserError("config.l0.target_heads needs config.gates.kind='concrete' or 'topk'")
  targets.parse(c.target_heads, config.gates.types, model)
  ramp = c.ramp if config.gates.kind == "concrete" else 0.0  # a top-K has none
  if not (0 <= ramp and 0 < c.settled and ramp + c.settled <= 1):
    raise UserError(
      f"config.l0.ramp={c.ramp} and config.l0.settled={c.settled} are shares of the steps: the "
      "latter above 0, together at most 1"
    )
  if settle_step(config) == config.train.steps:
    raise UserError(
      f"config.l0.settled={c.settled} of config.train.steps={config.train.steps} is less than a "
      "step: raise one of them"
    )


def averaging(config: ConfigDict) -> tuple[int, float, int]:
  """Which checkpoints are averaged, as the last arguments of `averaging.newest`.

  Older ones are of much worse models, or of other heads.
  """
  if not config.l0.target_heads:
    return config.eval.average, _AVERAGED, 0
  return config.eval.average, min(_AVERAGED, config.l0.settled), settle_step(config)


def gates_init(config: ConfigDict) -> str:
  """How log_alpha starts, for gates.Gates.

  Heads that are to compete for a number of places start open and alike, so that what they are worth
  decides and not the draw.
  """
  competing = config.gates.kind == "concrete" and config.l0.target_heads
  return config.gates.init or (_OPEN if competing else "glorot")


def settle_step(config: ConfigDict) -> int:
  """The step from which on `l0.target_heads` has settled gates: the first with these."""
  return config.train.steps - round(config.l0.settled * config.train.steps)


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
  return ModelConfig(
    src_vocab=vocabularies[0],
    tgt_vocab=vocabularies[1],
    model_size=c.model_size,
    enc_head_size=c.model_size // num_heads["enc"],
    dec_head_size=c.model_size // num_heads["dec"],
    enc_ff_size=c.ff_size,
    dec_ff_size=c.dec_ff_size or c.ff_size,
    decoder_start=None if c.decoder_start < 0 else c.decoder_start,
    attention_precision=c.attention_precision or attention_precision(c.precision, platform),
    **({"eos": tokenizers[1].eos, "pad": tokenizers[1].pad} if tokenizers else {}),
    **{name: _head_counts(c, name, layers[name[:3]], num_heads[name[:3]]) for name in TYPES},
    **{name: c[name] for name in _COPIED},
  )


_COPIED = (  # fields of the `model` section that a ModelConfig has as they are
  "share_embeddings", "norm", "final_norms", "norm_epsilon", "activation", "positions",
  "scale_embeddings", "source_bias", "logits_bias", "embed_dropout", "residual_dropout",
  "attention_dropout", "activation_dropout", "precision",
)  # fmt: skip


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
  result = {name: gates.present(heads, shapes[name][1]) for name, heads in model.heads.items()}
  if config.kind != "fixed":
    return result
  if config.fixed_from:
    values, where = fixed.read(config.fixed_from)
    return result | heads.as_arrays(values, model, where)
  return result | heads.as_arrays(config.fixed.to_dict(), model, "config.gates.fixed")


def gated_types(config: ConfigDict) -> tuple[str, ...]:
  """Attention types whose gates are learned."""
  return config.gates.types if config.gates.kind in LEARNED else ()


def coefficient(config: ConfigDict, model: ModelConfig) -> float:
  """What P(open), summed over heads and averaged over gated modules, costs: `l0.coef`, in nats.

  The paper's lambda, `l0.per_head`, is of the plain sum; a wanted number of heads needs neither.
  """
  if config.l0.target_heads:
    return 0.0
  return config.l0.coef or config.l0.per_head * gates.num_modules(gated_types(config), model.heads)


def save(config: ConfigDict, workdir: Workdir) -> None:
  """Writes the config; gates from another run's file are written out."""
  write_json(workdir.config, self_contained(config).to_dict(), indent=2)


def self_contained(config: ConfigDict) -> ConfigDict:
  """`config` with the gates of `fixed_from` as values, so that a run needs no other folder."""
  if config.gates.kind != "fixed" or not config.gates.fixed_from:
    return config
  values, _ = fixed.read(config.gates.fixed_from)
  config = ConfigDict(config.to_dict())
  config.gates.fixed_from = ""
  config.gates.fixed.update({name: _tuple(values.get(name) or []) for name in TYPES})
  return config.lock()


def load(workdir: Workdir) -> ConfigDict:
  """The config of an existing run; fields that are newer than the run have their defaults.

  Raises:
    UserError: there is no run, or its config.json is damaged.
  """
  if not workdir.is_run():
    raise UserError(f"{workdir.path}: not a run (there is no config.json)")
  fields = read_json(workdir.config)
  try:
    fields = upgrade.config(fields)
    config = ConfigDict(_tuples(_with_defaults(fields, defaults.base().to_dict())))
    validate(config)
  except UserError as error:
    raise UserError(f"{workdir.config}: {error}") from error
  except (AttributeError, KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
    raise damaged(workdir.config, error) from error
  return config.lock()


def _with_defaults(fields: dict, base: dict) -> dict:
  """`fields` with those of `base` that it lacks, at any depth."""
  merged = dict(fields)
  for name, value in base.items():
    if isinstance(value, dict):
      merged[name] = _with_defaults(fields[name], value)
    else:
      merged.setdefault(name, value)
      if type(merged[name]) not in _ALIKE[type(value)]:
        raise TypeError(f"{name} is {merged[name]!r}, but should be like {value!r}")
  return merged


_ALIKE = {bool: [bool], int: [int], float: [int, float], str: [str], tuple: [list]}  # in JSON


def _tuples(node: dict) -> dict:
  """JSON knows no tuples; configs have no lists."""
  return {
    key: _tuples(value) if isinstance(value, dict) else _tuple(value) for key, value in node.items()
  }


def _tuple(value):
  return tuple(map(_tuple, value)) if isinstance(value, (list, tuple)) else value


def flatten(config: ConfigDict) -> dict:
  """Dotted field -> value."""
  rows = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      rows.update({f"{key}.{k}": v for k, v in flatten(value).items()})
    else:
      rows[key] = _tuple(value)
  return rows


def pretraining(config: ConfigDict) -> ConfigDict:
  """The config of the baseline that `config` starts from: no gates, its own schedule."""
  baseline = ConfigDict(config.to_dict())
  baseline.init_from, baseline.init_checkpoint = "", "last"
  baseline.gates.kind = "none"
  baseline.update_from_flattened_dict(presets.NO_PENALTY)
  baseline.train = config.pretrain.train
  baseline.optim = config.pretrain.optim
  del baseline.pretrain
  return baseline.lock()
