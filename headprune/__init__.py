"""Head pruning of encoder-decoder Transformers with Hard Concrete gates and an L0 penalty.

Array names end in one letter per axis:

  B batch    S source   T target   Q query    M memory   D model channels   K channels of a head
  H heads    N layers   F feed-forward units   V vocabulary   C fused projections   W beams
  A micro-batches of a step     G groups of heads of which so many are to stay
  E candidates or samples of a sentence
  R rows of a batch that are filled anew, or in which samples are drawn

A digit is an axis of that length.
In nn/topk.py and train/target.py M stands for all heads in a row.
(analysis/__init__.py adds those that analyses alone use.)

`headprune.load(workdir)` gives a Run, with `translate`, `attention`, `gates`, `score` and more.
"""

__version__ = "0.1.0"


def load(workdir, which: str = "last", precision: str | None = None):
  """Loads a run from its workdir; see headprune.runs.run.load."""
  from headprune.runs.run import (
    load as load_run,
  )  # JAX only where it is needed: commands start faster

  return load_run(workdir, which, precision)
