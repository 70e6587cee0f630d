"""Checkpoints with Orbax: params, optimiser, data iterator and log as separate items of a step.

A step's folder gets its name when it is complete, checksums of all its files included. A run that
is stopped between two checkpoints saves one more, in a folder of its own: it is only there to go on
from, takes no part in averages and drives no other one out. What the devices and processes are that
saved it does not matter to those that go on from it.
"""

from collections.abc import Iterator, Sequence
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
from headprune.runs import averaging, checksums
from headprune.runs.workdir import Workdir


@contextlib.contextmanager
def manager(workdir: Workdir, keep: int = 1) -> Iterator[ocp.CheckpointManager]:
  """A run's checkpoints; the newest `keep` and that of the best dev BLEU survive.

  At the end all are on disk, or a UserError says why not.
  """
  with _open_to_write(workdir.checkpoints, keep) as checkpoints:
    yield checkpoints


@contextlib.contextmanager
def _open_to_write(folder: pathlib.Path, keep: int) -> Iterator[ocp.CheckpointManager]:
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


_REASONS = tuple(
  os.strerror(number)
  for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO)
)


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


# Orbax writes these after the call of `_seal`. Nothing that is read here depends on them.
_LATE = ("_CHECKPOINT_METADATA", "commit_success.txt")


def _steps(folder: pathlib.Path) -> list[int]:
  """The finished checkpoints in a folder, oldest first."""
  names = [path.name for path in folder.glob("*") if path.name.isdecimal()]
  return sorted(int(name) for name in names if str(int(name)) == name)


def _damage(folder: pathlib.Path, step: int) -> str:
  """What is wrong with a checkpoint, "" for nothing.

  Those of runs from before there were checksums have none, and are taken as they are; but none is
  older than one that has them.
  """
  path = folder / str(step)
  if not (path / checksums.NAME).is_file():
    sealed = [s for s in _steps(folder) if (folder / str(s) / checksums.NAME).is_file()]
    return f"{checksums.NAME} is missing" if sealed and sealed[0] < step else ""
  return checksums.damage(path)


def set_damaged_aside(workdir: Workdir) -> list[str]:
  """Moves damaged checkpoints out of the way, so that a run goes on from the newest whole one.

  Returns:
    A line for each: what is damaged and where it is now.
  """
  lines = []
  for folder in (workdir.checkpoints, workdir.stopped):
    for step in _steps(folder):
      damage = _damage(folder, step)
      if damage:
        there = workdir.damaged / str(step)
        shutil.rmtree(there, ignore_errors=True)
        there.parent.mkdir(exist_ok=True)
        (folder / str(step)).rename(there)
        lines.append(f"checkpoint {step} is damaged ({damage}) and was moved to {there}")
  return lines


def begun(workdir: Workdir) -> bool:
  """Whether a run has a whole checkpoint, so that it can go on."""
  return _newest(workdir) is not None


def newest_step(workdir: Workdir) -> int | None:
  """The step of the whole checkpoint that a run goes on from, None if there is none."""
  newest = _newest(workdir)
  return None if newest is None else int(newest.name)


def _newest(workdir: Workdir) -> pathlib.Path | None:
  """The whole checkpoint that a run goes on from."""
  found = [(_newest_whole(folder), folder) for folder in (workdir.checkpoints, workdir.stopped)]
  found = [(step, folder) for step, folder in found if step is not None]
  step, folder = max(found, key=lambda pair: pair[0], default=(None, None))  # the first of equals
  return None if folder is None else folder / str(step)


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


_OVERHEAD = 1 << 20  # bytes of a checkpoint besides its arrays


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
  with _open_to_write(workdir.stopped, 1) as stopped:
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
  newest = _newest(workdir)
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


def averaged(
  checkpoints, step: int, params: dict, count: int, reach: float = 1.0, settled: int = 0
) -> dict:
  """Mean of the parameters after `step`, on the host, and of those that go with it."""
  finish(checkpoints)
  earlier = sorted(saved for saved in checkpoints.all_steps() if saved < step)
  *chosen, _ = averaging.newest([*earlier, step], count, reach, settled)
  folder = pathlib.Path(checkpoints.directory)
  _require_whole(folder, chosen, "give the same command again to go on without it")
  return averaging.mean([*(_load_step(folder, saved) for saved in chosen), jax.device_get(params)])


def _some_steps(folder: pathlib.Path) -> list[int]:
  """`_steps`, of which there must be one."""
  steps = _steps(folder)
  if not steps:
    raise UserError(f"{folder}: no finished checkpoint here")
  return steps


