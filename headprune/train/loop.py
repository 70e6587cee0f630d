"""A whole run: resume or begin, the training loop, evaluation, and what is left to read."""

import contextlib
import math
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.nn import gates
from headprune.runs import checkpoint, inherit, lock, metrics
from headprune.runs import heads as heads_lib
from headprune.runs.run import Run
from headprune.runs.summary import Summary, table
from headprune.runs.workdir import Workdir, read_json, write_text
from headprune.text import bleu, packing
from headprune.train import devices, prepare, progress, steps
from headprune.translator.translator import Translator


def train(config: ConfigDict, workdir: pathlib.Path | str, wait: bool = False) -> Summary:
  """Trains one run to its end, or goes on where it was, or finds it finished.

  A run that `init_from` names must be finished; `prepare.stages` tells what to train before.

  Args:
    config: locked, from headprune.runs.defaults or a config file.
    workdir: the run's folder.
    wait: for another program that is training there; else that is an error.
  Returns:
    The run's summary, as summary.json holds it.
  Raises:
    UserError: the config, the data or the workdir cannot work, or the workdir is in use; nothing on
      disk was changed.
  """
  with devices.meeting("training"):
    workdir = Workdir(pathlib.Path(workdir))
    given, config = config, inherit.inherit(config, workdir)
    prepare.check(config, workdir)
    if prepare.lacks_baseline(config, workdir):
      raise UserError(f"config.init_from={config.init_from}: there is no finished run")
    done = prepare.finished(config, workdir)
    if done:
      devices.print_first(f"{workdir.path} is finished:")
    else:
      prepare.print_inherited(given, config)
      with _held(workdir, wait):
        done = prepare.finished(config, workdir) or _begin(config, workdir)
    if devices.is_first():
      print(_closing_table(config, workdir, done), flush=True)
  return done


@contextlib.contextmanager
def _held(workdir: Workdir, wait: bool):
  """The lock on the workdir, which the first process takes before all go on."""
  with contextlib.ExitStack() as stack:
    with devices.meeting("taking the workdir"):
      if devices.is_first():
        stack.enter_context(lock.held(workdir.path, wait, devices.print_first))
    yield


def _begin(config: ConfigDict, workdir: Workdir) -> Summary:
  with devices.meeting("setting up"):
    prepare.check(config, workdir)  # another program may have trained here in the meantime
    job, params = prepare.set_up(config, workdir)
  return _run(job, params)


def _run(job: prepare.Job, params: dict) -> Summary:
  """The state, the data, the files; then the loop and what comes after it."""
  config, workdir = job.config, job.workdir
  data = config.data
  iterator = packing.train_batches(
    job.pairs, job.rows, data.row_length, data.packing_bins, config.seed, *devices.share()
  )
  state = _place(job, steps.init_state(job.step_config, _place(job, params)))
  workdir.reopen()
  checkpoints = checkpoint.manager(workdir, config.train.keep)
  with checkpoints, contextlib.closing(iterator):
    if job.resumes:
      step, *saved = checkpoint.restore(checkpoints, state.params, state.opt_state, iterator)
      state = steps.TrainState(devices.replicate(np.int32(step), job.mesh), *saved)
      devices.print_first(f"going on at step {step:,} of {config.train.steps:,}")
    with _writer(workdir, int(state.step)) as writer:
      state = _loop(job, state, iterator, checkpoints, writer)
      return _finish(job, state, iterator, checkpoints, writer)


def _place(job: prepare.Job, tree):
  """A state, or a part of one, on the devices as the config wants it."""
  place = devices.spread if job.config.train.shard_params else devices.replicate
  return place(tree, job.mesh)


def _writer(workdir: Workdir, step: int):
  """A context with the metrics' writer on the first process, None on the others."""
  if devices.is_first():
    return contextlib.closing(metrics.Writer(workdir, step))
  return contextlib.nullcontext()


def _loop(job: prepare.Job, state, iterator, checkpoints, writer) -> steps.TrainState:
  """Trains to the last step."""
  train = job.config.train
  step, results = int(state.step), []
  history = [row for row in metrics.read(job.workdir) if row["step"] <= step]
  clock = progress.Clock(step, train.steps, _trained_seconds(history))
  while step < train.steps and not _out_of_patience(history, train.patience):
    batch = devices.shard_batch(next(iterator), job.mesh)
    state, result = steps.train_step(job.step_config, job.knobs, state, batch)
    if train.shard_params:  # XLA may have spread the new state in another way
      state = devices.spread(state, job.mesh)
    results.append(result)
    jax.block_until_ready(results[-2:-1])  # a step late: the device always has work
    step += 1
    row, last = {}, step == train.steps
    if step % train.log_every == 0 or last:
      row, results = _log_row(job, results, clock, step), []
    with clock.paused():
      if step % train.eval_every == 0 and not last:
        row["dev_loss"] = _dev_loss(job, state.params)
      translate = step % train.translate_every == 0 and not last
      if translate:
        row |= _translate(job, _averaged(job, checkpoints, state), ["dev"], step)
      if translate or (step % train.checkpoint_every == 0 and not last):
        _check_finite(result, step)
        _save(checkpoints, state, iterator, row.get("dev_bleu"))
    if row:
      if writer:
        writer.write(step, row)
      history.append({"step": step, **row})
      devices.print_first(progress.line(step, train.steps, row, clock.left(step)))
  return state


