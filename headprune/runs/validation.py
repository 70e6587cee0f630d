"""Checks of a config before anything is compiled."""

import difflib
import math

import jax
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn import gates
from headprune.nn.config import ACTIVATIONS, NORMS, POSITIONS, PRECISIONS, TYPES, ModelConfig
from headprune.runs import defaults, heads, targets
from headprune.runs.derived import LEARNED, fixed_gates, flatten, model_config, settle_step
from headprune.text import sources, tokenizer

_CHOICES = {
  "data.kind": sources.KINDS,
  "data.corpus.kind": sources.CORPORA,
  "tokenizer.kind": (*tokenizer.KINDS, "marian"),
  "gates.kind": ("none", *LEARNED, "fixed"),
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
_NOT_NEGATIVE = (
  "data.corpus.train", "data.corpus.dev", "data.corpus.test",
  "model.dec_layers", "model.dec_ff_size", "model.dec_num_heads", "train.patience",
  "optim.gates_factor", "l0.coef", "l0.per_head", "l0.ascent",
)  # fmt: skip
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
  _validate_names(fields)
  for name, choices in _CHOICES.items():
    if fields[name] not in choices:
      raise UserError(f"config.{name}={fields[name]!r}: choose one of {', '.join(choices)}")
  for name, value in fields.items():
    if isinstance(value, float) and not math.isfinite(value) and name != "eval.spread":
      raise UserError(f"config.{name}={value} is not a finite number")
    if type(value) is int and value >= 2**31 and name != "seed":
      raise UserError(f"config.{name}={value} must be below {2**31}: numbers here have 32 bits")
  for name in _COUNTS:
    if fields[name] < 1:
      raise UserError(f"config.{name}={fields[name]} must be at least 1")
  for name in _LAYERS:
    if fields[name] > 1000:
      raise UserError(f"config.{name}={fields[name]} must be at most 1000")
  for name in _PROBABILITIES:
    if not 0.0 <= fields[name] < 1.0:
      raise UserError(f"config.{name}={fields[name]} is not a probability below 1")
  for name in _NOT_NEGATIVE:
    if not 0.0 <= fields[name]:
      raise UserError(f"config.{name}={fields[name]} must be at least 0")
  _validate_distill(config)
  _validate_schedule(config.optim)
  if config.init_checkpoint not in ("last", "best") and not config.init_checkpoint.isdecimal():
    raise UserError(
      f"config.init_checkpoint={config.init_checkpoint!r}: choose last, best or a step's number"
    )
  if not 0 <= config.seed < 2**32:
    raise UserError(f"config.seed={config.seed} is not in 0 ... 4294967295")
  if not config.eval.spread >= 0:  # infinite: none is dropped
    raise UserError(f"config.eval.spread={config.eval.spread} must be at least 0")
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


def _validate_names(fields: dict) -> None:
  for name, value in fields.items():
    if name.removeprefix("pretrain.") not in defaults.FIELDS:
      near = difflib.get_close_matches(name, defaults.FIELDS, n=1, cutoff=0.0)[0]
      raise UserError(
        f"config.{name}={value!r} is no field of this version; did you mean config.{near}?"
      )


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
  if config.gates.kind == "concrete" and config.gates.init not in ("", "glorot"):
    low, high = gates.STUCK
    if not low < float(config.gates.init) < high:
      raise UserError(
        f"config.gates.init={config.gates.init}: gates that start there hardly ever open or close; "
        f"choose a number between {low:.1f} and {high:.1f}"
      )
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
