"""A run that nobody trained, for tests of what reads runs: random parameters, words as tokens."""

import pathlib

import numpy as np

from headprune.nn import gates
from headprune.runs import defaults, derived
from headprune.runs import run as run_lib
from headprune.runs.summary import Summary
from headprune.text import special, tokenizer, whitespace
from headprune.translator.translator import Translator
from tests import tiny

WORDS = "a big dog saw the red cat".split()
LINES = ["the dog saw a cat", "", "a big red dog", "  ", "cat"]


def make(out: pathlib.Path, **fields) -> run_lib.Run:
  """Writes a run, with learned gates of which each layer has a closed one, and loads it.

  Args:
    out: its folder.
    **fields: of the config, with "__" for ".".
  """
  config = defaults.base()
  config.update_from_flattened_dict({
    "data.kind": "text", "data.row_length": 16, "tokenizer.kind": "whitespace",
    "model.layers": 2, "model.model_size": 8, "model.ff_size": 8, "model.num_heads": 2,
    "model.precision": "float32", "gates.kind": "concrete", "eval.beams": 2,
    "eval.batch_sentences": 2,
  } | {name.replace("__", "."): value for name, value in fields.items()})  # fmt: skip
  files = tokenizer.whitespace_files(*[[*special.RESERVED, *WORDS]] * 2)
  vocabularies = tuple(whitespace.Whitespace((*special.RESERVED, *WORDS)) for _ in "ab")
  sizes = derived.model_config(config.model, vocabularies)
  types = derived.gated_types(config)
  log_alphas = {n: np.array([[0.5, -3.0]] * 2, np.float32) for n in types}
  ones = derived.fixed_gates(config.gates, sizes)
  translator = Translator(sizes, tiny.random_params(sizes), gates.eval_gates(ones, log_alphas))
  run_lib.write(out, config, files, translator, log_alphas, Summary("converted", "nowhere"))
  return run_lib.load(out)
