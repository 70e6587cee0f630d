"""Checkpoints with Orbax: params, optimiser and data iterator as separate items of a step."""

import pathlib

import grain.checkpoint
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from headprune.errors import UserError
from headprune.steps import TrainState


def manager(workdir: pathlib.Path, keep: int = 1) -> ocp.CheckpointManager:
  """Opens a run's checkpoints; the newest `keep` and that of the best dev BLEU survive."""
  policies = checkpoint_managers.preservation_policy
  return ocp.CheckpointManager(
    workdir.absolute() / "checkpoints",
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
    item_handlers={"data": grain.checkpoint.CheckpointHandler()},
  )


def begun(workdir: pathlib.Path) -> bool:
  """Whether a run has a finished checkpoint, so that it can go on.

  Raises:
    UserError: it was saved by another number of processes, each of which has its own data.
  """
  if not (workdir / "checkpoints").is_dir():
    return False
  with manager(workdir) as checkpoints:
    step = checkpoints.latest_step()
  folder, processes = workdir / "checkpoints" / str(step) / "data", jax.process_count()
  if step is None or (folder / f"process_{jax.process_index()}-of-{processes}.json").is_file():
    return step is not None
  there = len(list(folder.glob("process_*.json")))
  raise UserError(
    f"{workdir} was trained by {there} process(es), here are {processes}: go on with as many, or "
    "take another --workdir"
  )


def _quality(metrics: dict) -> float:
  return metrics.get("bleu", -1.0)  # any measured BLEU is better than none


def save(checkpoints, state: TrainState, data_iterator, bleu: float | None) -> None:
  """Saves in the background; `bleu` is the dev BLEU if it was just measured."""
  step = int(state.step)
  checkpoints.save(
    step,
    args=ocp.args.Composite(
      params=ocp.args.StandardSave(state.params),
      optimizer=ocp.args.StandardSave({"step": state.step, "state": state.opt_state}),
      data=grain.checkpoint.CheckpointSave(data_iterator),
    ),
    metrics={} if bleu is None else {"bleu": bleu},
  )


def restore(checkpoints, state: TrainState, data_iterator) -> TrainState:
  """The newest saved state, sharded as `state`; sets `data_iterator` to its place as well."""
  restored = checkpoints.restore(
    checkpoints.latest_step(),
    args=ocp.args.Composite(
      params=ocp.args.StandardRestore(state.params),
      optimizer=ocp.args.StandardRestore({"step": state.step, "state": state.opt_state}),
      data=grain.checkpoint.CheckpointRestore(data_iterator),
    ),
  )
  optimizer = restored.optimizer
  return TrainState(optimizer["step"], restored.params, optimizer["state"])


def averaged(checkpoints, state: TrainState, count: int) -> dict:
  """Mean of the parameters now and of the newest `count` - 1 saved before, on the host."""
  checkpoints.wait_until_finished()
  now = jax.device_get(state.params)
  earlier = sorted(step for step in checkpoints.all_steps() if step < int(state.step))
  folder = pathlib.Path(checkpoints.directory)
  chosen = earlier[len(earlier) - min(count - 1, len(earlier)) :]
  return mean([_load_step(folder / str(step) / "params") for step in chosen] + [now])


def save_params(workdir: pathlib.Path, params: dict, step: int = 0) -> None:
  """Writes a run's parameters alone, for runs that come from elsewhere."""
  with ocp.CheckpointManager(workdir.absolute() / "checkpoints", item_names=("params",)) as target:
    target.save(step, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))


def load_params(workdir: pathlib.Path, which: str = "last", average: int = 1) -> dict:
  """Parameters of a run on the host, without its optimiser.

  Args:
    workdir: a run.
    which: "last", "best" (dev BLEU; that checkpoint alone) or a step's number.
    average: of "last", how many of the newest checkpoints to average.
  Returns:
    {"model": ..., "gates": type -> log_alpha_NH} as NumPy arrays.
  Raises:
    UserError: there is no such checkpoint.
  """
  folder = workdir / "checkpoints"
  if not folder.is_dir():
    raise UserError(f"{workdir}: no checkpoints here")
  with manager(workdir) as checkpoints:
    steps = sorted(checkpoints.all_steps())
    if not steps:
      raise UserError(f"{folder}: no finished checkpoint here")
    if which == "last":
      chosen = steps[-average:]
    elif which == "best":
      best = checkpoints.best_step()
      chosen = [steps[-1] if best is None else best]
    elif which.isdigit() and int(which) in steps:
      chosen = [int(which)]
    else:
      raise UserError(
        f"{folder}: no checkpoint {which!r}; there are last, best, {str(steps)[1:-1]}"
      )
  return mean([_load_step(folder / str(step) / "params") for step in chosen])


def mean(trees: list[dict]) -> dict:
  """Element-wise mean of parameter trees."""
  return jax.tree.map(lambda *xs: sum(xs[1:], xs[0]) / len(xs), *trees)


def _load_step(path: pathlib.Path) -> dict:
  """One step's params as NumPy arrays, whatever devices they were saved from."""
  handler = ocp.PyTreeCheckpointHandler()
  shapes = handler.metadata(path.absolute())
  restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
  with ocp.Checkpointer(handler) as reader:
    params = reader.restore(path.absolute(), args=ocp.args.PyTreeRestore(restore_args=restore_args))
  return {"gates": {}} | params
