"""Lines of results with given names, all with the same numbers."""

from headprune.analysis.contributions.result import Curve, Line, Mean

_MEAN = Mean(0.45, 0.35, 0.55)


def lines(runs: str, checkpoints: str = "last", prefixes: str = "reference") -> list[Line]:
  """A line for each run, checkpoint and prefix; words of each are separated by spaces."""
  return [
    Line(
      run, checkpoint, prefix, 7, _MEAN, Mean(1.0, 0.9, 1.1), Mean(0.35, 0.3, 0.4), None,
      _curve(2, 0.5, 0.4), _curve(1, 1.0, 1.1, 1.0), _curve(2, 0.0, 0.7), _curve(1, 0.8, 1.2, 1.0),
      _curve(1, 0.8, 1.2),
    )
    for run in runs.split() for checkpoint in checkpoints.split() for prefix in prefixes.split()
  ]  # fmt: skip


def _curve(first: int, *values: float) -> Curve:
  """A curve whose intervals reach 0.1 to both sides."""
  return Curve(first, list(values), [x - 0.1 for x in values], [x + 0.1 for x in values])
