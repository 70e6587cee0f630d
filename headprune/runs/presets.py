"""What the presets change, as data: preset -> dotted field -> value, on top of defaults.base().

TASKS holds data and sizes, SCHEDULES how each method trains: sections `optim`, `train` and `l0`.
"""

ENCODER_ONLY = (  # shared embeddings stay frozen: they are the decoder's too
  (r"model/(src_|enc).*", "train"),
  (r"gates/.*", "train"),
  (r".*", "freeze"),
)
METHODS = {
  "baseline": "a model without gates, where pruning starts",
  "concrete": "learned gates on a baseline, which is trained first; PRESET,encoder: encoder alone",
  "fixed": "the gates of another run or given ones, trained on; PRESET,scratch from new parameters",
}
ABOUT = {
  "": "built-in sentences with parses and alignments: 40,000 pairs, 2 + 1 layers, minutes on CPUs",
  "cldr": "built-in dates, amounts and lists, English-Russian: 40,000 pairs, 2 + 2 layers, minutes",
  "multi30k": "29,000 English-German captions, lower-cased, 4 + 4 layers, D 128: an hour or two",
  "marian": "the same in MarianMT's architecture",
  "words": "the captions as whole words, in the original program's sizes: 3 + 3 layers, D 256",
  "enru": "files of your own, some 100,000 pairs: 3 + 3 layers, D 256, vocabularies of 8,000",
  "opus": "a pretrained MarianMT model (runs/opus) and files of your own, one GPU",
  "opus-cpu": "the same to try out on two cores: 100 steps",
  "base": "the paper's Transformer-base on WMT: 6 + 6 layers, D 512, 16k tokens a batch",
}
MARIAN = {  # what MarianMT computes whatever its config: fields of the `model` section
  "norm": "post",
  "final_norms": False,
  "norm_epsilon": 1e-5,
  "positions": "huggingface",
  "source_bias": False,
  "logits_bias": True,
}
NO_PENALTY = {"l0.coef": 0.0, "l0.per_head": 0.0, "l0.target_heads": ""}


def noam_peak(scale: float, model_size: int, warmup_steps: int) -> float:
  """The highest rate of scale * D^-0.5 * min(step^-0.5, step * warmup^-1.5)."""
  return scale * (model_size * warmup_steps) ** -0.5


def _files(folder: str, src: str, tgt: str, dev: str, test: str) -> dict:
  """Fields of parallel text files called NAME.LANGUAGE.gz."""
  fields = {"data.kind": "text", "data.text.dir": folder}
  for split, name in (("train", "train"), ("dev", dev), ("test", test)):
    fields[f"data.text.{split}_src"] = f"{name}.{src}.gz"
    fields[f"data.text.{split}_tgt"] = f"{name}.{tgt}.gz"
  return fields


_MULTI30K = {  # EN-DE, lower-cased, with the sizes of the best small text-only Transformer
  **_files("data/multi30k", "en", "de", "val", "test2016"),
  "data.row_length": 64,
  "tokenizer.vocab_size": 6000,
  "tokenizer.shared": True,
  "tokenizer.lowercase": True,
  "model.layers": 4,
  "model.num_heads": 4,
  "model.share_embeddings": True,
  "model.embed_dropout": 0.3,
  "model.residual_dropout": 0.3,
  "train.batch_tokens": 4096,
  "eval.lowercase": True,
}

_THREE_LAYERS = {  # 3 + 3 layers of 8 heads, D 256
  "data.row_length": 64,
  "tokenizer.vocab_size": 8000,
  "model.layers": 3,
  "model.model_size": 256,
  "model.ff_size": 1024,
}

_OPUS = {  # a MarianMT model from elsewhere, whose sizes and tokenizer it has; dropout as there
  "data.kind": "text",
  "data.row_length": 128,
  "model.attention_dropout": 0.0,
  "model.activation_dropout": 0.0,
}
PRETRAINED = {"opus": "runs/opus", "opus-cpu": "runs/opus"}  # preset -> what it starts from

TASKS = {
  "": {  # one decoder layer, which cannot find out by itself what belongs together
    "model.dec_layers": 1,
    "model.embed_dropout": 0.0,  # in so few steps it does not overfit
    "model.residual_dropout": 0.0,
    "model.attention_dropout": 0.0,
    "model.activation_dropout": 0.0,
  },
  "cldr": {"data.corpus.kind": "cldr"},
  "multi30k": _MULTI30K,
  "marian": _MULTI30K
  | {f"model.{name}": value for name, value in MARIAN.items()}
  | {  # the same with the architecture of opus-mt models, and text that keeps its case as theirs
    "tokenizer.lowercase": False,
    "model.activation": "silu",
    "model.decoder_start": 0,  # the id of <pad> in vocabularies that are made here
  },
  "words": {  # Multi30k EN-DE in lower-cased words and the sizes of the original program's model
    **_files("data/words", "en", "de", "val", "test2016"),
    **_THREE_LAYERS,
    "tokenizer.kind": "whitespace",
    "model.precision": "float32",
    "train.batch_tokens": 2048,
    "train.checkpoint_every": 50,  # a mean of any that lie further apart costs BLEU
    "train.keep": 4,
    "eval.tokenize": "none",
    "eval.average": 4,
  },
  "enru": {  # English-Russian files
    **_files("data/enru", "en", "ru", "dev", "test"),
    **_THREE_LAYERS,
    "model.embed_dropout": 0.2,
    "model.residual_dropout": 0.2,
    "train.batch_tokens": 4096,
  },
  "opus": _OPUS | {"train.batch_tokens": 8192},
  "opus-cpu": _OPUS | {"train.batch_tokens": 1024},
  "base": {  # the paper's recipe: Transformer-base, 16k tokens a batch, Noam 4.0 / 16,000
    "data.kind": "tfds",
    "data.row_length": 128,
    "tokenizer.vocab_size": 32000,
    "tokenizer.lowercase": True,
    "model.layers": 6,
    "model.model_size": 512,
    "model.ff_size": 2048,
    "optim.learning_rate": noam_peak(4.0, 512, 16000),
    "optim.warmup": 0.08,
    "train.batch_tokens": 16384,
    "train.steps": 200000,
    "train.log_every": 100,
    "train.eval_every": 2000,
    "train.translate_every": 8000,
    "train.checkpoint_every": 2000,
    "eval.lowercase": True,
  },
}