def save_params(workdir: Workdir, params: dict, step: int = 0) -> None:
  """Writes a run's parameters alone, for runs that come from elsewhere."""
  with _writing(workdir.checkpoints), _open(workdir.checkpoints, {"params": None}) as target:
    target.save(step, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))


def choices(workdir: Workdir) -> list[str]:
  """What `load_params` can load of a run: "last", "best" and the steps that it keeps."""
  return ["last", "best", *map(str, _steps(workdir.checkpoints))]


def kept(workdir: Workdir, wanted: Sequence[str] = ()) -> list[str]:
  """The steps whose checkpoints a run keeps, or those of them that are wanted, oldest first.

  Raises:
    UserError: there is none, one is not kept, or one is damaged.
  """
  folder, steps = workdir.checkpoints, _some_steps(workdir.checkpoints)
  unknown = [word for word in wanted if word not in map(str, steps)]
  if unknown:
    there = ", ".join(map(str, steps))
    raise UserError(f"{folder}: no checkpoint {unknown[0]!r}; there are {there}")
  chosen = [step for step in steps if not wanted or str(step) in wanted]
  _require_whole(folder, chosen)
  return list(map(str, chosen))


def load_params(
  workdir: Workdir, which: str = "last", average: int = 1, reach: float = 1.0, settled: int = 0
) -> dict:
  """Parameters of a run on the host, without its optimiser.

  Args:
    workdir: of the run.
    which: "last", "best" (dev BLEU; that checkpoint alone) or a step's number.
    average: of "last", how many of the newest checkpoints to average, at most.
    reach: share of the steps, the last ones, from which these may be, see averaging.newest.
    settled: see there.
  Returns:
    {"model": ..., "gates": type -> log_alpha_NH} as NumPy arrays.
  Raises:
    UserError: there is no such checkpoint, or it is damaged; names one that is whole.
  """
  folder = workdir.checkpoints
  if not folder.is_dir():
    raise UserError(f"{workdir.path}: no checkpoints here")
  steps = _some_steps(folder)
  if which == "last":
    chosen = averaging.newest(steps, average, reach, settled)
  elif which == "best":
    _require_whole(folder, steps)  # any of them may be the best
    chosen = [max(steps, key=lambda step: (_dev_bleu(folder, step), step))]
  elif which in map(str, steps):
    chosen = [int(which)]
  else:
    there = ", ".join(choices(workdir))
    raise UserError(f"{folder}: no checkpoint {which!r}; there are {there}")
  _require_whole(folder, chosen)
  return averaging.mean([_load_step(folder, step) for step in chosen])


def _newest_whole(folder: pathlib.Path) -> int | None:
  return next((step for step in reversed(_steps(folder)) if not _damage(folder, step)), None)


def _require_whole(folder: pathlib.Path, steps: list[int], advice: str = "") -> None:
  """Raises a UserError that names the first of these checkpoints that is damaged."""
  for step in steps:
    damage = _damage(folder, step)
    if damage:
      raise UserError(f"{folder / str(step)}: damaged ({damage}); {advice or _instead(folder)}")


def _instead(folder: pathlib.Path) -> str:
  step = _newest_whole(folder)
  if step is None:
    return "no other checkpoint is whole: make the run again"
  return (
    f"checkpoint {step} is whole: take it (--checkpoint {step}; for training "
    f"--config.init_checkpoint={step}), or remove summary.json and give its training command again"
  )


def _dev_bleu(folder: pathlib.Path, step: int) -> float:
  path = folder / str(step) / "metrics" / "metrics"
  return _quality(read_json(path)) if path.is_file() else _quality({})


@contextlib.contextmanager
def _reading(path: pathlib.Path):
  """Tells damage that checksums did not, for there are none: Orbax raises whatever it likes."""
  try:
    yield
  except Exception as error:
    if (path / checksums.NAME).is_file():
      raise
    reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
    raise UserError(
      f"{path}: damaged ({reason}); take another checkpoint, move this away"
    ) from error


def _load_step(folder: pathlib.Path, step: int) -> dict:
  """One step's params as NumPy arrays, whatever devices they were saved from."""
  path = (folder / str(step) / "params").absolute()
  handler = ocp.PyTreeCheckpointHandler()
  with _reading(path.parent), ocp.Checkpointer(handler) as reader:
    shapes = handler.metadata(path)
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    params = reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=restore_args))
  return {"gates": {}} | params
