"""The base of every config: all fields, defaults and units; methods and presets on top of it."""

import difflib

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn.config import TYPES
from headprune.runs import presets

PARTS = {
  "baseline": "",
  "concrete": "encoder",
  "fixed": "scratch",
}  # method -> what may follow a ","


def base() -> ConfigDict:
  """The built-in corpus and a small model, sized for minutes on two CPU cores; not yet locked."""
  config = ConfigDict()
  config.seed = 0  # of initialisation, shuffling, dropout and gates
  config.init_from = ""  # workdir of the run whose parameters to start from; "" starts from scratch
  config.init_checkpoint = "last"  # of init_from: "last" (averaged as there), "best" or a step

  config.data = ConfigDict()
  config.data.kind = "corpus"  # "corpus" (built-in), "text" (files) or "tfds"
  config.data.row_length = 48  # tokens per packed row and side; longer pairs are dropped
  config.data.packing_bins = 32  # rows that are filled at a time
  config.data.corpus = ConfigDict()
  config.data.corpus.kind = "grammar"  # parsed sentences; "cldr": dates, amounts, lists
  config.data.corpus.locale = "ru"  # of cldr: any that Babel knows; the source is English
  config.data.corpus.train = 40000  # sentence pairs
  config.data.corpus.dev = 300  # sentence pairs
  config.data.corpus.test = 300  # sentence pairs
  config.data.text = ConfigDict()
  config.data.text.dir = ""  # folder that the file names below are relative to
  for split in ("train", "dev", "test"):
    config.data.text[f"{split}_src"] = ""  # file, plain or .gz, UTF-8, one sentence a line
    config.data.text[f"{split}_tgt"] = ""  # file; the test pair may stay ""
  config.data.tfds = ConfigDict()
  config.data.tfds.name = "wmt14_translate/de-en"  # TFDS builder and its config
  config.data.tfds.data_dir = ""  # folder of prepared sets; "" is TFDS's default
  config.data.tfds.src = "en"  # feature name
  config.data.tfds.tgt = "de"  # feature name
  config.data.tfds.train = "train"  # split
  config.data.tfds.dev = "validation"  # split
  config.data.tfds.test = "test"  # split; "" for none

  config.tokenizer = ConfigDict()
  config.tokenizer.kind = "bpe"  # "bpe", "unigram" (SentencePiece) or "whitespace"
  config.tokenizer.vocab_size = 1000  # ids a side; 0 keeps every word of "whitespace"
  config.tokenizer.shared = False  # one vocabulary for both sides
  config.tokenizer.lowercase = False  # lower-case the text first, both sides

  config.model = ConfigDict()
  config.model.model_size = 128  # D, channels
  config.model.layers = 2  # of the encoder and of the decoder
  config.model.ff_size = 256  # F, hidden units of the feed-forward layers
  config.model.num_heads = 8  # a layer's heads; each has D / num_heads channels
  config.model.dec_layers = 0  # of the decoder, where it differs; 0 is as layers
  config.model.dec_ff_size = 0  # of the decoder, where it differs; 0 is as ff_size
  config.model.dec_num_heads = 0  # of the decoder, where it differs; 0 is as num_heads
  config.model.heads = ConfigDict()  # heads of each layer; () is as in init_from, else num_heads
  config.model.heads.enc_self = ()
  config.model.heads.dec_self = ()
  config.model.heads.dec_enc = ()
  config.model.share_embeddings = False  # one table: source, target, logits; shared vocabulary
  config.model.norm = "pre"  # "pre": x + f(LN(x)), or "post": LN(x + f(x))
  config.model.final_norms = True  # a layer norm behind encoder and decoder
  config.model.norm_epsilon = 1e-6  # added to the variance
  config.model.activation = "relu"  # of the feed-forward layers: "relu", "silu" or "gelu"
  config.model.positions = "tensor2tensor"  # 10000^(-j / (D/2 - 1)); "huggingface": ^(-j / (D/2))
  config.model.scale_embeddings = True  # embeddings are multiplied by sqrt(D)
  config.model.source_bias = True  # one vector added to all source embeddings
  config.model.logits_bias = False  # one number added to each word's score
  config.model.decoder_start = -1  # id read before the first target token; -1 reads zeros
  config.model.embed_dropout = 0.1  # probability
  config.model.residual_dropout = 0.1  # probability
  config.model.attention_dropout = 0.1  # probability
  config.model.activation_dropout = 0.1  # probability
  config.model.precision = "bfloat16"  # operands of matrix products; "bfloat16" or "float32"
  config.model.attention_precision = ""  # of attention's own; "" is float32 on CPUs, else as above

  config.gates = ConfigDict()
  config.gates.kind = "none"  # "none", "concrete" or "topk" (learned), or "fixed"
  config.gates.types = TYPES  # attention types with gates: enc_self, dec_self, dec_enc
  config.gates.init = ""  # log_alpha's start: number or "glorot"; "": glorot, concrete's target: 2
  config.gates.topk_start = 1.0  # topk: temperature at the first step, in the unit of log_alpha
  config.gates.topk_end = 0.1  # topk: the one that it falls to, geometrically, until gates settle
  config.gates.chosen_by = ""  # fixed: what chose them, for tables: "gradient", "random", ...
  config.gates.chosen_for = ""  # fixed: how many were to stay, as l0.target_heads, for tables
  config.gates.fixed_from = ""  # fixed: heads.json, a workdir, or structures.json#name
  config.gates.fixed = ConfigDict()  # fixed: each layer's gates, ((1, 0, .5), ...); () is ones
  config.gates.fixed.enc_self = ()
  config.gates.fixed.dec_self = ()
  config.gates.fixed.dec_enc = ()

  config.l0 = ConfigDict()
  config.l0.coef = 0.0  # times the mean over gated modules of sum P(open); lambda = coef / modules
  config.l0.per_head = 0.0  # the paper's lambda, in place of coef: times the plain sum of P(open)
  config.l0.target_heads = ""  # to keep exactly: "16", "33%", "enc_self 2, dec_enc 10", "2 a layer"
  config.l0.ramp = 0.5  # share of the steps over which the target falls to target_heads
  config.l0.ascent = 5.0  # nats per head by which the penalty would grow if no head ever closed
  config.l0.settled = 0.5  # share of the steps, the last ones, in which all gates are 0 or 1

  config.optim = ConfigDict()
  config.optim.learning_rate = 0.00625  # at the end of the warm-up; then it falls with step^-0.5
  config.optim.warmup = 0.4  # share of the steps over which the rate rises linearly
  config.optim.cooldown = 0.0  # share of the steps, the last ones, in which the rate falls to 0
  config.optim.b1 = 0.9  # Adam, first moment
  config.optim.b2 = 0.998  # Adam, second moment
  config.optim.eps = 1e-9  # Adam
  config.optim.gates_factor = 1.0  # learning rate of log_alpha over that of the rest
  config.optim.rules = ((r".*", "train"),)  # ordered (pattern on parameter path, "train"/"freeze")

  config.train = ConfigDict()
  config.train.steps = 500  # optimiser steps
  config.train.patience = 0  # end after so many evaluations without a better dev loss; 0 is never
  config.train.batch_tokens = 1920  # token slots a step and side, over all devices
  config.train.shard_params = False  # spread parameters and optimiser over the devices (FSDP)
  config.train.accumulate = 1  # micro-batches a step, one after the other
  config.train.loss = "cross-entropy"  # or "mrt": minimum risk training of a run at init_from
  config.train.label_smoothing = 0.1  # probability mass
  config.train.distill = 0.0  # share of the loss: divergence from the model at init_from, as it is
  config.train.src_word_dropout = 0.0  # probability of a source word to be hidden from a step
  config.train.tgt_word_dropout = 0.0  # the same of a target word that the decoder reads
  config.train.word_dropout_by = "unknown"  # hidden words become "unknown" or "random" ones
  config.train.log_every = 50  # steps
  config.train.eval_every = 250  # steps; dev loss
  config.train.translate_every = 500  # steps; dev translations and BLEU
  config.train.translate_first = False  # before the first step too, dev and test; dev loss as well
  config.train.checkpoint_every = 250  # steps
  config.train.keep = 3  # newest checkpoints kept, besides that of the best dev BLEU

  config.mrt = ConfigDict()
  config.mrt.sentences = 16  # a step; a device holds its share of their candidates at once
  config.mrt.samples = 50  # of each sentence, besides its reference; equal ones count once
  config.mrt.temperature = 1.0  # scores are divided by it when sampling
  config.mrt.sharpness = 0.005  # candidates count as p^sharpness, normalised

  config.eval = ConfigDict()
  config.eval.beams = 4  # hypotheses a sentence
  config.eval.alpha = 0.6  # length penalty
  config.eval.spread = 3.0  # log-probability; hypotheses further behind the best are dropped
  config.eval.batch_sentences = 64  # sentences translated at a time
  config.eval.average = 1  # at most so many of the newest checkpoints, from the last 40% of steps
  config.eval.tokenize = "13a"  # sacreBLEU's tokenizer
  config.eval.lowercase = False  # sacreBLEU's case folding
  return config


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
    baseline = config("baseline", preset)
    result.pretrain = ConfigDict({"train": baseline.train, "optim": baseline.optim})
    result.init_from = _workdir(preset, "baseline")
  result.gates.kind = "concrete"
  result.update_from_flattened_dict(presets.SCHEDULES["concrete"][preset])
  if part:
    result.gates.types = ("enc_self",)
    result.l0.coef *= 0.5 * _encoder_share(result.model)  # half the lambda: these heads go first
    result.optim.rules = presets.ENCODER_ONLY


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
  result.init_from = result.gates.fixed_from


def _workdir(preset: str, method: str) -> str:
  return f"runs/{preset}-{method}" if preset else f"runs/{method}"
