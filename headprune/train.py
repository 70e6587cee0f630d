"""A whole run: set-up, resume or start, the training loop, evaluation, and what is left to read."""

import dataclasses
import functools
import json
import math
import pathlib
import shutil

from flax import traverse_util
import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from ml_collections import ConfigDict
import numpy as np

from headprune import (
  checkpoint,
  data,
  evaluate,
  gates,
  metrics,
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


def train_and_evaluate(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains one run to its end, or goes on where it was, or says that it is done.

  Resume order: the workdir's own newest checkpoint; else the parameters of `init_from`, which is
  trained first if the config tells how and it is not finished; else from scratch.

  Raises:
    UserError: the config, the data or the workdir cannot work; nothing on disk was changed.
  """
  config = config_lib.inherit_heads(config)
  config_lib.validate(config)
  evaluate.check_bleu(config.eval)
  _check_workdir(config, workdir)
  done = summary.read(workdir)
  if done and done["ends_at"] == [config.train.steps, config.train.patience]:
    say(f"{workdir} is finished:")
    say(_table(config, workdir, done))
    return
  _ensure_baseline(config, workdir)
  job, params = _set_up(config, workdir)
  summary.path(workdir).unlink(missing_ok=True)
  state = _replicate(steps.init_state(job.setup, params), job.mesh)
  with checkpoint.manager(workdir, config.train.keep) as checkpoints:
    iterator = data.train_batches(
      job.pairs["train"],
      job.rows // jax.process_count(),
      config.data.row_length,
      config.data.packing_bins,
      config.seed,
    )
    if checkpoints.latest_step() is not None:
      state = checkpoint.restore(checkpoints, state, iterator)
      say(f"going on at step {int(state.step):,} of {config.train.steps:,}")
    writer = metrics.Writer(workdir, int(state.step))
    state, eval_loss = _loop(job, state, iterator, checkpoints, writer)
    _finish(job, state, iterator, checkpoints, writer, eval_loss)
    writer.close()


def _loop(job: Job, state, iterator, checkpoints, writer):
  """Trains to the last step; returns (state, function params -> dev loss)."""
  train = job.config.train
  train_step, eval_step = steps.compile_steps(job.setup)
  packing = job.config.data.row_length, job.config.data.packing_bins
  dev = [data.put(b, job.mesh) for b in data.eval_batches(job.pairs["dev"], job.rows, *packing)]
  eval_loss = functools.partial(evaluate.mean_loss, eval_step, batches=dev)
  history = metrics.read(job.workdir)
  step, results = int(state.step), []
  clock = metrics.Clock(step, train.steps, _trained_seconds(history))
  while step < train.steps and not _out_of_patience(history, train.patience):
    state, result = train_step(state, data.put(next(iterator), job.mesh))
    results.append(result)
    jax.block_until_ready(results[-2:-1])  # a step late: the device always has work
    step += 1
    row, last = {}, step == train.steps
    if step % train.log_every == 0 or last:
      row, results = _log_row(job, results, clock, step), []
    with clock.paused():
      if step % train.eval_every == 0 and not last:
        row["dev_loss"] = eval_loss(state.params)
      translate = step % train.translate_every == 0 and not last
      if translate:
        params = checkpoint.averaged(checkpoints, state, job.config.eval.average)
        row |= _translate(job, params, "dev", step)
      if translate or (step % train.checkpoint_every == 0 and not last):
        checkpoint.save(checkpoints, state, iterator, row.get("dev_bleu"))
    if row:
      writer.write(step, row)
      history.append({"step": step, **row})
      say(metrics.progress(step, train.steps, row, clock.left(step)))
  return state, eval_loss


def _log_row(job: Job, results: list[dict], clock, step: int) -> dict:
  """The training numbers since the last row; losses are means over the steps."""
  results = jax.device_get(results)
  last = results[-1]
  row = {name: float(np.mean([r[name] for r in results])) for name in ("loss", "xent", "penalty")}
  if not math.isfinite(row["loss"]):
    raise UserError(
      f"the loss is not finite near step {step}: lower config.optim.scale or raise "
      "config.optim.warmup_steps, then run again"
    )
  row |= {name: float(last[name]) for name in ("learning_rate", "grad_norm")}
  row |= clock.read(step, sum(int(r["tokens"]) for r in results))
  values = _heads(job, {"gates": last["log_alpha"]})
  if last["log_alpha"]:
    heads = {n: h for n, h in job.setup.model_config.heads.items() if n in last["log_alpha"]}
    row["log_alpha"] = config_lib.heads_as_lists(last["log_alpha"], heads)
    row["gates"] = {name: values[name] for name in heads}
  row["open"] = {name: sum(n) for name, n in summary.count_open(values).items()}
  return row


def _heads(job: Job, params: dict) -> dict:
  """Test-time gates as heads.json holds them; of `params`, the log_alpha under "gates" count."""
  values = jax.device_get(steps.test_gates(job.setup.fixed_gates, params))
  return config_lib.heads_as_lists(values, job.setup.model_config.heads)


def _translate(job: Job, params: dict, split: str, step: int) -> dict:
  """Translates a split into a file; {split_bleu, signature} with gates as at test time.

  The first process alone does it: translations need no other device.
  """
  if jax.process_index() != 0:
    return {}
  sources_, references = job.text[split]
  values = steps.test_gates(job.setup.fixed_gates, params)
  lines = evaluate.translate_lines(
    sources_, job.tokenizers, job.setup.model_config, params["model"], values, job.config.eval
  )
  path = job.workdir / "translations" / f"{split}-{step:07d}.txt"
  path.parent.mkdir(exist_ok=True)
  path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
  score, signature = evaluate.bleu(lines, references, job.config.eval)
  return {f"{split}_bleu": score, "signature": signature}


def _finish(job: Job, state, iterator, checkpoints, writer, eval_loss) -> None:
  """The last checkpoint, the last evaluation, heads.json, summary.json and the table."""
  step = int(state.step)
  params = checkpoint.averaged(checkpoints, state, job.config.eval.average)
  row = {"dev_loss": eval_loss(_replicate(params, job.mesh))}
  for split in ("dev", "test"):
    if split in job.text:
      row |= _translate(job, params, split, step)
  if checkpoints.latest_step() != step:
    checkpoint.save(checkpoints, state, iterator, row.get("dev_bleu"))
  checkpoints.wait_until_finished()
  writer.write(step, row)
  if jax.process_index() == 0:
    history = metrics.read(job.workdir)
    rates = [r["tokens_per_second"] for r in history if "tokens_per_second" in r]
    done = row | {
      "step": step,
      "ends_at": [job.config.train.steps, job.config.train.patience],
      "tokens_per_second": float(np.median(rates)) if rates else 0.0,
      "train_seconds": _trained_seconds(history),
    }
    summary.write(job.workdir, done, _heads(job, params))
    say(_table(job.config, job.workdir, done))


def _table(config: ConfigDict, workdir: pathlib.Path, done: dict) -> str:
  before = summary.read(pathlib.Path(config.init_from)) if config.init_from else None
  return summary.table(workdir, done, json.loads((workdir / "heads.json").read_text()), before)


def _trained_seconds(history: list[dict]) -> float:
  return max((row.get("train_seconds", 0.0) for row in history), default=0.0)


def _out_of_patience(history: list[dict], patience: int) -> bool:
  """Whether the last `patience` dev losses are no better than the best one before them."""
  losses = [row["dev_loss"] for row in history if "dev_loss" in row]
  return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


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
        f"{workdir} holds a run with another config; take another --workdir or undo: "
        + "; ".join(changed)
      )
  elif workdir.exists() and not workdir.is_dir():
    raise UserError(f"--workdir {workdir} is a file")


def _ensure_baseline(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains the run at `init_from` first if it is not finished and the config tells how."""
  if not config.init_from:
    return
  start = pathlib.Path(config.init_from)
  if start.absolute() == workdir.absolute():
    raise UserError("config.init_from and --workdir are the same folder: take another --workdir")
  if summary.read(start):
    _say_what_differs(config_lib.load(start), config)
    return
  if "pretrain" not in config:
    raise UserError(f"config.init_from={config.init_from}: there is no finished run")
  say(f"No finished baseline at {start}: training it first.")
  train_and_evaluate(config_lib.pretraining(config), start)
  say(f"\nThe baseline is ready; now {workdir}.")


def _say_what_differs(there: ConfigDict, here: ConfigDict) -> None:
  """Tells that the run at `init_from` saw other data or text: allowed, but easily a mistake."""
  rows = config_lib.differences(there, here)
  changed = [row for row in rows if row.startswith(("data.", "tokenizer."))]
  if changed:
    say(f"note: config.init_from={here.init_from} was trained otherwise: {'; '.join(changed)}")


def _set_up(config: ConfigDict, workdir: pathlib.Path) -> tuple[Job, dict]:
  """Reads the data, trains or copies tokenizers, builds what the loop needs, starts parameters."""
  text = sources.read_pairs(config.data)
  rows = data.batch_rows(config.train.batch_tokens, config.data.row_length, config.train.accumulate)
  tokenizers = _tokenizers(config, workdir, text["train"])
  pairs = {}
  for split in ("train", "dev"):
    pairs[split], report = data.encode(*text[split], tokenizers, config.data.row_length)
    say(f"{split}: {report}")
  sizes = config_lib.model_config(config.model, *(t.vocab_size for t in tokenizers))
  setup, params = _start(config, sizes)
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


def _start(config: ConfigDict, sizes: model.ModelConfig) -> tuple[steps.Setup, dict]:
  """The step's set-up and the parameters to start from."""
  gate_key, model_key = jax.random.split(jax.random.key(config.seed))
  types = config.gates.types if config.gates.kind == "concrete" else ()
  module = gates.Gates(types, sizes.layers, sizes.max_heads, config.gates.init)
  log_alphas = module.init(gate_key).get("params", {})
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  init = lambda key: model.Transformer(sizes).init(key, batch, model.ones(sizes))["params"]
  shapes = {"model": jax.eval_shape(init, model_key), "gates": log_alphas}
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
  if config.init_from:
    return setup, _inherit(pathlib.Path(config.init_from), shapes)
  return setup, {"model": jax.jit(init)(model_key), "gates": log_alphas}


def _inherit(start: pathlib.Path, shapes: dict) -> dict:
  """Parameters of another run in the shapes of this one; gates that it lacks start as given."""
  average = config_lib.load(start).eval.average
  there = traverse_util.flatten_dict(checkpoint.load_params(start, average=average), sep="/")
  params = {}
  for path, here in traverse_util.flatten_dict(shapes, sep="/").items():
    if path not in there and path.startswith("gates/"):
      params[path] = here
    elif path not in there or there[path].shape != here.shape:
      found = there[path].shape if path in there else "not there"
      raise UserError(
        f"config.init_from={start}: parameter {path} is {found}, this config needs {here.shape}; "
        "give config.model and config.tokenizer the values of that run's config.json"
      )
    else:
      params[path] = there[path]
  extra = sorted(path for path in there.keys() - params.keys() if not path.startswith("gates/"))
  if extra:
    raise UserError(
      f"config.init_from={start}: its parameter {extra[0]} has no place in this config's model"
    )
  return {"gates": {}} | traverse_util.unflatten_dict(params, sep="/")


def _replicate(tree, mesh):
  """The same values on all devices."""
  return jax.device_put(jax.device_get(tree), NamedSharding(mesh, PartitionSpec()))
