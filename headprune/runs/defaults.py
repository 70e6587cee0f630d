"""The base of every config: all fields, defaults and units; methods and presets on top of it."""

import difflib

from flax import traverse_util
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn.config import TYPES
from headprune.runs import presets

PARTS = {
  "baseline": "",
  "concrete": "encoder",
  "fixed": "scratch",
}  # method -> what may follow a ","

# Field -> (default, what --help says of it): the built-in corpus and a small model, sized for
# minutes on two CPU cores.
FIELDS = {
  "seed": (0, "of initialisation, shuffling, dropout and gates"),
  "init_from": ("", 'workdir of the run whose parameters to start from; "" starts from scratch'),
  "init_checkpoint": ("last", 'of init_from: "last" (averaged as there), "best" or a step'),
  "data.kind": ("corpus", '"corpus" (built-in), "text" (files) or "tfds"'),
  "data.row_length": (48, "tokens per packed row and side; longer pairs are dropped"),
  "data.packing_bins": (32, "rows that are filled at a time"),
  "data.corpus.kind": ("grammar", 'parsed sentences; "cldr": dates, amounts, lists'),
  "data.corpus.locale": ("ru", "of cldr: any that Babel knows; the source is English"),
  "data.corpus.train": (40000, "sentence pairs"),
  "data.corpus.dev": (300, "sentence pairs"),
  "data.corpus.test": (300, "sentence pairs"),
  "data.text.dir": ("", "folder that the file names below are relative to"),
  "data.text.train_src": ("", "file, plain or .gz, UTF-8, one sentence a line"),
  "data.text.train_tgt": ("", 'file; the test pair may stay ""'),
  "data.text.dev_src": ("", "file, plain or .gz, UTF-8, one sentence a line"),
  "data.text.dev_tgt": ("", 'file; the test pair may stay ""'),
  "data.text.test_src": ("", "file, plain or .gz, UTF-8, one sentence a line"),
  "data.text.test_tgt": ("", 'file; the test pair may stay ""'),
  "data.tfds.name": ("wmt14_translate/de-en", "TFDS builder and its config"),
  "data.tfds.data_dir": ("", 'folder of prepared sets; "" is TFDS\'s default'),
  "data.tfds.src": ("en", "feature name"),
  "data.tfds.tgt": ("de", "feature name"),
  "data.tfds.train": ("train", "split"),
  "data.tfds.dev": ("validation", "split"),
  "data.tfds.test": ("test", 'split; "" for none'),
  "tokenizer.kind": ("bpe", '"bpe", "unigram" (SentencePiece) or "whitespace"'),
  "tokenizer.vocab_size": (1000, 'ids a side; 0 keeps every word of "whitespace"'),
  "tokenizer.shared": (False, "one vocabulary for both sides"),
  "tokenizer.lowercase": (False, "lower-case the text first, both sides"),
  "model.model_size": (128, "D, channels"),
  "model.layers": (2, "of the encoder and of the decoder"),
  "model.ff_size": (256, "F, hidden units of the feed-forward layers"),
  "model.num_heads": (8, "a layer's heads; each has D / num_heads channels"),
  "model.dec_layers": (0, "of the decoder, where it differs; 0 is as layers"),
  "model.dec_ff_size": (0, "of the decoder, where it differs; 0 is as ff_size"),
  "model.dec_num_heads": (0, "of the decoder, where it differs; 0 is as num_heads"),
  **{
    f"model.heads.{name}": ((), "heads of each layer; () is as in init_from, else num_heads")
    for name in TYPES
  },
  "model.share_embeddings": (False, "one table: source, target, logits; shared vocabulary"),
  "model.norm": ("pre", '"pre": x + f(LN(x)), or "post": LN(x + f(x))'),
  "model.final_norms": (True, "a layer norm behind encoder and decoder"),
  "model.norm_epsilon": (1e-6, "added to the variance"),
  "model.activation": ("relu", 'of the feed-forward layers: "relu", "silu" or "gelu"'),
  "model.positions": ("tensor2tensor", '10000^(-j / (D/2 - 1)); "huggingface": ^(-j / (D/2))'),
  "model.scale_embeddings": (True, "embeddings are multiplied by sqrt(D)"),
  "model.source_bias": (True, "one vector added to all source embeddings"),
  "model.logits_bias": (False, "one number added to each word's score"),
  "model.decoder_start": (-1, "id read before the first target token; -1 reads zeros"),
  "model.embed_dropout": (0.1, "probability"),
  "model.residual_dropout": (0.1, "probability"),
  "model.attention_dropout": (0.1, "probability"),
  "model.activation_dropout": (0.1, "probability"),
  "model.precision": ("bfloat16", 'operands of matrix products; "bfloat16" or "float32"'),
  "model.attention_precision": ("", 'of attention\'s own; "" is float32 on CPUs, else as above'),
  "gates.kind": ("none", '"none", "concrete" or "topk" (learned), or "fixed"'),
  "gates.types": (TYPES, "types with gates: enc_self, dec_self, dec_enc; fixed: for tables"),
  "gates.init": ("", 'log_alpha: number or "glorot"; "": concrete with a target 2, else glorot'),
  "gates.topk_start": (1.0, "topk: temperature at the first step, in the unit of log_alpha"),
  "gates.topk_end": (0.1, "topk: the one that it falls to, geometrically, until gates settle"),
  "gates.chosen_by": ("", 'fixed: what chose them, for tables: "gradient", "random", ...'),
  "gates.chosen_for": ("", "fixed: how many were to stay, as l0.target_heads, for tables"),
  "gates.fixed_from": ("", "fixed: heads.json, a workdir, or structures.json#name"),
  **{
    f"gates.fixed.{name}": ((), "fixed: each layer's gates, ((1, 0, .5), ...); () is ones")
    for name in TYPES
  },
  "l0.coef": (0.0, "times the mean over gated modules of sum P(open); lambda = coef / modules"),
  "l0.per_head": (0.0, "the paper's lambda, in place of coef: times the plain sum of P(open)"),
  "l0.target_heads": ("", 'to keep exactly: "16", "33%", "enc_self 2, dec_enc 10", "2 a layer"'),
  "l0.ramp": (0.5, "share of the steps over which the target falls to target_heads"),
  "l0.ascent": (5.0, "nats per head by which the penalty would grow if no head ever closed"),
  "l0.settled": (0.5, "share of the steps, the last ones, in which all gates are 0 or 1"),
  "optim.learning_rate": (0.00625, "at the end of the warm-up; then it falls with step^-0.5"),
  "optim.warmup": (0.4, "share of the steps over which the rate rises linearly"),
  "optim.cooldown": (0.0, "share of the steps, the last ones, in which the rate falls to 0"),
  "optim.b1": (0.9, "Adam, first moment"),
  "optim.b2": (0.998, "Adam, second moment"),
  "optim.eps": (1e-9, "Adam"),
  "optim.gates_factor": (1.0, "learning rate of log_alpha over that of the rest"),
  "optim.rules": (((r".*", "train"),), 'ordered (pattern on parameter path, "train"/"freeze")'),
  "train.steps": (500, "optimiser steps"),
  "train.patience": (0, "end after so many evaluations without a better dev loss; 0 is never"),
  "train.batch_tokens": (1920, "token slots a step and side, over all devices"),
  "train.shard_params": (False, "spread parameters and optimiser over the devices (FSDP)"),
  "train.accumulate": (1, "micro-batches a step, one after the other"),
  "train.loss": ("cross-entropy", 'or "mrt": minimum risk training of a run at init_from'),
  "train.label_smoothing": (0.1, "probability mass"),
  "train.distill": (0.0, "share of the loss: divergence from the model at init_from, as it is"),
  "train.src_word_dropout": (0.0, "probability of a source word to be hidden from a step"),
  "train.tgt_word_dropout": (0.0, "the same of a target word that the decoder reads"),
  "train.word_dropout_by": ("unknown", 'hidden words become "unknown" or "random" ones'),
  "train.log_every": (50, "steps"),
  "train.eval_every": (250, "steps; dev loss"),
  "train.translate_every": (500, "steps; dev translations and BLEU"),
  "train.translate_first": (False, "before the first step too, dev and test; dev loss as well"),
  "train.checkpoint_every": (250, "steps"),
  "train.keep": (3, "newest checkpoints kept, besides that of the best dev BLEU"),
  "mrt.sentences": (16, "a step; a device holds its share of their candidates at once"),
  "mrt.samples": (50, "of each sentence, besides its reference; equal ones count once"),
  "mrt.temperature": (1.0, "scores are divided by it when sampling"),
  "mrt.sharpness": (0.005, "candidates count as p^sharpness, normalised"),
  "eval.beams": (4, "hypotheses a sentence"),
  "eval.alpha": (0.6, "length penalty"),
  "eval.spread": (3.0, "log-probability; hypotheses further behind the best are dropped"),
  "eval.batch_sentences": (64, "sentences translated at a time"),
  "eval.average": (1, "at most so many of the newest checkpoints, from the last 40% of steps"),
  "eval.tokenize": ("13a", "sacreBLEU's tokenizer"),
  "eval.lowercase": (False, "sacreBLEU's case folding"),
}


