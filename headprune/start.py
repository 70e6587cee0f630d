"""From a config to what the training loop needs: checks, tokenizers, the step, first parameters."""

import dataclasses
import os
import pathlib
import shutil

from flax import traverse_util
import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType
from ml_collections import ConfigDict

from headprune import (
  checkpoint,
  data,
  evaluate,
  gates,
  model,
  optim,
  sources,
  steps,
  summary,
  tokenizer,
)
from headprune import config as config_lib
from headprune.errors import UserError
from headprune.metrics import say


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
  """What a run works on, fixed from its start to its end."""

  config: ConfigDict
  workdir: pathlib.Path
  setup: steps.Setup
  mesh: jax.sharding.Mesh
  text: dict  # split -> (source lines, target lines)
  pairs: dict  # "train", "dev" -> data.Pairs
  tokenizers: tuple
  rows: int  # B, over all processes


def check(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Raises a UserError for all that can be known to be wrong before data are read."""
  config_lib.validate(config)
  evaluate.check_bleu(config.eval)
  _batch_rows(config)
  optim.label(_shapes(config, config_lib.model_config(config.model, 3, 3)), config.optim.rules)
  _check_workdir(config, workdir)


def _check_workdir(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Raises a UserError if the workdir holds a run with another config, or one from elsewhere."""
  done = summary.read(workdir)
  if done and done["step"] == 0:
    raise UserError(
      f"{workdir} holds a model that was not trained there; to train it on, take another "
      f"--workdir and --config.init_from={workdir}"
    )
  if (workdir / "config.json").is_file():
    changed = config_lib.differences(config_lib.load(workdir), config)
    if changed:
      raise UserError(
        f"{workdir} holds a run with another config; take another folder or undo: "
        + "; ".join(changed)
      )
    return
  parent = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
  if not parent.is_dir() or not os.access(parent, os.W_OK):
    raise UserError(f"{workdir} cannot be made: {parent} is not a folder that one may write to")
  foreign = [workdir / name for name in ("checkpoints", "metrics.jsonl", "summary.json")]
  foreign += [path for path in (workdir / "tokenizer").glob("*") if not tokenizer.owns(path)]
  for path in foreign:
    if path.exists():
      raise UserError(f"{path} is there, but no config.json: not a run; take another folder")


def set_up(config: ConfigDict, workdir: pathlib.Path, begun: bool) -> tuple[Job, dict]:
  """Reads the data, trains or copies tokenizers, builds what the loop needs, starts parameters.

  Args:
    config: checked.
    workdir: takes config.json and the tokenizers.
    begun: the workdir has a checkpoint, so that nothing of `init_from` is needed.
  Returns:
    (job, {"model": ..., "gates": ...}: the parameters of step 0, or any in their shapes if begun).
  """
  text = sources.read_pairs(config.data)
  rows = _batch_rows(config)
  tokenizers = _tokenizers(config, workdir, text["train"])
  pairs = {}
  for split in ("train", "dev"):
    pairs[split], report = data.encode(*text[split], tokenizers, config.data.row_length)
    say(f"{split}: {report}")
  sizes = config_lib.model_config(config.model, *(t.vocab_size for t in tokenizers))
  setup, params = _start(config, sizes, begun)
  if jax.process_index() == 0:
    config_lib.save(config, workdir / "config.json")
  mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
  count = sum(x.size for x in jax.tree.leaves(params["model"]))
  say(
    f"{count:,} parameters; vocabularies {sizes.src_vocab:,} and {sizes.tgt_vocab:,}; batches of "
    f"{rows} rows x {config.data.row_length} tokens on {jax.device_count()} "
    f"{jax.devices()[0].platform} device(s)"
  )
  return Job(config, workdir, setup, mesh, text, pairs, tokenizers, rows), params


def _batch_rows(config: ConfigDict) -> int:
  return data.batch_rows(config.train.batch_tokens, config.data.row_length, config.train.accumulate)


def _tokenizers(config: ConfigDict, workdir: pathlib.Path, train_text) -> tuple:
  """The workdir's tokenizers; those of `init_from` or newly trained ones if it has none."""
  folder = workdir / "tokenizer"
  begun = (workdir / "config.json").is_file()  # else a tokenizer is left from a failed start
  if not begun and jax.process_index() == 0:
    workdir.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if config.init_from:
      shutil.copytree(pathlib.Path(config.init_from) / "tokenizer", folder)
    else:
      c = config.tokenizer
      tokenizer.train(c.kind, *train_text, c.vocab_size, c.shared, c.lowercase, folder)
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices("tokenizer")
  return tokenizer.load(folder)


def _init(config: ConfigDict, sizes: model.ModelConfig, key) -> dict:
  """New parameters."""
  gate_key, model_key = jax.random.split(key)
  module = gates.Gates(_gated(config), sizes.layers, sizes.max_heads, config.gates.init)
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  params = model.Transformer(sizes).init(model_key, batch, model.ones(sizes))["params"]
  return {"model": params, "gates": module.init(gate_key).get("params", {})}


def _gated(config: ConfigDict) -> tuple[str, ...]:
  """Attention types whose gates are learned."""
  return config.gates.types if config.gates.kind == "concrete" else ()


def _shapes(config: ConfigDict, sizes: model.ModelConfig) -> dict:
  return jax.eval_shape(lambda key: _init(config, sizes, key), jax.random.key(0))


def _start(config: ConfigDict, sizes: model.ModelConfig, begun: bool) -> tuple[steps.Setup, dict]:
  """The step's set-up and the parameters to start from."""
  shapes, types = _shapes(config, sizes), _gated(config)
  labels = optim.label(shapes, config.optim.rules)
  schedule = optim.noam(config.optim, sizes.model_size, config.train.steps)
  setup = steps.Setup(
    model_config=sizes,
    optimizer=optim.make(config.optim, schedule, labels),
    schedule=schedule,
    labels=labels,
    fixed_gates=config_lib.fixed_gates(config.gates, sizes),
    l0_coef=config.l0.coef,
    label_smoothing=config.train.label_smoothing,
    accumulate=config.train.accumulate,
    seed=config.seed,
  )
  say(optim.table(labels, shapes))
  if types:
    modules = gates.num_modules(types, sizes.heads)
    say(
      f"gates on {', '.join(types)}: l0.coef {config.l0.coef:g} is lambda "
      f"{config.l0.coef / modules:g} on a plain sum over heads ({modules} modules)"
    )
  new = jax.jit(lambda key: _init(config, sizes, key))(jax.random.key(config.seed))
  if config.init_from and not begun:
    return setup, _inherit(pathlib.Path(config.init_from), new)
  return setup, new


def _inherit(start: pathlib.Path, new: dict) -> dict:
  """Parameters of another run in the shapes of new ones; gates that it lacks start as in `new`."""
  average = config_lib.load(start).eval.average
  there = traverse_util.flatten_dict(checkpoint.load_params(start, average=average), sep="/")
  params = {}
  for path, here in traverse_util.flatten_dict(new, sep="/").items():
    if path not in there and path.startswith("gates/"):
      params[path] = here
    elif path not in there or there[path].shape != here.shape:
      found = there[path].shape if path in there else "not there"
      raise UserError(
        f"config.init_from={start}: parameter {path} is {found}, this config needs {here.shape}; "
        "give config.model and config.tokenizer the values of that run's config.json, or name "
        "another config.init_from"
      )
    else:
      params[path] = there[path]
  extra = sorted(path for path in there.keys() - params.keys() if not path.startswith("gates/"))
  if extra:
    raise UserError(
      f"config.init_from={start}: its parameter {extra[0]} has no place in this config's model"
    )
  return {"gates": {}} | traverse_util.unflatten_dict(params, sep="/")
