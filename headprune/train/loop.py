"""One run: resume or begin, the training loop, evaluation, and what is left to read."""

from collections.abc import Iterator
import contextlib
import dataclasses

from ml_collections import ConfigDict
import numpy as np
from orbax.checkpoint import CheckpointManager

from headprune.errors import Stopped
from headprune.runs import averaging, checkpoint, derived, metrics, stored
from headprune.runs import heads as heads_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.train import (
  devices,
  divergence,
  evaluation,
  lanes,
  logged,
  notes,
  patience,
  prepare,
  processes,
  progress,
  steps,
  stopping,
)


@dataclasses.dataclass(frozen=True, eq=False)
class _Work:
  """A run under way: what it is, what it reads and writes, what it shares with others."""

  job: prepare.Job
  iterator: Iterator[dict]  # from text.packing
  checkpoints: CheckpointManager
  writer: metrics.Writer | None  # on the first process
  clocks: list[progress.Clock]  # of all that train together
  stop: stopping.Stop


def run(
  job: prepare.Job,
  params: dict,
  iterator: Iterator[dict],
  clocks: list[progress.Clock],
  stop: stopping.Stop,
) -> lanes.Coroutine:
  """The state and the files; then the loop and what comes after it; see lanes.py.

  Args:
    job: what the run works on.
    params: of step 0, or any in their shapes if it goes on.
    iterator: its batches, of which checkpoints hold the place.
    clocks: takes this run's clock, and has those of all that train together.
    stop: see training.train.
  Returns:
    The run's summary, at the end of the coroutine.
  """
  config, workdir = job.config, job.workdir
  with contextlib.ExitStack() as files:
    with progress.paused(clocks):  # of the others, which wait until this one has begun
      state, log = _begin(job, params, iterator)
      checkpoints = files.enter_context(checkpoint.manager(workdir.checkpoints, config.train.keep))
      writer = files.enter_context(_writer(config, workdir, int(state.step)))
    work = _Work(job, iterator, checkpoints, writer, clocks, stop)
    state = yield from _loop(work, state, log)
    with progress.paused(clocks):
      return _finish(work, state)


def _begin(job: prepare.Job, params: dict, iterator: Iterator[dict]) -> tuple:
  """(state, log of the steps since the last row) where the run begins or goes on."""
  total = job.config.train.steps
  state = _place(job, steps.init_state(job.step_config, _place(job, params)))
  job.workdir.reopen()
  if not job.resumes:
    job.say(f"beginning at step 0 of {total:,}: no checkpoint yet")
    return state, {}
  step, *saved, log = checkpoint.restore(job.workdir, state.params, state.opt_state, iterator)
  job.say(f"going on at step {step:,} of {total:,}")
  return steps.TrainState(devices.replicate(np.int32(step), job.mesh), *saved), log


def _place(job: prepare.Job, tree):
  """A state, or a part of one, on the devices as the config wants it."""
  place = devices.spread if job.config.train.shard_params else devices.replicate
  return place(tree, job.mesh)


def _writer(config: ConfigDict, workdir: Workdir, step: int):
  """A context with the metrics' writer on the first process, None on the others."""
  if processes.is_first():
    fields = derived.flatten(config)
    own = {name: value for name, value in fields.items() if not name.startswith("pretrain.")}
    return contextlib.closing(metrics.Writer(workdir, step, own))
  return contextlib.nullcontext()


def _loop(work: _Work, state: steps.TrainState, log: dict) -> lanes.Coroutine:
  """Trains to the last step, or to where `stop` is asked; returns the state there.

  Whatever a step is due (a row of metrics, evaluation, a checkpoint) comes before the next step,
  also where a stopped run goes on: it may have been stopped in the middle of an evaluation.
  """
  train, step = work.job.config.train, int(state.step)
  history, results, clock = _resumed(work, step, log)
  ticker = progress.Ticker(clock, step - len(results), train.steps)
  begin, state, batch = state, lanes.Part(state), None

  def stop_here():
    _check_finite(work, results[-1:], step, batch)
    _stop(work, state.on_devices(), logged.plain(results, clock))

  while True:
    row, asked = {}, work.stop.asked(step)
    checkpoint.check(work.checkpoints)
    if batch and _is_due(train, step):
      _check_finite(work, results[-1:], step, batch)
    if not asked and (not history or history[-1]["step"] < step):
      row = _row(work, state, step, results, clock, history)
    if row:
      if work.writer:
        work.writer.write(step, row)
      history.append({"step": step, **row})
      work.job.say(progress.line(step, train.steps, row, ticker.left(step)))
      ticker.printed(step)
    if "objective" in row:
      results = []
    if asked or work.stop.asked(step):
      stop_here()
    if step >= train.steps or patience.is_out(work.job.config, history):
      return state.on_devices()
    if _saves(train, step) and work.checkpoints.latest_step() != step:
      with progress.paused(work.clocks):
        _save(work, state.on_devices(), logged.plain(results, clock), _bleu(history, step))
    try:
      before, stepped = batch, (yield begin)
    except Stopped:  # a signal came when a run that trains with this one asked
      stop_here()
    begin, state, batch = None, stepped.state, stepped.batch
    results.append(stepped.result)
    # Waits, but a step late: the device always has work.
    _check_finite(work, results[-2:-1], step, before)
    if before and (line := ticker.line(step, results[:-1])):
      work.job.say(line)
    step += 1


def _resumed(work: _Work, step: int, log: dict) -> tuple[list[dict], list[dict], progress.Clock]:
  """What earlier processes left: rows of metrics, results of steps since the last one, the clock.

  Args:
    work: its clocks take this one.
    step: where the run goes on.
    log: from the checkpoint, see logged.plain.
  """
  history = [row for row in metrics.read(work.job.workdir) if row["step"] <= step]
  if any(row["step"] == step and "objective" in row for row in history):
    log = {}  # it was written for that row
  results, seconds = log.get("results", []), log.get("seconds", 0.0)
  clock = progress.Clock(_trained_seconds(history), seconds)
  work.clocks.append(clock)
  return history, results, clock


