"""Speed of training and translation with random weights, for head counts that take turns."""

from collections.abc import Callable, Sequence
import statistics

import jax
import numpy as np

from headprune import layout, timing
from headprune.nn import cost
from headprune.nn.config import ModelConfig, attention_precision, open_gates
from headprune.nn.transformer import init_params
from headprune.text import batching
from headprune.train import optim, steps
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator, exact_limits

SIZES = {  # name -> layers of each stack, D, F
  "small": (3, 256, 1024),
  "base": (6, 512, 2048),
}
HEADS = 8
KEPT = {"dense": 8, "half": 4, "quarter": 2}  # heads of every layer and type
VOCAB = 8000
TRAIN_ROWS, TRAIN_LENGTH = 128, 32  # 4,096 tokens a side
SENTENCES, STEPS = 100, 20  # to translate, words each
BEAM = BeamConfig(beams=4, alpha=0.6, spread=3.0)
TASKS = ("train", "batch 100", "batch 1")


def sizes(size: str, heads: str, precision: str) -> ModelConfig:
  """The model's sizes for a name in SIZES and one in KEPT."""
  layers, model_size, ff_size = SIZES[size]
  kept = (KEPT[heads],) * layers
  return ModelConfig(
    src_vocab=VOCAB,
    tgt_vocab=VOCAB,
    model_size=model_size,
    enc_self=kept,
    dec_self=kept,
    dec_enc=kept,
    enc_head_size=model_size // HEADS,
    dec_head_size=model_size // HEADS,
    enc_ff_size=ff_size,
    dec_ff_size=ff_size,
    embed_dropout=0.1,
    residual_dropout=0.1,
    attention_dropout=0.1,
    activation_dropout=0.1,
    precision=precision,
    attention_precision=attention_precision(precision, jax.default_backend()),
  )


def random_translator(config: ModelConfig) -> Translator:
  """A model at its start."""
  return Translator(config, init_params(config, jax.random.key(0)), open_gates(config))


def random_sentences() -> list[list[int]]:
  """SENTENCES sources of 8 to 30 ids and EOS."""
  rng = np.random.default_rng(0)
  return [[*rng.integers(3, VOCAB, n).tolist(), 1] for n in rng.integers(8, 31, SENTENCES)]


def training(config: ModelConfig) -> Callable[[], None]:
  """A function that takes one optimiser step and waits for it."""
  optimizer = optim.OptimConfig(
    model_size=config.model_size,
    total_steps=1000,
    warmup_steps=1000,
    cooldown_steps=0,
    b1=0.9,
    b2=0.998,
    eps=1e-9,
    gates_factor=1.0,
    rules=((".*", "train"),),
  )
  step_config = steps.StepConfig(config, optimizer, label_smoothing=0.1, accumulate=1)
  knobs = steps.knobs(0, 0.0, 1.0, open_gates(config))
  rng = np.random.default_rng(0)
  rows = rng.integers(3, VOCAB, (2, TRAIN_ROWS, TRAIN_LENGTH)).tolist()
  batch = jax.device_put(batching.pad_pairs(*rows, TRAIN_LENGTH, TRAIN_LENGTH))
  params = {"model": init_params(config, jax.random.key(0)), "gates": {}}
  state = steps.init_state(step_config, params)

  def call():
    nonlocal state
    state, _ = jax.block_until_ready(steps.train_step(step_config, knobs, state, batch))

  return call


def translation(config: ModelConfig, batch_size: int) -> Callable[[], object]:
  """A function that translates all sentences."""
  translator, sources = random_translator(config), random_sentences()
  return lambda: translator.translate(sources, BEAM, batch_size, exact_limits(STEPS))


def measure(size: str, heads: Sequence[str], task: str, precision: str, repeats: int) -> list[dict]:
  """One task for all head counts.

  Args:
    size: name in SIZES.
    heads: names in KEPT; gains are over the first.
    task: one of TASKS.
    precision: 'bfloat16' or 'float32'.
    repeats: timed calls, besides the one that compiles and those that warm up.
  Returns:
    A row per head count: median, lowest and highest speed (source + target tokens/s or
    sentences/s), compile seconds, gain and the gain that the removed operations predict.
  """
  configs = [sizes(size, name, precision) for name in heads]
  if task == "train":
    calls = [training(config) for config in configs]
    units, lengths, beams = 2 * TRAIN_ROWS * TRAIN_LENGTH, (TRAIN_LENGTH, TRAIN_LENGTH), 1
  else:
    calls = [translation(config, int(task.split()[1])) for config in configs]
    source = float(np.mean([len(ids) for ids in random_sentences()]))
    units, lengths, beams = SENTENCES, (source, STEPS), BEAM.beams
  flops = [cost.pair_flops(config, *lengths, beams) for config in configs]
  rows = []
  first, timed = timing.take_turns(calls, repeats)
  for name, compiling, seconds, operations in zip(heads, first, timed, flops):
    median = statistics.median(seconds)
    rows.append({
      "size": size,
      "heads": name,
      "task": task,
      "unit": "tokens/s" if task == "train" else "sentences/s",
      "median": units / median,
      "low": units / max(seconds),
      "high": units / min(seconds),
      "compile_s": compiling - median,
      "gain": units / median / rows[0]["median"] if rows else 1.0,
      "arithmetic": flops[0] / operations,
    })  # fmt: skip
  return rows


def table(rows: list[dict]) -> str:
  """The rows as text."""
  title = "size", "task", "heads", "speed", "low", "high", "unit", "compile s", "gain", "predicted"
  cells = [title] + [
    (
      row["size"], row["task"], row["heads"],
      *(f"{row[key]:,.0f}" if row[key] >= 1000 else f"{row[key]:.1f}"
        for key in ("median", "low", "high")),
      row["unit"], f"{row['compile_s']:.1f}", f"{row['gain']:.2f}x", f"{row['arithmetic']:.2f}x",
    )
    for row in rows
  ]  # fmt: skip
  return layout.aligned(cells, ">")
