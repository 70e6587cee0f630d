"""Times several programs against each other, on a machine that is not all ours."""

from collections.abc import Callable, Sequence
import time

_IN_A_ROW = 3  # timed calls of each turn


def take_turns(
  calls: Sequence[Callable[[], object]], repeats: int
) -> tuple[list[float], list[list[float]]]:
  """Times calls that take turns, so that a slow moment of the machine hits all of them.

  A turn is several calls in a row, the first of which does not count: a large program that follows
  another is much slower at first than one that runs alone (its memory has to be mapped anew,
  presumably).

  Args:
    calls: functions to time.
    repeats: counted calls of each at least.
  Returns:
    (seconds of each one's very first call, which compiles; for each the seconds that count).
  """
  first, seconds = [_timed(call) for call in calls], [[] for _ in calls]
  for _ in range(-(-repeats // _IN_A_ROW)):
    for call, row in zip(calls, seconds):
      call()
      row += [_timed(call) for _ in range(_IN_A_ROW)]
  return first, seconds


def _timed(call: Callable[[], object]) -> float:
  start = time.perf_counter()
  call()
  return time.perf_counter() - start
