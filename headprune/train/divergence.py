"""A run that breaks down: found before it is saved, told with what is left and the pairs."""

import math

import numpy as np

from headprune.errors import UserError
from headprune.files import write_text
from headprune.runs import stored
from headprune.runs.workdir import Workdir
from headprune.train import processes

_LENGTH = 200  # characters of a side in the file


def finite(results: list[dict]) -> bool:
  """Whether losses and gradients of train steps are numbers; waits until they are computed."""
  return all(math.isfinite(float(r["objective"]) + float(r["grad_norm"])) for r in results)


def describe(workdir: Workdir, tokenizers: tuple, step: int, batch: dict) -> UserError:
  """Writes the pairs of the step that was not finite, and gives what to raise.

  Args:
    workdir: takes the pairs as text.
    tokenizers: (source, target).
    step: its number.
    batch: this process's part of what it was made with, on the host.
  """
  if processes.is_first():
    write_text(workdir.diverged, "".join(_pairs(batch, tokenizers)))
  whole = stored.newest_step(workdir)
  kept = "there is no checkpoint" if whole is None else f"checkpoint {whole} is whole"
  return UserError(
    f"the loss or its gradient is not finite at step {step}; {kept}, the pairs of that step are in "
    f"{workdir.diverged}: lower config.optim.learning_rate or raise config.optim.warmup, and take "
    "another --workdir"
  )


def _pairs(batch: dict, tokenizers: tuple):
  """The pairs in a packed batch, a line each: source, tab, target."""
  names = (("src_BS", "src_segment_BS"), ("tgt_BT", "tgt_segment_BT"))
  for row in range(len(batch["src_BS"])):
    for segment in range(1, int(batch["src_segment_BS"][row].max()) + 1):
      texts = [
        tokenizer.decode([batch[ids][row][np.asarray(batch[segments][row]) == segment]])[0]
        for tokenizer, (ids, segments) in zip(tokenizers, names)
      ]
      yield "\t".join(" ".join(text.split())[:_LENGTH] for text in texts) + "\n"
