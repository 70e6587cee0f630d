"""Means of checkpoints: which ones go into one, and how it is made."""

import jax

_REACH = 0.4  # share of the steps taken, the last ones; older models are much worse


def newest(steps: list[int], count: int, settled: int = 0) -> list[int]:
  """The checkpoints that make a mean: the last `count`, or fewer.

  Each is of a model that at least one of the last 40% of the steps has changed: of 1,000 steps
  these are steps 601 to 1,000, and a checkpoint after step 600 has seen none of them.

  Args:
    steps: taken before each checkpoint, ascending.
    count: at most so many.
    settled: a checkpoint after so many steps or fewer is mixed with no later one.
  """
  last = steps[-1]
  oldest = last - max(1, round(_REACH * last))
  if last > settled:
    oldest = max(oldest, settled)
  return [step for step in steps[-count:] if step > oldest]


def mean(trees: list[dict]) -> dict:
  """Element-wise mean of parameter trees."""
  return jax.tree.map(lambda *xs: sum(xs[1:], xs[0]) / len(xs), *trees)
