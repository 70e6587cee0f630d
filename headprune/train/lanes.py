"""Runs that take their steps together: each is a coroutine, one compiled step moves them all.

A coroutine yields the TrainState that it begins with and is sent a Stepped for every step, or a
Stopped is thrown in if another run was stopped; what it returns is its result. All runs read the
same batches and are at the same step. What differs between them is traced (steps.Knobs,
steps.TrainState); arrays of several runs have these as first axis.
"""

from collections.abc import Callable, Generator, Iterator
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from headprune.errors import Stopped, UserError
from headprune.nn.losses import Teacher
from headprune.train import steps


@dataclasses.dataclass(frozen=True)
class Part:
  """One run's part of arrays of several runs, or, without a number, arrays of one run alone."""

  arrays: object  # a tree
  number: int | None = None

  def on_devices(self):
    """The tree of this run's arrays; before the next step, which takes the memory back."""
    return self.arrays if self.number is None else _take(self.arrays, self.number)

  def __getitem__(self, name: str) -> np.ndarray:
    """An entry of a dict of arrays, on the host; waits until it is computed."""
    value = np.asarray(self.arrays[name])
    return value if self.number is None else value[self.number]

  def __contains__(self, name: str) -> bool:
    return name in self.arrays


@dataclasses.dataclass(frozen=True)
class Stepped:
  """What a run is told of a step."""

  state: Part  # steps.TrainState after it
  result: Part  # what steps.train_step says of it
  batch: dict  # what it was made with, this process's part, on the host


Coroutine = Generator[steps.TrainState | None, Stepped | None, object]
Shard = Callable[[dict], dict]  # a batch of the host -> global arrays


def drive_one(
  config: steps.StepConfig,
  knobs: steps.Knobs,
  run: Coroutine,
  draw: Callable[[steps.TrainState], dict],
  shard: Shard,
  place: Callable[[steps.TrainState], steps.TrainState],
  teacher: Teacher | None = None,
):
  """Moves one run on, step by step, to its end; returns what it returns.

  Args:
    config: see StepConfig.
    knobs: of the run.
    run: a coroutine, see above.
    draw: gives the batch of the step that comes next, on the host.
    shard: see Shard.
    place: puts a new state where it belongs on the devices.
    teacher: see steps.train_step.
  """
  try:
    state = next(run)
    while True:
      batch = draw(state)
      state, result = steps.train_step(config, knobs, state, shard(batch), teacher)
      state = place(state)
      _fetch(result)
      run.send(Stepped(Part(state), Part(result), batch))
  except StopIteration as end:
    return end.value
  finally:
    run.close()


def drive(
  config: steps.StepConfig,
  knobs: list[steps.Knobs],
  runs: list[Coroutine],
  batches: Iterator[dict],
  shard: Shard,
  teacher: Teacher | None = None,
) -> list:
  """Moves several runs on together until each has ended.

  Args:
    config: see StepConfig.
    knobs: of each run.
    runs: coroutines, see above.
    batches: endless, on the host.
    shard: see Shard.
    teacher: of all of them.
  Returns:
    What each returned, or the UserError that ended it.
  Raises:
    Stopped: one of them was stopped; so were the others, as soon as they had saved.
  """
  ended, waiting = {}, {}  # number -> result; number -> state to begin with, None once it has begun

  def resume(number: int, value: Stepped | Stopped | None) -> None:
    waiting.pop(number, None)
    tell = runs[number].throw if isinstance(value, Stopped) else runs[number].send
    try:
      waiting[number] = tell(value)
    except StopIteration as end:
      ended[number] = end.value
    except (UserError, Stopped) as error:
      ended[number] = error

  try:
    for number in range(len(runs)):
      resume(number, None)
    members, state = [], None
    while waiting:
      if members != list(waiting):  # at the start, and when one has ended before the others
        parts = [
          begin or Part(state, members.index(number)).on_devices()
          for number, begin in waiting.items()
        ]
        members, state = list(waiting), _stack(parts)
        knobs_of_all = jax.tree.map(lambda *xs: np.stack(xs), *(knobs[i] for i in members))
      batch = next(batches)
      state, result = steps.train_steps(config, knobs_of_all, state, shard(batch), teacher)
      _fetch(result)
      for row, number in enumerate(members):
        resume(number, Stepped(Part(state, row), Part(result, row), batch))
      for error in [e for e in ended.values() if isinstance(e, Stopped)][:1]:
        for number in list(waiting):  # before it takes another step than the others
          resume(number, error)
  finally:
    for run in runs:
      run.close()
  results = [ended[number] for number in range(len(runs))]
  for result in results:
    if isinstance(result, Stopped):
      raise result
  return results


def _fetch(result: dict) -> None:
  """Begins to copy arrays to the host, where they are read later, without waiting for them."""
  for array in jax.tree.leaves(result):
    array.copy_to_host_async()


@jax.jit
def _stack(states: list[steps.TrainState]) -> steps.TrainState:
  return jax.tree.map(lambda *xs: jnp.stack(xs), *states)


@jax.jit
def _take(tree, number: int):
  return jax.tree.map(lambda x: x[number], tree)
