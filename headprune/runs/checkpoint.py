"""Checkpoints with Orbax: params, optimiser, data iterator and log as separate items of a step.

A step's folder gets its name when it is complete, checksums of all its files included. A run that
is stopped between two checkpoints saves one more, in a folder of its own: it is only there to go on
from, takes no part in averages and drives no other one out. What the devices and processes are that
saved it does not matter to those that go on from it.
"""

from collections.abc import Iterator
import contextlib
import errno
import functools
import os
import pathlib
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from headprune.errors import UserError
from headprune.files import cannot_write, read_json
from headprune.runs import averaging, checksums, stored
from headprune.runs.workdir import Workdir

_REASONS = tuple(  # why a disk takes nothing, in the system's words
  os.strerror(number)
  for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO)
)
# Orbax writes these after the call of `_seal`. Nothing that is read here depends on them.
_LATE = ("_CHECKPOINT_METADATA", "commit_success.txt")
_OVERHEAD = 1 << 20  # bytes of a checkpoint besides its arrays


@contextlib.contextmanager
def manager(folder: pathlib.Path, keep: int) -> Iterator[ocp.CheckpointManager]:
  """The checkpoints in a folder of a run; the newest `keep` and that of the best dev BLEU survive.

  At the end all are on disk, or a UserError says why not.
  """
  with _writing(folder):
    checkpoints = _manager(folder, keep)
  try:
    yield checkpoints
  finally:
    with _writing(folder):
      checkpoints.close()


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
  """Calls that may write: Orbax and TensorStore raise all kinds of errors for a full disk."""
  try:
    yield
  except Exception as error:
    text = str(error)
    known = next((reason for reason in _REASONS if reason in text), "")
    if jax.process_count() > 1 and not known and not isinstance(error, OSError):
      raise  # most likely another process was lost while all saved: no fault of the disk
    raise cannot_write(folder, known or " ".join(text.split())[:200] or repr(error)) from error


def _manager(folder: pathlib.Path, keep: int) -> ocp.CheckpointManager:
  policies = checkpoint_managers.preservation_policy
  return _open(
    folder,
    {"params": None, "optimizer": None, "data": _place_handler(), "log": None},
    preservation_policy=policies.AnyPreservationPolicy(
      [
        policies.LatestN(keep),
        policies.BestN(get_metric_fn=_quality, n=1, keep_checkpoints_without_metrics=False),
      ]
    ),
    best_fn=_quality,
  )


def _place_handler() -> ocp.JsonCheckpointHandler:
  """Of the data iterator's place: one file, since it is the same in all processes."""
  return ocp.JsonCheckpointHandler("process_0-of-1.json")


def _open(folder: pathlib.Path, items: dict, **options) -> ocp.CheckpointManager:
  """A manager of checkpoints with these items (name -> handler, None for Orbax's)."""
  seal = functools.partial(_seal, folder.absolute(), tuple(items))
  asynchronous = ocp.AsyncOptions(post_finalization_callback=seal)
  return ocp.CheckpointManager(
    folder.absolute(),
    options=ocp.CheckpointManagerOptions(async_options=asynchronous, **options),
    item_names=tuple(items),
    item_handlers={name: handler for name, handler in items.items() if handler},
  )


def _seal(folder: pathlib.Path, items: tuple[str, ...]) -> None:
  """Writes the checksums of the step that is about to get its name; called on one process.

  One that has lost an item, for somebody deletes the folder while it is saved, stays without them.
  """
  for draft in folder.glob(f"*{ocp.utils.TMP_DIR_SUFFIX}*"):
    if all((draft / item).is_dir() for item in items):
      checksums.write(draft, late=_LATE)


def _quality(metrics: dict) -> float:
  return metrics.get("bleu", -1.0)  # any measured BLEU is better than none


def save(
  checkpoints, step: int, params: dict, optimizer, data_iterator, log: dict, bleu: float | None
) -> None:
  """Saves in the background.

  Args:
    checkpoints: from `manager`.
    step: optimiser steps taken.
    params: all that is learned.
    optimizer: the optimiser's state.
    data_iterator: from text.packing.
    log: JSON; what the next row of metrics.jsonl needs of the steps since the last one.
    bleu: the dev BLEU if it was just measured.
  """
  args = ocp.args.Composite(
    params=ocp.args.StandardSave(params),
    optimizer=ocp.args.StandardSave({"step": np.array(step, np.int32), "state": optimizer}),
    data=ocp.args.JsonSave(data_iterator.get_state()),
    log=ocp.args.JsonSave(log),
  )
  folder = pathlib.Path(checkpoints.directory)
  _check_room(folder, (params, optimizer))
  with _writing(folder):
    metrics = {} if bleu is None else {"bleu": bleu}
    checkpoints.save(step, args=args, metrics=metrics, force=True)


def _check_room(folder: pathlib.Path, arrays) -> None:
  """Raises a UserError if the disk cannot hold them: Orbax would fail half-way, and noisily."""
  needed = sum(x.nbytes for x in jax.tree.leaves(arrays)) + _OVERHEAD
  free = shutil.disk_usage(folder).free
  if free < needed:
    raise cannot_write(folder, f"a checkpoint takes {needed:,} bytes, {free:,} are free")


def finish(checkpoints) -> None:
  """Returns when all is on disk; raises a UserError if it cannot be."""
  with _writing(pathlib.Path(checkpoints.directory)):
    checkpoints.wait_until_finished()


def check(checkpoints) -> None:
  """Raises a UserError if a save in the background has failed."""
  with _writing(pathlib.Path(checkpoints.directory)):
    checkpoints.check_for_errors()