def _row(
  work: _Work, state: lanes.Part, step: int, results: list, clock: progress.Clock, history: list
) -> dict:
  """The row of metrics that is due after a step; {} if none is or a signal ends its evaluation."""
  config, row = work.job.config, {}
  with contextlib.suppress(Stopped):  # `asked` tells of it
    with work.stop.waiting(patient=False):
      row = _evaluate(work, state, step)
    # The last steps count as well, also of a run that this evaluation ends.
    out_of_patience = row and patience.is_out(config, [*history, {"step": step, **row}])
    ends = step == config.train.steps or out_of_patience
    if results and (ends or step % config.train.log_every == 0):
      log_alphas = state.on_devices().params["gates"]
      row = logged.row(work.job, results, log_alphas, clock) | row
  return row


def _check_finite(work: _Work, results: list, step: int, batch: dict) -> None:
  """Raises a UserError if training has broken down; parameters are then not worth saving."""
  if not divergence.finite(results):
    checkpoint.finish(work.checkpoints)
    raise divergence.describe(work.job.workdir, work.job.tokenizers, step, batch)


def _is_due(train: ConfigDict, step: int) -> bool:
  """Whether more is to be done after this step than the next one."""
  every = train.log_every, train.eval_every, train.translate_every, train.checkpoint_every
  return step == train.steps or any(step % n == 0 for n in every)


def _evaluate(work: _Work, state: lanes.Part, step: int) -> dict:
  """What the evaluations find that are due after a step; {} if none is."""
  job, train, found = work.job, work.job.config.train, {}
  last, first = step == train.steps, step == 0 and train.translate_first
  evaluates, translates = (
    first or not last and step > 0 and step % every == 0
    for every in (train.eval_every, train.translate_every)
  )
  if not (evaluates or translates):
    return {}
  state = state.on_devices()
  with progress.paused(work.clocks):
    if evaluates:
      found |= evaluation.dev_losses(job, state.params)
    if translates:
      splits = list(job.text) if first else ["dev"]
      found |= evaluation.translate(job, _averaged(work, state), splits, step)
  return found


def _saves(train: ConfigDict, step: int) -> bool:
  """Whether there is a checkpoint after this step; `_finish` makes that of the last one."""
  return step > 0 and (step % train.translate_every == 0 or step % train.checkpoint_every == 0)


def _bleu(history: list[dict], step: int) -> float | None:
  """Dev BLEU after a step, if it was measured: here, or before the run was stopped there."""
  found = [row["dev_bleu"] for row in history if row["step"] == step and "dev_bleu" in row]
  return found[-1] if found else None


def _stop(work: _Work, state: steps.TrainState, log: dict) -> None:
  """Saves, and raises Stopped."""
  job, step = work.job, int(state.step)
  saved = state.params, state.opt_state, work.iterator, log
  checkpoint.save_stopped(job.workdir, work.checkpoints, step, *saved)
  of = f"step {step:,} of {job.config.train.steps:,}"
  raise work.stop.stopped(f"stopped at {of} and saved; the same command goes on from there")


def _finish(work: _Work, state: steps.TrainState) -> Summary:
  """The last evaluation and checkpoint, heads.json and summary.json."""
  job, step, log = work.job, int(state.step), {"results": [], "seconds": 0.0}
  try:
    with work.stop.waiting(patient=False):
      params = _averaged(work, state)
      row = evaluation.dev_losses(job, _place(job, params))
      single = job.config.eval.average == 1
      own_loss = (row if single else evaluation.dev_losses(job, state.params))["dev_loss"]
      splits = [split for split in ("dev", "test") if split in job.text]
      row |= evaluation.translate(job, params, splits, step)
  except Stopped:
    _stop(work, state, log)
  if work.checkpoints.latest_step() != step:
    _save(work, state, log, row.get("dev_bleu"))
  checkpoint.finish(work.checkpoints)
  history = metrics.read(job.workdir)
  if work.writer and {"step": step, **row} not in history:  # else it was killed after this line
    work.writer.write(step, row)
  rates = [r["tokens_per_second"] for r in history if "tokens_per_second" in r]
  lists = heads_lib.as_lists(params["gates"], job.step_config.model.heads)
  kept = stored.some_steps(job.workdir)
  summary = Summary(
    kind="trained",
    step=step,
    mean_of=tuple(averaging.newest(kept, *derived.averaging(job.config))),
    ends_at=(job.config.train.steps, job.config.train.patience),
    tokens_per_second=float(np.median(rates)) if rates else 0.0,
    train_seconds=_trained_seconds(history),
    notes=notes.of_run(job.config, step, history, row, own_loss, lists, job.report),
    **row,
  )
  if processes.is_first():
    job.workdir.finish(summary, evaluation.gate_lists(job, params["gates"]))
  return summary


def _averaged(work: _Work, state: steps.TrainState) -> dict:
  params = devices.gather(state.params, work.job.mesh)
  chosen = derived.averaging(work.job.config)
  return checkpoint.averaged(work.checkpoints, int(state.step), params, *chosen)


def _save(work: _Work, state: steps.TrainState, log: dict, dev_bleu: float | None) -> None:
  saved = state.params, state.opt_state, work.iterator, log, dev_bleu
  checkpoint.save(work.checkpoints, int(state.step), *saved)


def _trained_seconds(history: list[dict]) -> float:
  return max((row.get("train_seconds", 0.0) for row in history), default=0.0)
