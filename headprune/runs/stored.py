"""The checkpoints that a run has on disk: which there are, which of them are whole."""

from collections.abc import Sequence
import os
import pathlib
import shutil

from headprune.errors import UserError
from headprune.runs import checksums
from headprune.runs.workdir import Workdir

# Of a finished run, and of one that has begun.
GONE = "its checkpoints are gone: restore them, or remove summary.json and make the run again"
NONE_YET = (
  "no finished checkpoint here yet: train on; one comes every config.train.checkpoint_every steps"
)


def newest_step(workdir: Workdir) -> int | None:
  """The step of the whole checkpoint that a run goes on from, None if there is none."""
  path = newest(workdir)
  return None if path is None else int(path.name)


def newest(workdir: Workdir) -> pathlib.Path | None:
  """The whole checkpoint that a run goes on from, None if there is none."""
  found = [(_newest_whole(folder), folder) for folder in (workdir.checkpoints, workdir.stopped)]
  found = [(step, folder) for step, folder in found if step is not None]
  step, folder = max(found, key=lambda pair: pair[0], default=(None, None))  # the first of equals
  return None if folder is None else folder / str(step)


def _newest_whole(folder: pathlib.Path) -> int | None:
  return next((step for step in reversed(_steps(folder)) if not _damage(folder, step)), None)


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


def _steps(folder: pathlib.Path) -> list[int]:
  """The finished checkpoints in a folder, oldest first."""
  try:
    names = os.listdir(folder)
  except FileNotFoundError:
    return []
  except OSError as error:  # which is another thing than that there are none
    raise UserError(f"{folder} cannot be read ({error.strerror})") from error
  return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


def last_step(workdir: Workdir) -> int | None:
  """The step of the checkpoint that commands take for "last", whole or not, None if there is none.

  A stopped run may go on from a later one, see `newest_step`.
  """
  return max(_steps(workdir.checkpoints), default=None)


def lost(workdir: Workdir, mean_of: Sequence[int] = ()) -> str:
  """Why a finished run is not the model any more whose numbers its summary has; "" if it is.

  Args:
    workdir: of the run.
    mean_of: the checkpoints that make it now, if that is to be looked at too.
  """
  done, last = workdir.read_summary(), last_step(workdir)
  if done and last is None:
    return GONE
  if not done or done.kind != "trained":
    return ""
  if last != done.step:
    found = f"of checkpoint {done.step}, but the newest here is {last}"
  elif mean_of and done.mean_of and tuple(mean_of) != done.mean_of:
    was, now = (", ".join(map(str, steps)) for steps in (done.mean_of, mean_of))
    found = f"of the mean of checkpoints {was}, but here that is of {now}"
  else:
    return ""
  return f"summary.json is {found}: restore the former, {_take(last, f'checkpoint {last}')}"


def some_steps(workdir: Workdir) -> list[int]:
  """The finished checkpoints of a run, oldest first.

  Raises:
    UserError: there is none.
  """
  steps = _steps(workdir.checkpoints)
  if not steps:
    reason = GONE if workdir.summary.is_file() else NONE_YET
    raise UserError(f"{workdir.checkpoints}: {reason}")
  return steps


def require_whole(folder: pathlib.Path, steps: list[int], advice: str = "") -> None:
  """Raises a UserError that names the first of these checkpoints that is damaged."""
  for step in steps:
    damage = _damage(folder, step)
    if damage:
      raise UserError(f"{folder / str(step)}: damaged ({damage}); {advice or _instead(folder)}")


def _instead(folder: pathlib.Path) -> str:
  step = _newest_whole(folder)
  if step is None:
    return "no other checkpoint is whole: make the run again"
  return f"checkpoint {step} is whole: {_take(step, 'it')}"


def _take(step: int, name: str) -> str:
  return (
    f"take {name} (--checkpoint {step}; for training --config.init_checkpoint={step}), or remove "
    "summary.json and give its training command again"
  )


def choices(workdir: Workdir) -> list[str]:
  """What checkpoint.load_params can load of a run: "last", "best" and the steps that it keeps.

  [] where it keeps none.
  """
  steps = _steps(workdir.checkpoints)
  return ["last", "best", *map(str, steps)] if steps else []


def kept(workdir: Workdir, wanted: Sequence[str] = ()) -> list[str]:
  """The steps whose checkpoints a run keeps, or those of them that are wanted, oldest first.

  Raises:
    UserError: there is none, one is not kept, or one is damaged.
  """
  folder, steps = workdir.checkpoints, some_steps(workdir)
  unknown = [word for word in wanted if word not in map(str, steps)]
  if unknown:
    there = ", ".join(map(str, steps))
    raise UserError(f"{folder}: no checkpoint {unknown[0]!r}; there are {there}")
  chosen = [step for step in steps if not wanted or str(step) in wanted]
  require_whole(folder, chosen)
  return list(map(str, chosen))


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