_BUILT_IN_BASELINE = {"optim.learning_rate": 0.0125, "optim.cooldown": 0.4}

_BUILT_IN_CONCRETE = {
  "optim.learning_rate": noam_peak(1.0, 128, 100),
  "optim.gates_factor": 10.0,
  "optim.warmup": 0.2,
  "optim.cooldown": 0.4,
}

_MULTI30K_BASELINE = {
  "optim.learning_rate": noam_peak(2.0, 128, 2000),
  "optim.warmup": 0.4,
  "optim.cooldown": 0.3,
  "train.steps": 5000,
  "train.eval_every": 250,
  "train.translate_every": 1000,
  "train.checkpoint_every": 250,
}

_MULTI30K_CONCRETE = {  # learns from the baseline too, and most of it after the gates have settled
  "model.embed_dropout": 0.03,  # so few heads hardly overfit
  "model.residual_dropout": 0.03,
  "l0.target_heads": "25%",
  "l0.ramp": 0.3,
  "l0.settled": 0.7,
  "optim.learning_rate": 0.004,
  "optim.gates_factor": 12.5,
  "optim.warmup": 0.1,
  "optim.cooldown": 0.5,
  "train.steps": 3000,
  "train.distill": 0.5,
}

_WORDS_BASELINE = {
  "optim.learning_rate": 0.002,
  "optim.cooldown": 0.4,
  "train.steps": 1200,
  "train.eval_every": 150,
}

_WORDS_CONCRETE = {  # learns from the baseline too, and most of it after the gates have settled
  "l0.target_heads": "10",
  "l0.ramp": 0.283,
  "l0.settled": 0.717,
  "optim.learning_rate": 0.002,
  "optim.gates_factor": 12.5,
  "optim.warmup": 0.06,
  "optim.cooldown": 0.6,
  "train.steps": 3000,
  "train.distill": 0.5,
}

_OPUS_FINE_TUNING = {
  "optim.learning_rate": noam_peak(0.1, 512, 500),  # 2e-4
  "optim.warmup": 1 / 12,
  "optim.cooldown": 1 / 3,
  "train.steps": 6000,
  "train.eval_every": 500,
  "train.translate_every": 2000,
  "train.checkpoint_every": 500,
}

_OPUS_CPU_FINE_TUNING = {  # to try: minutes on two cores
  "optim.learning_rate": noam_peak(0.01, 512, 10),  # 1.4e-4
  "optim.warmup": 0.1,
  "optim.cooldown": 0.4,
  "train.steps": 100,
  "train.log_every": 5,
  "train.eval_every": 50,
  "train.translate_every": 100,
  "train.checkpoint_every": 25,
}

SCHEDULES = {
  "baseline": {
    "": _BUILT_IN_BASELINE | {"train.steps": 800},
    "cldr": _BUILT_IN_BASELINE,
    "multi30k": _MULTI30K_BASELINE,
    "marian": _MULTI30K_BASELINE,
    "words": _WORDS_BASELINE,
    "opus": _OPUS_FINE_TUNING,
    "opus-cpu": _OPUS_CPU_FINE_TUNING,
    "enru": {
      "optim.learning_rate": noam_peak(1.0, 256, 800),
      "optim.warmup": 1 / 3,
      "optim.cooldown": 5 / 12,
      "train.steps": 2400,
      "train.eval_every": 250,
      "train.translate_every": 1000,
    },
    "base": {},
  },
  "concrete": {  # gates_factor: short runs must move log_alpha by about 3
    "": _BUILT_IN_CONCRETE | {"l0.coef": 0.2, "train.steps": 800},
    "cldr": _BUILT_IN_CONCRETE | {"l0.coef": 0.08},
    "multi30k": _MULTI30K_CONCRETE,
    "marian": _MULTI30K_CONCRETE,
    "words": _WORDS_CONCRETE,
    "opus": _OPUS_FINE_TUNING | {"l0.target_heads": "33%", "optim.gates_factor": 50.0},
    "opus-cpu": _OPUS_CPU_FINE_TUNING | {"l0.target_heads": "33%", "optim.gates_factor": 1000.0},
    "enru": {
      "l0.coef": 0.2,
      "optim.learning_rate": noam_peak(1.0, 256, 200),
      "optim.gates_factor": 10.0,
      "optim.warmup": 0.2,
      "optim.cooldown": 0.4,
      "train.steps": 1000,
    },
    "base": {"l0.coef": 0.1},
  },
}
