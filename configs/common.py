"""The base of every config: all fields, their defaults and units, and the presets."""

import difflib

from ml_collections import ConfigDict

from headprune.errors import UserError

ALL_TYPES = ("enc_self", "dec_self", "dec_enc")
ENCODER_ONLY = (  # shared embeddings stay frozen: they are the decoder's too
  (r"model/src_.*", "train"),
  (r"model/enc.*", "train"),
  (r"gates/.*", "train"),
  (r".*", "freeze"),
)


def base() -> ConfigDict:
  """The built-in corpus and a small model, sized for minutes on two CPU cores; not yet locked."""
  config = ConfigDict()
  config.seed = 0  # of initialisation, shuffling, dropout and gates
  config.init_from = ""  # workdir of the run whose parameters to start from; "" starts from scratch

  config.data = ConfigDict()
  config.data.kind = "corpus"  # "corpus" (built-in), "text" (files) or "tfds"
  config.data.row_length = 48  # tokens per packed row and side; longer pairs are dropped
  config.data.packing_bins = 32  # rows that are filled at a time
  config.data.corpus = ConfigDict()
  config.data.corpus.locale = "ru"  # any locale that Babel knows; the source is English
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
  config.model.layers = 2  # of the encoder and of the decoder
  config.model.model_size = 128  # D, channels
  config.model.ff_size = 256  # F, hidden units of the feed-forward layers
  config.model.num_heads = 8  # a layer's heads; each has D / num_heads channels
  config.model.heads = ConfigDict()  # heads of each layer; () is as in init_from, else num_heads
  config.model.heads.enc_self = ()
  config.model.heads.dec_self = ()
  config.model.heads.dec_enc = ()
  config.model.share_embeddings = False  # one table: source, target, logits; shared vocabulary
  config.model.embed_dropout = 0.1  # probability
  config.model.residual_dropout = 0.1  # probability
  config.model.attention_dropout = 0.1  # probability
  config.model.relu_dropout = 0.1  # probability
  config.model.precision = "bfloat16"  # operands of matrix products; "bfloat16" or "float32"

  config.gates = ConfigDict()
  config.gates.kind = "none"  # "none", "concrete" (learned) or "fixed"
  config.gates.types = ALL_TYPES  # attention types with gates: enc_self, dec_self, dec_enc
  config.gates.init = "glorot"  # start of log_alpha: "glorot" (original) or a number as text
  config.gates.fixed_from = ""  # fixed: heads.json, or a workdir that holds one
  config.gates.fixed = ConfigDict()  # fixed: gate of each layer and head, ((1, 0, .5), ...)
  config.gates.fixed.enc_self = ()  # () is all ones
  config.gates.fixed.dec_self = ()
  config.gates.fixed.dec_enc = ()

  config.l0 = ConfigDict()
  config.l0.coef = 0.0  # times the mean over gated modules of sum P(open); lambda = coef / modules

  config.optim = ConfigDict()
  config.optim.scale = 1.0  # Noam: scale * D^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)
  config.optim.warmup_steps = 200  # steps
  config.optim.cooldown_steps = 0  # last steps, over which the rate falls linearly to 0
  config.optim.b1 = 0.9  # Adam, first moment
  config.optim.b2 = 0.998  # Adam, second moment
  config.optim.eps = 1e-9  # Adam
  config.optim.gates_factor = 1.0  # learning rate of log_alpha over that of the rest
  config.optim.rules = ((r".*", "train"),)  # ordered (pattern on parameter path, "train"/"freeze")

  config.train = ConfigDict()
  config.train.steps = 500  # optimiser steps
  config.train.patience = 0  # end after so many evaluations without a better dev loss; 0 is never
  config.train.batch_tokens = 1920  # token slots a step and side, over all devices
  config.train.accumulate = 1  # micro-batches a step, one after the other
  config.train.label_smoothing = 0.1  # probability mass
  config.train.log_every = 50  # steps
  config.train.eval_every = 250  # steps; dev loss
  config.train.translate_every = 500  # steps; dev translations and BLEU
  config.train.checkpoint_every = 250  # steps
  config.train.keep = 3  # newest checkpoints kept, besides that of the best dev BLEU

  config.eval = ConfigDict()
  config.eval.beams = 4  # hypotheses a sentence
  config.eval.alpha = 0.6  # length penalty
  config.eval.spread = 3.0  # log-probability; hypotheses further behind the best are dropped
  config.eval.batch_sentences = 64  # sentences translated at a time
  config.eval.average = 1  # newest checkpoints whose parameters are averaged
  config.eval.tokenize = "13a"  # sacreBLEU's tokenizer
  config.eval.lowercase = False  # sacreBLEU's case folding
  return config


