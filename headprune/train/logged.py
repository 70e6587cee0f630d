"""The training numbers since the last row of metrics.jsonl: as checkpoints keep them, as a row."""

import numpy as np

from headprune.runs import heads as heads_lib
from headprune.train import evaluation, prepare, progress

_LOSSES = ("objective", "smoothed_loss", "taught_loss", "risk", "penalty")  # one of the middle 3


def plain(results: list, clock: progress.Clock) -> dict:
  """What a checkpoint keeps of the steps since the last row, as plain numbers."""
  names = (*_LOSSES, "learning_rate", "grad_norm", "tokens")
  numbers = [{name: float(step[name]) for name in names if name in step} for step in results]
  return {"results": numbers, "seconds": clock.seconds()}


def row(job: prepare.Job, results: list, log_alphas: dict, clock: progress.Clock) -> dict:
  """The training numbers since the last row; losses are means over the steps."""
  results = plain(results, clock)["results"]
  last = results[-1]
  row = {name: float(np.mean([r[name] for r in results])) for name in _LOSSES if name in last}
  row |= {name: last[name] for name in ("learning_rate", "grad_norm")}
  row |= clock.read(sum(r["tokens"] for r in results))
  values = evaluation.gate_lists(job, log_alphas)
  if log_alphas:
    row["log_alpha"] = heads_lib.as_lists(log_alphas, job.step_config.model.heads)
    row["gates"] = {name: values[name] for name in row["log_alpha"]}
  row["open"] = {name: sum(n) for name, n in heads_lib.count_open(values).items()}
  return row
