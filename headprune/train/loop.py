"""A whole run: resume or begin, the training loop, evaluation, and what is left to read."""

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np
from orbax.checkpoint import CheckpointManager

from headprune.errors import Stopped, UserError
from headprune.runs import checkpoint, derived, inherit, lock, metrics, stored, upgrade
from headprune.runs import heads as heads_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import packing
from headprune.train import (
  candidates,
  devices,
  divergence,
  evaluation,
  lanes,
  logged,
  mrt,
  notes,
  outcome,
  patience,
  prepare,
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


def train(
  config: ConfigDict,
  workdir: pathlib.Path | str,
  stop: stopping.Stop | None = None,
  wait: bool = False,
) -> Summary:
  """Trains one run to its end, or goes on where it was, or finds it finished.

  A run that `init_from` names must be finished; `prepare.stages` tells what to train before.

  Args:
    config: locked, from headprune.runs.defaults or a config file.
    workdir: the run's folder.
    stop: tells when to save and stop; by default only the end of the run does.
    wait: for another program that is training there; else that is an error.
  Returns:
    The run's summary, as summary.json holds it.
  Raises:
    Stopped: `stop` said so, and a checkpoint is saved.
    UserError: the config, the data or the workdir cannot work, or the workdir is in use; nothing on
      disk was changed.
  """
  with devices.meeting("training"):
    workdir = Workdir.at(workdir)
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
        done = prepare.finished(config, workdir) or _begin(config, workdir, stop)
    if devices.is_first():
      print(outcome.table(config, workdir, done), flush=True)
  return done


@contextlib.contextmanager
def _held(workdir: Workdir, wait: bool):
  """The lock on the workdir, which the first process takes before all go on."""
  with contextlib.ExitStack() as stack:
    with devices.meeting("taking the workdir"):
      if devices.is_first():
        stack.enter_context(lock.held(workdir.path, wait, devices.print_first))
    yield


def _begin(config: ConfigDict, workdir: Workdir, stop: stopping.Stop | None) -> Summary:
  with devices.meeting("setting up"):
    prepare.check(config, workdir)  # another program may have trained here in the meantime
    job, params = prepare.set_up(config, workdir)
  return _drive([(job, params)], stop or stopping.Stop())[0]


def train_together(
  runs: list[tuple[ConfigDict, pathlib.Path]], stop: stopping.Stop | None = None
) -> list[Summary | UserError]:
  """Trains several runs at once, in one process: a step on one batch moves all of them.

  They differ only in what is traced (headprune.train.steps.Knobs), have the same seed and data, and
  are all at the same step. Each has a folder like any other run, and its results, up to rounding.

  Args:
    runs: (config, workdir) of runs that are not finished.
    stop: see `train`.
  Returns:
    Each run's summary, or what ended it.
  Raises:
    Stopped: `stop` said so, and all of them are saved.
    UserError: as `train`, before anything was trained, or the device has no room for so many.
  """
  jobs = []
  for config, _ in runs:
    mrt.check(config, len(runs))
  with contextlib.ExitStack() as locks:
    for config, workdir in runs:
      workdir = Workdir.at(workdir)
      config = inherit.inherit(config, workdir)
      locks.enter_context(_held(workdir, wait=False))
      prepare.check(config, workdir)
      if prepare.finished(config, workdir):
        raise lock.InUse(f"{workdir.path} was finished by another program a moment ago")
      say = _say_nothing if jobs else devices.print_first
      jobs.append(prepare.set_up(config, workdir, say))
    if len({stored.newest_step(job.workdir) for job, _ in jobs}) > 1:  # one was damaged
      names = ", ".join(str(job.workdir.path) for job, _ in jobs)
      raise UserError(f"{names} are not at the same step; the same command trains them apart")
    try:
      return _drive(jobs, stop or stopping.Stop())
    except UserError as error:
      if len(jobs) > 1:
        raise
      return [error]


def _say_nothing(*words) -> None:
  pass


def _drive(jobs: list[tuple[prepare.Job, dict]], stop: stopping.Stop) -> list:
  """Trains jobs to their end, see lanes.drive; the error of a single one is raised."""
  try:
    return _drive_all(jobs, stop)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    fewer = f" for {len(jobs)} runs at a time: lower --together, or" if len(jobs) > 1 else ": lower"
    raise UserError(f"the device has no room{fewer} config.train.batch_tokens") from error


def _drive_all(jobs: list[tuple[prepare.Job, dict]], stop: stopping.Stop) -> list:
  first, _ = jobs[0]
  for job, _ in jobs:
    if _shared(job) != _shared(first):
      raise ValueError(f"{job.workdir.path} and {first.workdir.path} cannot train together")
  with devices.meeting("reading the teacher"):
    teacher = prepare.teacher(first.config, first.mesh)
  data, shard_params = first.config.data, first.config.train.shard_params
  iterator = packing.train_batches(
    first.pairs, first.rows, data.row_length, data.packing_bins, first.config.seed,
    *devices.share(), packed=not mrt.wanted(first.config),
  )  # fmt: skip
  draw = lambda state: next(iterator)
  if mrt.wanted(first.config):
    draw = functools.partial(candidates.draw, first, iterator)
  clocks = []
  runs = [_run(job, params, iterator, clocks, stop) for job, params in jobs]
  shard = functools.partial(devices.shard_batch, mesh=first.mesh)
  with contextlib.closing(iterator), stop.waiting():
    if len(jobs) > 1:
      knobs = [job.knobs for job, _ in jobs]
      return lanes.drive(first.step_config, knobs, runs, iterator, shard, teacher)
    # XLA may spread a new state in another way.
    spread = functools.partial(devices.spread, mesh=first.mesh) if shard_params else _as_it_is
    run, knobs = runs[0], first.knobs
    return [lanes.drive_one(first.step_config, knobs, run, draw, shard, spread, teacher)]


def _shared(job: prepare.Job) -> tuple:
  """What runs that train together have in common, a teacher among it."""
  c = job.config
  taught_by = c.init_from, c.init_checkpoint, c.train.distill
  return job.step_config, c.seed, taught_by if c.train.distill else None


def _as_it_is(state: steps.TrainState) -> steps.TrainState:
  return state


def _run(
  job: prepare.Job, params: dict, iterator, clocks: list, stop: stopping.Stop
) -> lanes.Coroutine:
  """The state and the files; then the loop and what comes after it. Yields what lanes.py says.

  `clocks` takes this run's clock, and has those of all that train together.
  """
  config, workdir = job.config, job.workdir
  state = _place(job, steps.init_state(job.step_config, _place(job, params)))
  workdir.reopen()
  log = {}
  if job.resumes:
    step, *saved, log = checkpoint.restore(workdir, state.params, state.opt_state, iterator)
    state = steps.TrainState(devices.replicate(np.int32(step), job.mesh), *saved)
    job.say(f"going on at step {step:,} of {config.train.steps:,}")
  else:
    job.say(f"beginning at step 0 of {config.train.steps:,}: no checkpoint yet")
  with (
    checkpoint.manager(workdir, config.train.keep) as checkpoints,
    _writer(config, workdir, int(state.step)) as writer,
  ):
    work = _Work(job, iterator, checkpoints, writer, clocks, stop)
    state = yield from _loop(work, state, log)
    with progress.paused(clocks):
      return _finish(work, state)


def _place(job: prepare.Job, tree):
  """A state, or a part of one, on the devices as the config wants it."""
  place = devices.spread if job.config.train.shard_params else devices.replicate
  return place(tree, job.mesh)


def _writer(config: ConfigDict, workdir: Workdir, step: int):
  """A context with the metrics' writer on the first process, None on the others."""
  if devices.is_first():
    fields = derived.flatten(config)
    own = {name: value for name, value in fields.items() if not name.startswith("pretrain.")}
    return contextlib.closing(metrics.Writer(workdir, step, own))
  return contextlib.nullcontext()


def _loop(work: _Work, state: steps.TrainState, log: dict) -> lanes.Coroutine:
  """Trains to the last step, or to where `stop` is asked; returns the state there.

  Whatever a step is due (a row of metrics, evaluation, a checkpoint) comes before the next step,
  also where a stopped run goes on: it may have been stopped in the middle of an evaluation.
  """
  job, train = work.job, work.job.config.train
  step = int(state.step)
  history = [row for row in metrics.read(job.workdir) if row["step"] <= step]
  if any(row["step"] == step and "objective" in row for row in history):
    log = {}  # it was written for that row
  results, seconds = list(map(upgrade.losses, log.get("results", ()))), log.get("seconds", 0.0)
  clock = progress.Clock(step - len(results), train.steps, _trained_seconds(history), seconds)
  ticker = progress.Ticker(clock, train.steps)
  work.clocks.append(clock)
  begin, state, batch = state, lanes.Part(state), None
  while True:
    row, asked = {}, work.stop.asked(step)
    checkpoint.check(work.checkpoints)
    if batch and (asked or _is_due(train, step)):
      _check_finite(work, results[-1:], step, batch)
    if not asked and (not history or history[-1]["step"] < step):
      with contextlib.suppress(Stopped):  # `asked` tells below
        with work.stop.waiting(patient=False):
          row = _evaluate(work, state, step)
        if results and (step == train.steps or step % train.log_every == 0):
          log_alphas = state.on_devices().params["gates"]
          row = logged.row(job, results, log_alphas, clock, step) | row
    if row:
      if work.writer:
        work.writer.write(step, row)
      history.append({"step": step, **row})
      job.say(progress.line(step, train.steps, row, ticker.left(step)))
      ticker.printed(step)
    if row and "objective" in row:
      results = []
    if asked or work.stop.asked(step):
      _stop(work, state.on_devices(), logged.plain(results, clock))
    if step >= train.steps or patience.is_out(job.config, history):
      return state.on_devices()
    if _saves(train, step) and work.checkpoints.latest_step() != step:
      with progress.paused(work.clocks):
        _save(work, state.on_devices(), logged.plain(results, clock), _bleu(history, step))
    try:
      before, stepped = batch, (yield begin)
    except Stopped:  # a signal came when a run that trains with this one asked
      _stop(work, state.on_devices(), logged.plain(results, clock))
    begin, state, batch = None, stepped.state, stepped.batch
    results.append(stepped.result)
    # Waits, but a step late: the device always has work.
    _check_finite(work, results[-2:-1], step, before)
    if before and (line := ticker.line(step, results[:-1])):
      job.say(line)
    step += 1


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
  summary = Summary(
    kind="trained",
    step=step,
    ends_at=(job.config.train.steps, job.config.train.patience),
    tokens_per_second=float(np.median(rates)) if rates else 0.0,
    train_seconds=_trained_seconds(history),
    notes=notes.of_run(job.config, step, history, row, lists, job.report),
    **row,
  )
  if devices.is_first():
    job.workdir.finish(summary, evaluation.gate_lists(job, params["gates"]))
  return summary


def _averaged(work: _Work, state: steps.TrainState) -> dict:
  params = devices.gather(state.params, work.job.mesh)
  averaging = derived.averaging(work.job.config)
  return checkpoint.averaged(work.checkpoints, int(state.step), params, *averaging)


def _save(work: _Work, state: steps.TrainState, log: dict, dev_bleu: float | None) -> None:
  saved = state.params, state.opt_state, work.iterator, log, dev_bleu
  checkpoint.save(work.checkpoints, int(state.step), *saved)


def _trained_seconds(history: list[dict]) -> float:
  return max((row.get("train_seconds", 0.0) for row in history), default=0.0)