def base() -> ConfigDict:
  """A config of all defaults; not yet locked."""
  values = {name: value for name, (value, _) in FIELDS.items()}
  return ConfigDict(traverse_util.unflatten_dict(values, sep="."))


def get_config(argument: str) -> ConfigDict:
  """What `--config concrete:multi30k` stands for where there is no file of that name.

  Args:
    argument: METHOD or METHOD:PRESET.
  """
  method, _, preset = argument.partition(":")
  return config(method, preset)


def config(method: str, argument: str = "") -> ConfigDict:
  """The config of a method with a preset, locked.

  Args:
    method: "baseline", "concrete" or "fixed".
    argument: a preset of presets.TASKS, "" is the built-in grammar; behind a comma, "encoder"
      prunes the encoder alone (concrete), "scratch" starts from new parameters (fixed).
  Raises:
    UserError: there is no such method or preset.
  """
  if method not in PARTS:
    raise UserError(f"--config {method}: no such file, nor one of {', '.join(PARTS)}")
  preset, part = _split(argument, PARTS[method])
  result = base()
  result.update_from_flattened_dict(presets.TASKS[preset])
  {"baseline": _baseline, "concrete": _concrete, "fixed": _fixed}[method](result, preset, part)
  return result.lock()


def _split(argument: str, known_part: str) -> tuple[str, str]:
  """(preset, part) of "PRESET" or "PRESET,part"."""
  preset, _, part = argument.partition(",")
  if part not in ("", known_part):
    near = f"{preset},{known_part}" if known_part else preset
    raise UserError(f"unknown preset {argument!r}: did you mean {near!r}?")
  if preset not in presets.TASKS:
    near = difflib.get_close_matches(preset, presets.TASKS, n=1, cutoff=0.0)[0]
    names = ", ".join(filter(None, presets.TASKS))
    raise UserError(f"unknown preset {preset!r}: did you mean {near!r}? There are: {names}")
  return preset, part


