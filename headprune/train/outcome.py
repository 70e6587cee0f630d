"""The table at the end of a run: what it is now beside what it was before, where that compares."""

from ml_collections import ConfigDict

from headprune.runs import held_out, stored, summary
from headprune.runs.config import origin
from headprune.runs.workdir import Workdir


def table(config: ConfigDict, workdir: Workdir, done: summary.Summary) -> str:
  """The closing table of a finished run and where its files are.

  Numbers of the run that it started from are left out where they are of other text, which a line
  says, or of another checkpoint than it started from.
  """
  start = origin(config)
  before = start.read_summary(config.init_checkpoint) if start else None
  comparable = held_out.comparable(config, start) if before else ()
  lines = [summary.table(done, workdir.read_heads(), before, comparable)]
  measured = [field for field in summary.FIELDS if getattr(before, field, None) is not None]
  if measured and not comparable:
    lines.append(f"  {'note':<12}{start.path} may have other dev and test text: not compared")
  elif "dev_loss" in measured and "dev_loss" not in comparable:
    lines.append(
      f"  {'note':<12}the dev loss of {start.path} is of other rows or tokens "
      "(config.data.row_length, config.tokenizer): not compared"
    )
  if lost := stored.lost(workdir):
    lines.append(f"  {'note':<12}{lost}")
  return "\n".join([*lines, f"  {'files':<12}{workdir.path}: {workdir.list_files()}"])
