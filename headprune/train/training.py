"""Training runs, one or several at once: checks, locks on workdirs, and what they share."""

import contextlib
import functools
import pathlib

import jax
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import inherit, lock, stored
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import packing
from headprune.train import (
  candidates,
  checks,
  devices,
  lanes,
  loop,
  mrt,
  outcome,
  prepare,
  processes,
  progress,
  start,
  stopping,
  teacher,
)


def stages(
  config: ConfigDict, workdir: pathlib.Path | str
) -> list[tuple[ConfigDict, pathlib.Path]]:
  """The runs to train one after the other: the baseline if it is missing, and the run itself.

  Raises:
    UserError: there is a baseline to train first, and it can be known that one of them would fail.
  """
  workdir = Workdir.at(workdir)
  run = (config, workdir.path)
  if not checks.lacks_baseline(config, workdir):
    return [run]
  checks.check(inherit.inherit(config, workdir), workdir)
  baseline = config_lib.origin(config)
  if "pretrain" not in config:
    raise start.missing(config.init_from)
  pretraining = config_lib.pretraining(config)
  try:
    checks.check(pretraining, baseline)
  except UserError as error:
    raise start.of_baseline(error) from error
  return [(pretraining, baseline.path), run]


def train(
  config: ConfigDict,
  workdir: pathlib.Path | str,
  stop: stopping.Stop | None = None,
  wait: bool = False,
) -> Summary:
  """Trains one run to its end, or goes on where it was, or finds it finished.

  A run that `init_from` names must be finished; `stages` tells what to train before.

  Args:
    config: locked, from headprune.runs.defaults or a config file.
    workdir: the run's folder.
    stop: tells when to save and stop; by default only the end of the run does.
    wait: for another program that is training there; else that is an error.
  Returns:
    The run's summary, as summary.json holds it.
  Raises:
    Stopped: `stop` said so, and a checkpoint is saved.
    UserError: the config, the data or the workdir cannot work, the workdir is in use, or training
      broke down; what was saved before is whole.
  """
  with processes.meeting("training"):
    workdir = Workdir.at(workdir)
    given, config = config, inherit.inherit(config, workdir)
    checks.check(config, workdir)
    if checks.lacks_baseline(config, workdir):
      raise start.missing(config.init_from)
    done = checks.finished(config, workdir)
    if done:
      processes.print_first(f"{workdir.path} is finished:")
    else:
      prepare.print_inherited(given, config)
      with _held(workdir, wait):
        done = checks.finished(config, workdir) or _begin(config, workdir, stop)
    if processes.is_first():
      print(outcome.table(config, workdir, done), flush=True)
  return done


@contextlib.contextmanager
def _held(workdir: Workdir, wait: bool):
  """The lock on the workdir, which the first process takes before all go on."""
  with contextlib.ExitStack() as stack:
    with processes.meeting("taking the workdir"):
      if processes.is_first():
        stack.enter_context(lock.held(workdir.path, wait, processes.print_first))
    yield


def _begin(config: ConfigDict, workdir: Workdir, stop: stopping.Stop | None) -> Summary:
  with processes.meeting("setting up"):
    checks.check(config, workdir)  # another program may have trained here in the meantime
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
      checks.check(config, workdir)
      if checks.finished(config, workdir):
        raise lock.InUse(f"{workdir.path} was finished by another program a moment ago")
      say = progress.say_nothing if jobs else processes.print_first
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


def _drive(jobs: list[tuple[prepare.Job, dict]], stop: stopping.Stop) -> list:
  """Trains jobs to their end, see lanes.drive; the error of a single one is raised."""
  try:
    return _drive_all(jobs, stop)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    fewer = f" for {len(jobs)} runs at a time: lower --together, or" if len(jobs) > 1 else ": lower"
    samples = mrt.wanted(jobs[0][0].config)
    field = "mrt.sentences or config.mrt.samples" if samples else "train.batch_tokens"
    raise UserError(f"the device has no room{fewer} config.{field}") from error


def _drive_all(jobs: list[tuple[prepare.Job, dict]], stop: stopping.Stop) -> list:
  first, _ = jobs[0]
  for job, _ in jobs:
    if _shared(job) != _shared(first):
      raise ValueError(f"{job.workdir.path} and {first.workdir.path} cannot train together")
  with processes.meeting("reading the teacher"):
    workdirs = [job.workdir for job, _ in jobs]
    taught_by = teacher.load(first.config, workdirs, first.mesh)
  data, shard_params = first.config.data, first.config.train.shard_params
  iterator = packing.train_batches(
    first.pairs, first.rows, data.row_length, data.packing_bins, first.config.seed,
    *processes.share(), packed=not mrt.wanted(first.config),
  )  # fmt: skip
  draw = lambda state: next(iterator)
  if mrt.wanted(first.config):
    draw = functools.partial(candidates.draw, first, iterator)
  clocks = []
  runs = [loop.run(job, params, iterator, clocks, stop) for job, params in jobs]
  shard = functools.partial(devices.shard_batch, mesh=first.mesh)
  with contextlib.closing(iterator), stop.waiting():
    if len(jobs) > 1:
      knobs = [job.knobs for job, _ in jobs]
      return lanes.drive(first.step_config, knobs, runs, iterator, shard, taught_by)
    # XLA may spread a new state in another way.
    place = lambda state: devices.spread(state, first.mesh) if shard_params else state
    run, knobs = runs[0], first.knobs
    return [lanes.drive_one(first.step_config, knobs, run, draw, shard, place, taught_by)]


def _shared(job: prepare.Job) -> tuple:
  """What runs that train together have in common, a teacher among it."""
  c = job.config
  taught_by = c.init_from, c.init_checkpoint, c.train.distill
  return job.step_config, c.seed, taught_by if c.train.distill else None
