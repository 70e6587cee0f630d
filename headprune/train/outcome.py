"""The table at the end of a run: what it is now beside what it was before, where that compares."""

from ml_collections import ConfigDict

from headprune.runs import held_out, summary
from headprune.runs.config import origin
from headprune.runs.workdir import Workdir


def table(config: ConfigDict, workdir: Workdir, done: summary.Summary) -> str:
  """The closing table of a finished run and where its files are.

  Numbers of the run that it started from are left out where they are of other text; a line says so.
  """
  start = origin(config)
  before = start.read_summary() if start else None
  other = before is not None and not held_out.same(config, start)
  lines = [summary.table(done, workdir.read_heads(), None if other else before)]
  if other and {before.dev_bleu, before.test_bleu, before.dev_loss} != {None}:
    lines.append(f"  {'note':<12}{start.path} may have other dev and test text: not compared")
  return "\n".join([*lines, f"  {'files':<12}{workdir.path}: {workdir.list_files()}"])