def _baseline(result: ConfigDict, preset: str, part: str) -> None:
  result.init_from = presets.PRETRAINED.get(preset, "")
  result.update_from_flattened_dict(presets.SCHEDULES["baseline"][preset])


def _concrete(result: ConfigDict, preset: str, part: str) -> None:
  """Gates on a pretrained model, or on a baseline that is trained first as `pretrain` says."""
  if preset in presets.PRETRAINED:
    result.init_from = presets.PRETRAINED[preset]
  else:
    result.pretrain = _pretraining(preset)
    result.init_from = _workdir(preset, "baseline")
  result.gates.kind = "concrete"
  result.update_from_flattened_dict(presets.SCHEDULES["concrete"][preset])
  if part:
    result.gates.types = ("enc_self",)
    result.l0.coef *= 0.5 * _encoder_share(result.model)  # half the lambda: these heads go first
    result.optim.rules = presets.ENCODER_ONLY


def _pretraining(preset: str) -> ConfigDict:
  """What a baseline's config has otherwise than that of its pruning."""
  baseline, schedule = config("baseline", preset), presets.SCHEDULES["concrete"][preset]
  dropout = {name: rate for name, rate in baseline.model.items() if f"model.{name}" in schedule}
  sections = {"train": baseline.train, "optim": baseline.optim}
  return ConfigDict(sections | ({"model": dropout} if dropout else {}))


def _encoder_share(model: ConfigDict) -> float:
  """The encoder's part of all attention modules; a layer of the decoder has two."""
  return model.layers / (model.layers + 2 * (model.dec_layers or model.layers))


def _fixed(result: ConfigDict, preset: str, part: str) -> None:
  """The structure of a pruned run: its parameters trained on without noise, or new ones."""
  result.gates.kind = "fixed"
  result.gates.fixed_from = _workdir(preset, "concrete")
  if part:
    if preset in presets.PRETRAINED:
      raise UserError(f"{preset},{part}: a pretrained model's tokenizer is not made from scratch")
    _baseline(result, preset, part)
    return
  result.update_from_flattened_dict(presets.SCHEDULES["concrete"][preset])
  result.update_from_flattened_dict(presets.NO_PENALTY)
  result.train.steps //= 3  # no head has to close any more
  result.train.checkpoint_every //= 3
  result.train.eval_every //= 3
  result.optim.warmup = min(1.0, 3 * result.optim.warmup)  # as many steps as there
  result.train.distill = 0.0  # the model at init_from is the run's own start
  result.init_from = result.gates.fixed_from


def _workdir(preset: str, method: str) -> str:
  return f"runs/{preset}-{method}" if preset else f"runs/{method}"