def save_stopped(workdir: Workdir, checkpoints, step: int, *state) -> None:
  """Saves the state of a run that stops, and returns when it is on disk.

  Args:
    workdir: of the run.
    checkpoints: from `manager`; what it saves is on disk first, for all of Orbax's managers wait
      for other processes under the same names.
    step, state: as `save` takes them.
  """
  finish(checkpoints)
  with manager(workdir.stopped, 1) as stopped:
    if step not in stopped.all_steps():
      save(stopped, step, *state, bleu=None)


def restore(workdir: Workdir, params: dict, optimizer, data_iterator):
  """The newest saved state; sets `data_iterator` to its place as well.

  Args:
    workdir: of a run that has begun.
    params: arrays of the shapes and shardings to restore.
    optimizer: the same of the optimiser's state.
    data_iterator: from text.packing, of the same data.
  Returns:
    (step, params, optimizer, log).
  """
  newest = stored.newest(workdir)
  step = int(newest.name)
  args = {
    "params": ocp.args.StandardRestore(params),
    "optimizer": ocp.args.StandardRestore({"step": np.array(step, np.int32), "state": optimizer}),
    "data": ocp.args.JsonRestore(),
  }
  if (newest / "log").is_dir():  # older runs have none
    args["log"] = ocp.args.JsonRestore()
  with _reading(newest), _manager(newest.parent, 1) as checkpoints:
    restored = checkpoints.restore(step, args=ocp.args.Composite(**args))
  data_iterator.set_state(restored.data)
  return step, restored.params, restored.optimizer["state"], restored.get("log") or {}


def averaged(checkpoints, step: int, params: dict, count: int, settled: int = 0) -> dict:
  """Mean of the parameters after `step`, on the host, and of those that go with it."""
  finish(checkpoints)
  earlier = sorted(other for other in checkpoints.all_steps() if other < step)
  *chosen, _ = averaging.newest([*earlier, step], count, settled)
  folder = pathlib.Path(checkpoints.directory)
  stored.require_whole(folder, chosen, "give the same command again to go on without it")
  return averaging.mean([*_load_steps(folder, chosen), jax.device_get(params)])


def save_params(workdir: Workdir, params: dict, step: int = 0) -> None:
  """Writes a run's parameters alone, for runs that come from elsewhere."""
  with _writing(workdir.checkpoints), _open(workdir.checkpoints, {"params": None}) as target:
    target.save(step, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))


def load_params(workdir: Workdir, which: str = "last", average: int = 1, settled: int = 0) -> dict:
  """Parameters of a run on the host, without its optimiser.

  Args:
    workdir: of the run.
    which: "last", "best" (dev BLEU; that checkpoint alone) or a step's number.
    average: of "last", how many of the newest checkpoints to average, at most.
    settled: see averaging.newest.
  Returns:
    {"model": ..., "gates": type -> log_alpha_NH} as NumPy arrays.
  Raises:
    UserError: there is no such checkpoint, or it is damaged; names one that is whole. Or the last
      one, or their mean, is not that of summary.json.
  """
  folder, steps = workdir.checkpoints, stored.some_steps(workdir)
  if which == "last":
    chosen = averaging.newest(steps, average, settled)
    if reason := stored.lost(workdir, chosen if average > 1 else ()):
      raise UserError(f"{folder}: {reason}")
  elif which == "best":
    chosen = [best(workdir)]
  elif which in map(str, steps):
    chosen = [int(which)]
  else:
    there = ", ".join(stored.choices(workdir))
    raise UserError(f"{folder}: no checkpoint {which!r}; there are {there}")
  stored.require_whole(folder, chosen)
  return averaging.mean(_load_steps(folder, chosen))


def best(workdir: Workdir) -> int:
  """The step of the checkpoint with the best dev BLEU."""
  folder, steps = workdir.checkpoints, stored.some_steps(workdir)
  stored.require_whole(folder, steps)  # any of them may be the best
  return max(steps, key=lambda step: (_dev_bleu(folder, step), step))


def _dev_bleu(folder: pathlib.Path, step: int) -> float:
  path = folder / str(step) / "metrics" / "metrics"
  return _quality(read_json(path)) if path.is_file() else _quality({})


@contextlib.contextmanager
def _reading(path: pathlib.Path):
  """Tells damage that checksums did not, for there are none, and a whole one of other arrays.

  Orbax raises whatever it likes of the former.
  """
  try:
    yield
  except Exception as error:
    reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
    if (path / checksums.NAME).is_file():
      if not isinstance(error, (KeyError, TypeError, ValueError)):
        raise
      raise UserError(
        f"{path}: not of this run and its config ({reason}); restore what was changed, the "
        "checkpoint or config.json"
      ) from error
    raise UserError(
      f"{path}: damaged ({reason}); take another checkpoint, move this away"
    ) from error


def _load_steps(folder: pathlib.Path, steps: list[int]) -> list[dict]:
  """The params of some steps of one run as NumPy arrays, whatever devices they were saved from."""
  handler, restore_args, found = ocp.PyTreeCheckpointHandler(), None, []
  for step in steps:
    path = (folder / str(step) / "params").absolute()
    with _reading(path.parent), ocp.Checkpointer(handler) as reader:
      if restore_args is None:  # the same for all: reading it takes as long as the arrays
        as_numpy = lambda _: ocp.RestoreArgs(restore_type=np.ndarray)
        restore_args = jax.tree.map(as_numpy, handler.metadata(path))
      found.append(reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=restore_args)))
  return [{"gates": {}} | params for params in found]
