"""Small runs as the real command trains them, for tests of what follows."""

import pathlib
import sys

from flax import traverse_util
from ml_collections import ConfigDict

from headprune.runs import defaults, metrics
from headprune.runs.workdir import Workdir

SMALL = {
  "data.corpus.train": 300,
  "data.corpus.dev": 12,
  "data.corpus.test": 8,
  "tokenizer.vocab_size": 150,
  "model.model_size": 16,
  "model.ff_size": 32,
  "model.num_heads": 4,
  "optim.learning_rate": 0.0067,
  "optim.warmup": 0.4,
  "optim.cooldown": 1.0,
  "optim.gates_factor": 200.0,
  "l0.coef": 3.0,
  "train.steps": 12,
  "train.batch_tokens": 512,
  "train.log_every": 3,
  "train.eval_every": 6,
  "train.translate_every": 6,
  "train.checkpoint_every": 3,
  "train.keep": 5,
  "eval.average": 2,
}


def small_config(method, init_from: pathlib.Path) -> ConfigDict:
  config = defaults.config(method, "cldr")
  config.update_from_flattened_dict(SMALL)
  config.init_from = str(init_from)
  if "pretrain" in config:
    own = {k: v for k, v in SMALL.items() if k.startswith(("train.", "optim."))}
    config.pretrain.update_from_flattened_dict(own)
  return config


def command(workdir: pathlib.Path, baseline: pathlib.Path) -> list[str]:
  flags = [f"--config.{field}={value}" for field, value in SMALL.items()]
  flags += [
    f"--config.pretrain.{field}={value}"
    for field, value in SMALL.items()
    if field.startswith(("train.", "optim."))
  ]
  return [
    sys.executable, "-m", "headprune.main", "--config", "configs/concrete.py:cldr",
    "--workdir", str(workdir), f"--config.init_from={baseline}", *flags,
  ]  # fmt: skip


def untimed_rows(workdir: pathlib.Path) -> list[dict]:
  """The metrics without what a clock tells."""
  timed = ("tokens_per_second", "train_seconds")
  rows = metrics.read(Workdir(workdir))
  return [{name: x for name, x in row.items() if name not in timed} for row in rows]


def flat(params: dict) -> dict:
  """Path -> array."""
  return traverse_util.flatten_dict(params, sep="/")