def split(argument: str, part: str) -> tuple[str, bool]:
  """A config's argument "PRESET" or "PRESET,part" -> (preset, whether the part is named)."""
  preset, _, given = argument.partition(",")
  if given not in ("", part):
    raise UserError(f"unknown preset {argument!r}: did you mean {f'{preset},{part}'!r}?")
  return preset, bool(given)


def apply_preset(config: ConfigDict, preset: str) -> None:
  """Sets data and sizes of a preset: "" (built-in corpus), multi30k, enru or base."""
  presets = {"": lambda config: None, "multi30k": _multi30k, "enru": _enru, "base": _base}
  if preset not in presets:
    near = difflib.get_close_matches(preset, presets, n=1, cutoff=0.0)[0]
    raise UserError(
      f"unknown preset {preset!r}: did you mean {near!r}? There are: multi30k, enru, base"
    )
  presets[preset](config)


def _files(config: ConfigDict, folder: str, src: str, tgt: str, dev: str, test: str) -> None:
  config.data.kind = "text"
  config.data.text.dir = folder
  for split, name in (("train", "train"), ("dev", dev), ("test", test)):
    config.data.text[f"{split}_src"] = f"{name}.{src}.gz"
    config.data.text[f"{split}_tgt"] = f"{name}.{tgt}.gz"


def _multi30k(config: ConfigDict) -> None:
  """Multi30k EN-DE, lower-cased, with the sizes of the best small text-only Transformer."""
  _files(config, "data/multi30k", "en", "de", "val", "test2016")
  config.data.row_length = 64
  config.train.batch_tokens = 4096
  config.tokenizer.vocab_size = 6000
  config.tokenizer.shared = True
  config.tokenizer.lowercase = True
  config.model.layers = 4
  config.model.num_heads = 4
  config.model.share_embeddings = True
  for name in ("embed", "residual"):
    config.model[f"{name}_dropout"] = 0.3
  config.eval.lowercase = True
  config.eval.average = 8
  config.train.keep = 8


def _enru(config: ConfigDict) -> None:
  """English-Russian files, a 3+3-layer model."""
  _files(config, "data/enru", "en", "ru", "dev", "test")
  config.data.row_length = 64
  config.train.batch_tokens = 4096
  config.tokenizer.vocab_size = 8000
  config.model.layers = 3
  config.model.model_size = 256
  config.model.ff_size = 1024
  for name in ("embed", "residual"):
    config.model[f"{name}_dropout"] = 0.2


def _base(config: ConfigDict) -> None:
  """The paper's recipe: Transformer-base, 16k source tokens a batch, Noam 4.0 / 16,000."""
  config.data.kind = "tfds"
  config.data.row_length = 128
  config.tokenizer.vocab_size = 32000
  config.tokenizer.lowercase = True
  config.model.layers = 6
  config.model.model_size = 512
  config.model.ff_size = 2048
  config.optim.scale = 4.0
  config.optim.warmup_steps = 16000
  config.train.batch_tokens = 16384
  config.train.steps = 200000
  config.train.log_every = 100
  config.train.eval_every = 2000
  config.train.translate_every = 8000
  config.train.checkpoint_every = 2000
  config.eval.lowercase = True