def _finish(job: prepare.Job, state, iterator, checkpoints, writer) -> Summary:
  """The last evaluation and checkpoint, heads.json and summary.json."""
  step = int(state.step)
  params = _averaged(job, checkpoints, state)
  row = {"dev_loss": _dev_loss(job, _place(job, params))}
  splits = [split for split in ("dev", "test") if split in job.text]
  row |= _translate(job, params, splits, step)
  if checkpoints.latest_step() != step:
    _save(checkpoints, state, iterator, row.get("dev_bleu"))
  checkpoints.wait_until_finished()
  if writer:
    writer.write(step, row)
  history = metrics.read(job.workdir)
  rates = [r["tokens_per_second"] for r in history if "tokens_per_second" in r]
  summary = Summary(
    kind="trained",
    step=step,
    ends_at=(job.config.train.steps, job.config.train.patience),
    tokens_per_second=float(np.median(rates)) if rates else 0.0,
    train_seconds=_trained_seconds(history),
    **row,
  )
  if devices.is_first():
    job.workdir.finish(summary, _eval_heads(job, params["gates"]))
  return summary


def _log_row(job: prepare.Job, results: list[dict], clock, step: int) -> dict:
  """The training numbers since the last row; losses are means over the steps."""
  results = devices.gather(results, job.mesh)
  last = results[-1]
  _check_finite(last, step)
  row = {name: float(np.mean([r[name] for r in results])) for name in ("loss", "xent", "penalty")}
  row |= {name: float(last[name]) for name in ("learning_rate", "grad_norm")}
  row |= clock.read(step, sum(int(r["tokens"]) for r in results))
  values = _eval_heads(job, last["log_alpha"])
  if last["log_alpha"]:
    row["log_alpha"] = heads_lib.as_lists(last["log_alpha"], job.step_config.model.heads)
    row["gates"] = {name: values[name] for name in row["log_alpha"]}
  row["open"] = {name: sum(n) for name, n in heads_lib.count_open(values).items()}
  return row


def _check_finite(result: dict, step: int) -> None:
  """Raises a UserError if training has broken down; parameters are then not worth saving."""
  if not math.isfinite(result["loss"] + result["grad_norm"]):
    raise UserError(
      f"the loss or its gradient is not finite at step {step}: lower config.optim.scale or raise "
      "config.optim.warmup_steps, and take another --workdir"
    )


def _dev_loss(job: prepare.Job, params: dict) -> float:
  """Loss per target token over all batches, summed first and divided once."""
  totals = [steps.eval_step(job.step_config, job.knobs, params, b) for b in job.dev_batches]
  return float(sum(loss for loss, _ in totals)) / float(sum(tokens for _, tokens in totals))


def _translate(job: prepare.Job, params: dict, splits: list[str], step: int) -> dict:
  """Translates splits into files; {"{split}_bleu": ..., "signature": ...}, gates as at test time.

  Each process translates its share of the sentences, on one of its devices.
  """
  row, run = {}, _evaluated(job, params)
  number, count = devices.share()
  for split in splits:
    sources, references = job.text[split]
    with devices.meeting("translating"):
      own = run.translate(sources[number::count])
    lines = devices.join(own)
    with devices.meeting("writing translations"):
      if devices.is_first():
        path = job.workdir.translations(split, step)
        write_text(path, "".join(f"{line}\n" for line in lines))
    row[f"{split}_bleu"], row["signature"] = bleu.score(lines, references, run.config.eval)
  return row


def _evaluated(job: prepare.Job, params: dict) -> Run:
  """The run as it would be loaded with these parameters, which are on the host."""
  gate_values = gates.eval_gates(job.knobs.fixed_gates, params["gates"])
  translator = Translator(job.step_config.model, params["model"], gate_values)
  return Run(job.workdir, job.config, translator, params["gates"], *job.tokenizers)


def _eval_heads(job: prepare.Job, log_alphas: dict) -> dict:
  """Test-time gates as heads.json holds them."""
  values = jax.device_get(gates.eval_gates(job.knobs.fixed_gates, log_alphas))
  return heads_lib.as_lists(values, job.step_config.model.heads)


def _averaged(job: prepare.Job, checkpoints, state) -> dict:
  params = devices.gather(state.params, job.mesh)
  return checkpoint.averaged(checkpoints, int(state.step), params, job.config.eval.average)


def _save(checkpoints, state, iterator, dev_bleu: float | None) -> None:
  checkpoint.save(checkpoints, int(state.step), state.params, state.opt_state, iterator, dev_bleu)


def _closing_table(config: ConfigDict, workdir: Workdir, done: Summary) -> str:
  before = Workdir(pathlib.Path(config.init_from)).read_summary() if config.init_from else None
  rows = table(done, read_json(workdir.heads), before)
  return f"{rows}\n  {'files':<12}{workdir.path}: {workdir.list_files()}"


def _trained_seconds(history: list[dict]) -> float:
  return max((row.get("train_seconds", 0.0) for row in history), default=0.0)


def _out_of_patience(history: list[dict], patience: int) -> bool:
  """Whether the last `patience` dev losses are no better than the best one before them."""
  losses = [row["dev_loss"] for row in history if "dev_loss" in row]
  return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])
