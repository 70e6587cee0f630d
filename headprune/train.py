"""A whole run: resume or start, the training loop, evaluation, and what is left to read."""

import functools
import json
import math
import pathlib

import jax
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict
import numpy as np

from headprune import checkpoint, data, evaluate, metrics, start, steps, summary
from headprune import config as config_lib
from headprune.errors import UserError
from headprune.metrics import say


def train_and_evaluate(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains one run to its end, or goes on where it was, or says that it is done.

  Resume order: the workdir's own newest checkpoint; else the parameters of `init_from`, which is
  trained first if the config tells how and it is not finished; else from scratch.

  Raises:
    UserError: the config, the data or the workdir cannot work; nothing on disk was changed.
  """
  config = config_lib.inherit_heads(config, workdir)
  start.check(config, workdir)
  done = summary.read(workdir)
  if done and done["ends_at"] == [config.train.steps, config.train.patience]:
    say(f"{workdir} is finished:")
    say(_table(config, workdir, done))
    return
  begun = checkpoint.begun(workdir)
  if config.init_from and not begun:
    _ensure_baseline(config, workdir)
  job, params = start.set_up(config, workdir, begun)
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
    if begun:
      state = checkpoint.restore(checkpoints, state, iterator)
      say(f"going on at step {int(state.step):,} of {config.train.steps:,}")
    writer = metrics.Writer(workdir, int(state.step))
    state, eval_loss = _loop(job, state, iterator, checkpoints, writer)
    _finish(job, state, iterator, checkpoints, writer, eval_loss)
    writer.close()


def _loop(job: start.Job, state, iterator, checkpoints, writer):
  """Trains to the last step; returns (state, function params -> dev loss)."""
  train = job.config.train
  train_step, eval_step = steps.compile_steps(job.setup)
  packing = job.config.data.row_length, job.config.data.packing_bins
  dev = [data.put(b, job.mesh) for b in data.eval_batches(job.pairs["dev"], job.rows, *packing)]
  eval_loss = functools.partial(evaluate.mean_loss, eval_step, batches=dev)
  step, results = int(state.step), []
  history = [row for row in metrics.read(job.workdir) if row["step"] <= step]
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
        _check_finite(result, step)
        checkpoint.save(checkpoints, state, iterator, row.get("dev_bleu"))
    if row:
      writer.write(step, row)
      history.append({"step": step, **row})
      say(metrics.progress(step, train.steps, row, clock.left(step)))
  return state, eval_loss


def _log_row(job: start.Job, results: list[dict], clock, step: int) -> dict:
  """The training numbers since the last row; losses are means over the steps."""
  results = jax.device_get(results)
  last = results[-1]
  _check_finite(last, step)
  row = {name: float(np.mean([r[name] for r in results])) for name in ("loss", "xent", "penalty")}
  row |= {name: float(last[name]) for name in ("learning_rate", "grad_norm")}
  row |= clock.read(step, sum(int(r["tokens"]) for r in results))
  values = _heads(job, {"gates": last["log_alpha"]})
  if last["log_alpha"]:
    heads = {n: h for n, h in job.setup.model_config.heads.items() if n in last["log_alpha"]}
    row["log_alpha"] = config_lib.heads_as_lists(last["log_alpha"], heads)
    row["gates"] = {name: values[name] for name in heads}
  row["open"] = {name: sum(n) for name, n in summary.count_open(values).items()}
  return row


def _check_finite(result: dict, step: int) -> None:
  """Raises a UserError if training has broken down; parameters are then not worth saving."""
  if not math.isfinite(result["loss"] + result["grad_norm"]):
    raise UserError(
      f"the loss or its gradient is not finite at step {step}: lower config.optim.scale or raise "
      "config.optim.warmup_steps, and take another --workdir"
    )


def _heads(job: start.Job, params: dict) -> dict:
  """Test-time gates as heads.json holds them; of `params`, the log_alpha under "gates" count."""
  values = jax.device_get(steps.test_gates(job.setup.fixed_gates, params))
  return config_lib.heads_as_lists(values, job.setup.model_config.heads)


def _translate(job: start.Job, params: dict, split: str, step: int) -> dict:
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


def _finish(job: start.Job, state, iterator, checkpoints, writer, eval_loss) -> None:
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


def _ensure_baseline(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains the run at `init_from` first if it is not finished and the config tells how."""
  folder = pathlib.Path(config.init_from)
  if folder.absolute() == workdir.absolute():
    raise UserError("config.init_from and --workdir are the same folder: take another --workdir")
  if summary.read(folder):
    _say_what_differs(config_lib.load(folder), config)
    return
  if "pretrain" not in config:
    raise UserError(f"config.init_from={folder}: there is no finished run")
  pretraining = config_lib.pretraining(config)
  try:
    start.check(pretraining, folder)
  except UserError as error:
    raise UserError(
      f"the baseline, which is trained first at config.init_from={folder} with "
      f"config.pretrain.train and .optim: {error}"
    ) from error
  say(f"No finished baseline at {folder}: training it first.")
  train_and_evaluate(pretraining, folder)
  say(f"\nThe baseline is ready; now {workdir}.")


def _say_what_differs(there: ConfigDict, here: ConfigDict) -> None:
  """Tells that the run at `init_from` saw other data or text: allowed, but easily a mistake."""
  rows = config_lib.differences(there, here)
  changed = [row for row in rows if row.startswith(("data.", "tokenizer."))]
  if changed:
    say(f"note: config.init_from={here.init_from} was trained otherwise: {'; '.join(changed)}")


def _replicate(tree, mesh):
  """The same values on all devices."""
  return jax.device_put(jax.device_get(tree), NamedSharding(mesh, PartitionSpec()))
