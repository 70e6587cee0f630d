"""Processes that run the same program: who is first, meeting points, what all of them know.

Each has its own share of every batch. The first one alone writes files and prints.
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import json
import threading
import time

import jax
from jax.experimental import multihost_utils
import numpy as np

from headprune.errors import UserError
from headprune.train import cluster


class FailedElsewhere(UserError):
  """Another process stopped; it says why itself."""

  met = True  # see `meeting`


def is_first() -> bool:
  """Whether this process writes and prints."""
  return jax.process_index() == 0


def share() -> tuple[int, int]:
  """(number of this process, how many there are)."""
  return jax.process_index(), jax.process_count()


def print_first(*words) -> None:
  """Prints a line on the first process."""
  if is_first():
    print(*words, flush=True)


@contextlib.contextmanager
def meeting(name: str) -> Iterator[None]:
  """A section at whose end all processes meet: if it fails in one of them, it fails in all.

  Sections may be nested. A process that fails goes to one more meeting, whichever the others are
  at, and no further; those that hear of it there go to none. If they are at none, but in the middle
  of a step, the process leaves, and they end as when it had been killed.

  Args:
    name: what the section does, for the message of the others.
  Raises:
    FailedElsewhere: the section failed in another process.
  """
  failure = None
  try:
    yield
  except Exception as error:
    failure = error
  if getattr(failure, "met", False):
    raise failure
  if failure is not None:
    _tell(failure)
    failure.met = True
    raise failure
  failed = _hear_all(False)
  if failed.any():
    raise FailedElsewhere(f"{name}: process {np.argmax(failed)} stopped and says why")


def _tell(failure: Exception) -> None:
  """Tells the others of a failure, or leaves if none listens."""
  told = threading.Event()
  telling = threading.Thread(target=lambda: (_hear_all(True), told.set()), daemon=True)
  telling.start()
  # An error of JAX's may come from a lost process: that is told in a moment, by all alike.
  telling.join(3 if isinstance(failure, UserError) else 2 * cluster.LOST_AFTER)
  if not told.is_set():
    cluster.leave(failure)


def _hear_all(failed: bool) -> np.ndarray:
  try:
    return _all_tell(failed)
  except Exception:  # one is lost: JAX is about to end this one too, and `cluster` to say so
    time.sleep(6 * cluster.LOST_AFTER)
    raise


def _all_tell(value: bool) -> np.ndarray:
  """Every process's value, in order."""
  if jax.process_count() == 1:
    return np.array([value])
  return np.asarray(multihost_utils.process_allgather(np.array(value))).reshape(-1)


def first_before_others(name: str, work: Callable):
  """Runs `work` in every process, in the first one alone until it is through; its result.

  For what the first process may have to make (files of a folder that all share) and all read.
  """
  with meeting(name):
    result = work() if is_first() else None
  with meeting(name):
    return result if is_first() else work()


def join(lines: list[str]) -> list[str]:
  """All processes' lines, of which process p of n has those numbered p, p + n, p + 2n, ..."""
  if jax.process_count() == 1:
    return lines
  own = np.frombuffer(json.dumps(lines).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.array(len(own))).reshape(-1)
  padded = np.pad(own, (0, sizes.max() - len(own)))
  texts = multihost_utils.process_allgather(padded).reshape(len(sizes), -1)
  shares = [json.loads(text[:size].tobytes()) for text, size in zip(texts, sizes)]
  rounds = itertools.zip_longest(*shares)
  return [line for lines in rounds for line in lines if line is not None]
