"""Checkpoints with Orbax: params, optimiser and data iterator as separate items of a step.

What the devices and processes are that saved it does not matter to those that go on from it.
"""

import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from headprune.errors import UserError
from headprune.runs.workdir import Workdir


def manager(workdir: Workdir, keep: int = 1) -> ocp.CheckpointManager:
  """Opens a run's checkpoints; the newest `keep` and that of the best dev BLEU survive."""
  policies = checkpoint_managers.preservation_policy
  return ocp.CheckpointManager(
    workdir.checkpoints.absolute(),
    options=ocp.CheckpointManagerOptions(
      preservation_policy=policies.AnyPreservationPolicy(
        [
          policies.LatestN(keep),
          policies.BestN(get_metric_fn=_quality, n=1, keep_checkpoints_without_metrics=False),
        ]
      ),
      best_fn=_quality,
    ),
    item_names=("params", "optimizer", "data"),
    # One file, from the first process: the iterator's place is the same in all of them.
    item_handlers={"data": ocp.JsonCheckpointHandler("process_0-of-1.json")},
  )


def begun(workdir: Workdir) -> bool:
  """Whether a run has a finished checkpoint, so that it can go on."""
  if not workdir.checkpoints.is_dir():
    return False
  with manager(workdir) as checkpoints:
    return checkpoints.latest_step() is not None


def _quality(metrics: dict) -> float:
  return metrics.get("bleu", -1.0)  # any measured BLEU is better than none


def save(
  checkpoints, step: int, params: dict, optimizer, data_iterator, bleu: float | None
) -> None:
  """Saves in the background.

  Args:
    checkpoints: from `manager`.
    step: optimiser steps taken.
    params: all that is learned.
    optimizer: the optimiser's state.
    data_iterator: from text.packing.
    bleu: the dev BLEU if it was just measured.
  """
  checkpoints.save(
    step,
    args=ocp.args.Composite(
      params=ocp.args.StandardSave(params),
      optimizer=ocp.args.StandardSave({"step": np.array(step, np.int32), "state": optimizer}),
      data=ocp.args.JsonSave(data_iterator.get_state()),
    ),
    metrics={} if bleu is None else {"bleu": bleu},
  )


def restore(checkpoints, params: dict, optimizer, data_iterator):
  """The newest saved state; sets `data_iterator` to its place as well.

  Args:
    checkpoints: from `manager`.
    params: arrays of the shapes and shardings to restore.
    optimizer: the same of the optimiser's state.
    data_iterator: from text.packing, of the same data.
  Returns:
    (step, params, optimizer).
  """
  step = checkpoints.latest_step()
  restored = checkpoints.restore(
    step,
    args=ocp.args.Composite(
      params=ocp.args.StandardRestore(params),
      optimizer=ocp.args.StandardRestore({"step": np.array(step, np.int32), "state": optimizer}),
      data=ocp.args.JsonRestore(),
    ),
  )
  data_iterator.set_state(restored.data)
  return step, restored.params, restored.optimizer["state"]


def averaged(checkpoints, step: int, params: dict, count: int) -> dict:
  """Mean of the parameters after `step` and of the newest `count` - 1 saved before, on the host."""
  checkpoints.wait_until_finished()
  earlier = sorted(saved for saved in checkpoints.all_steps() if saved < step)
  chosen = earlier[len(earlier) - min(count - 1, len(earlier)) :]
  folder = pathlib.Path(checkpoints.directory)
  return mean([*(_load_step(folder, saved) for saved in chosen), jax.device_get(params)])


def save_params(workdir: Workdir, params: dict, step: int = 0) -> None:
  """Writes a run's parameters alone, for runs that come from elsewhere."""
  folder = workdir.checkpoints.absolute()
  with ocp.CheckpointManager(folder, item_names=("params",)) as target:
    target.save(step, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))


def load_params(workdir: Workdir, which: str = "last", average: int = 1) -> dict:
  """Parameters of a run on the host, without its optimiser.

  Args:
    workdir: of the run.
    which: "last", "best" (dev BLEU; that checkpoint alone) or a step's number.
    average: of "last", how many of the newest checkpoints to average.
  Returns:
    {"model": ..., "gates": type -> log_alpha_NH} as NumPy arrays.
  Raises:
    UserError: there is no such checkpoint.
  """
  folder = workdir.checkpoints
  if not folder.is_dir():
    raise UserError(f"{workdir.path}: no checkpoints here")
  with manager(workdir) as checkpoints:
    steps = sorted(checkpoints.all_steps())
    best = checkpoints.best_step() if which == "best" and steps else None
  if not steps:
    raise UserError(f"{folder}: no finished checkpoint here")
  if which in ("last", "best"):
    chosen = steps[-average:] if which == "last" else [steps[-1] if best is None else best]
  elif which.isdigit() and int(which) in steps:
    chosen = [int(which)]
  else:
    raise UserError(f"{folder}: no checkpoint {which!r}; there are last, best, {str(steps)[1:-1]}")
  return mean([_load_step(folder, step) for step in chosen])


def mean(trees: list[dict]) -> dict:
  """Element-wise mean of parameter trees."""
  return jax.tree.map(lambda *xs: sum(xs[1:], xs[0]) / len(xs), *trees)


def _load_step(folder: pathlib.Path, step: int) -> dict:
  """One step's params as NumPy arrays, whatever devices they were saved from."""
  path = (folder / str(step) / "params").absolute()
  handler = ocp.PyTreeCheckpointHandler()
  shapes = handler.metadata(path)
  restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
  with ocp.Checkpointer(handler) as reader:
    params = reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=restore_args))
  return {"gates": {}} | params
