"""Head pruning of encoder-decoder Transformers with Hard Concrete gates and an L0 penalty.

Array names end in one letter per axis:

  B batch    S source   T target   Q query    M memory   D model channels   K channels of a head
  H heads    N layers   F feed-forward units   V vocabulary   C fused projections   W beams
  G generation steps

`headprune.load(workdir)` gives a Run, with `translate`, `attention`, `gates` and `score`.
"""


def load(workdir, which: str = "last", precision: str | None = None):
  """Loads a run from its workdir; see headprune.run.load."""
  from headprune.run import load as load_run  # JAX only where it is needed: commands start faster

  return load_run(workdir, which, precision)
