"""Measures training and translation with random weights: `python -m headprune.speed`.

Translation is of 100 sentences of 8 to 30 words, beam 4, exactly 20 decoding steps each. Head
counts take turns.
"""

import argparse
from collections.abc import Callable, Sequence
import json
import pathlib
import statistics

import jax
import numpy as np
import optax

from headprune import cli, cost, decode, model, steps, timing
from headprune.errors import UserError
from headprune.layers import PRECISIONS

SIZES = {  # name -> layers of each stack, D, F
  "small": (3, 256, 1024),
  "base": (6, 512, 2048),
}
HEADS = 8
KEPT = {"dense": 8, "half": 4, "quarter": 2}  # heads of every layer and type
VOCAB = 8000
TRAIN_ROWS, TRAIN_LENGTH = 128, 32  # 4,096 tokens a side
SENTENCES, STEPS = 100, 20  # to translate, words each
BEAM = decode.BeamConfig(beams=4, alpha=0.6, spread=3.0)
TASKS = ("train", "batch 100", "batch 1")


def sizes(size: str, heads: str, precision: str) -> model.ModelConfig:
  """The model's sizes for a name in SIZES and one in KEPT."""
  layers, model_size, ff_size = SIZES[size]
  kept = (KEPT[heads],) * layers
  return model.ModelConfig(
    src_vocab=VOCAB,
    tgt_vocab=VOCAB,
    model_size=model_size,
    head_size=model_size // HEADS,
    ff_size=ff_size,
    enc_self=kept,
    dec_self=kept,
    dec_enc=kept,
    embed_dropout=0.1,
    residual_dropout=0.1,
    attention_dropout=0.1,
    relu_dropout=0.1,
    precision=precision,
  )


def random_params(config: model.ModelConfig) -> dict:
  """Initial parameters of a model."""
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  init = lambda key: model.Transformer(config).init(key, batch, model.ones(config))["params"]
  return jax.jit(init)(jax.random.key(0))


def random_sentences() -> list[list[int]]:
  """SENTENCES sources of 8 to 30 ids, without EOS."""
  rng = np.random.default_rng(0)
  return [rng.integers(3, VOCAB, n).tolist() for n in rng.integers(8, 31, SENTENCES)]


def training(config: model.ModelConfig) -> Callable[[], None]:
  """A function that takes one optimiser step and waits for it."""
  params = {"model": random_params(config), "gates": {}}
  setup = steps.Setup(
    model_config=config,
    optimizer=optax.adam(1e-3),
    schedule=lambda step: 1e-3,
    labels=jax.tree.map(lambda _: "train", params),
    fixed_gates=model.ones(config),
    l0_coef=0.0,
    label_smoothing=0.1,
    accumulate=1,
    seed=0,
  )
  rng = np.random.default_rng(0)
  rows = rng.integers(3, VOCAB, (2, TRAIN_ROWS, TRAIN_LENGTH)).tolist()
  batch = jax.device_put(model.unpacked_batch(*rows, TRAIN_LENGTH, TRAIN_LENGTH))
  train_step, _ = steps.compile_steps(setup)
  state = steps.init_state(setup, params)

  def call():
    nonlocal state
    state, _ = jax.block_until_ready(train_step(state, batch))

  return call


def translation(config: model.ModelConfig, batch_size: int) -> Callable[[], None]:
  """A function that translates all sentences."""
  params, gates, sources = random_params(config), model.ones(config), random_sentences()
  limits = decode.exact_limits(STEPS)
  return lambda: decode.translate(config, params, gates, sources, BEAM, batch_size, limits)


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
    source = float(np.mean([len(ids) + 1 for ids in random_sentences()]))
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
  title = (
    "size",
    "task",
    "heads",
    "speed",
    "low",
    "high",
    "unit",
    "compile s",
    "gain",
    "predicted",
  )
  cells = [title] + [
    (
      row["size"], row["task"], row["heads"],
      *(f"{row[key]:,.0f}" if row[key] >= 1000 else f"{row[key]:.1f}"
        for key in ("median", "low", "high")),
      row["unit"], f"{row['compile_s']:.1f}", f"{row['gain']:.2f}x", f"{row['arithmetic']:.2f}x",
    )
    for row in rows
  ]  # fmt: skip
  widths = [max(map(len, column)) for column in zip(*cells)]
  return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths)) for line in cells)


def _names(text: str, known, flag: str) -> list[str]:
  """A comma-separated list of known names."""
  names = [name.strip() for name in text.split(",")]
  for name in names:
    if name not in known:
      raise UserError(f"--{flag}: {name!r} is not one of {', '.join(known)}")
  return names


def main() -> None:
  parser = argparse.ArgumentParser(prog="headprune.speed", description=__doc__)
  parser.add_argument("--sizes", default="small,base", help=", ".join(SIZES))
  parser.add_argument("--heads", default="dense,half,quarter", help="heads kept; gain over first")
  parser.add_argument("--tasks", default=",".join(TASKS), help=", ".join(TASKS))
  parser.add_argument("--precision", default="bfloat16", choices=PRECISIONS)
  parser.add_argument("--repeats", type=int, default=6)
  parser.add_argument("--json", type=pathlib.Path, help="also write the rows there")
  args = parser.parse_args()
  if args.repeats < 1:
    raise UserError(f"--repeats {args.repeats} must be at least 1")
  if args.json and not args.json.absolute().parent.is_dir():
    raise UserError(f"--json {args.json}: its folder does not exist")
  heads = _names(args.heads, KEPT, "heads")
  jax.config.update("jax_enable_compilation_cache", False)  # its time is measured too
  rows = []
  for size in _names(args.sizes, SIZES, "sizes"):
    for task in _names(args.tasks, TASKS, "tasks"):
      rows += measure(size, heads, task, args.precision, args.repeats)
      print(table(rows[-len(heads) :]), flush=True)
  print(f"\n{args.precision} on {jax.devices()[0].device_kind}\n{table(rows)}")
  if args.json:
    args.json.write_text(json.dumps({"precision": args.precision, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
  cli.run(main)
