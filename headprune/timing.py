"""Times several programs against each other, on a machine that is not all ours."""

from collections.abc import Callable, Sequence
import time

from headprune.meter import Meter

_IN_A_ROW = 3  # timed calls of each turn


def take_turns(
  calls: Sequence[Callable[[], object]], repeats: int
) -> tuple[list[float], list[list[float]]]:
  """Times calls that take turns, so that a slow moment of the machine hits all of them.

  A turn is several calls in a row, the first of which does not count: a large program that follows
  another is much slower at first than one that runs alone (its memory has to be mapped anew,
  presumably). A line on stderr tells how far it is.

  Args:
    calls: functions to time.
    repeats: counted calls of each at least.
  Returns:
    (seconds of each one's very first call, which compiles; for each the seconds that count).
  """
  turns, seconds = -(-repeats // _IN_A_ROW), [[] for _ in calls]
  with Meter() as meter:
    meter.begin("measuring", len(calls) * (1 + turns * (1 + _IN_A_ROW)), "calls")
    first = [_timed(call, meter) for call in calls]
    for _ in range(turns):
      for call, row in zip(calls, seconds):
        _, *counted = [_timed(call, meter) for _ in range(1 + _IN_A_ROW)]
        row += counted
  return first, seconds


def _timed(call: Callable[[], object], meter: Meter) -> float:
  start = time.perf_counter()
  call()
  taken = time.perf_counter() - start
  meter.add(1)
  return taken
