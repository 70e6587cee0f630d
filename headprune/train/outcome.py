"""The table at the end of a run: what it is now beside what it was before, where that compares."""

import pathlib

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import summary
from headprune.runs.workdir import Workdir
from headprune.text import sources


def table(config: ConfigDict, workdir: Workdir, done: summary.Summary) -> str:
  """The closing table of a finished run and where its files are.

  Numbers of the run that it started from are left out where they are of other text; a line says so.
  """
  start = Workdir(pathlib.Path(config.init_from))
  before = start.read_summary() if config.init_from else None
  other = before is not None and not _on_same_text(config, start)
  lines = [summary.table(done, workdir.read_heads(), None if other else before)]
  if other and {before.dev_bleu, before.test_bleu, before.dev_loss} != {None}:
    lines.append(f"  {'note':<12}{start.path} may have other dev and test text: not compared")
  return "\n".join([*lines, f"  {'files':<12}{workdir.path}: {workdir.list_files()}"])


def _on_same_text(config: ConfigDict, other: Workdir) -> bool:
  """Whether another run's dev and test text are this one's, as far as configs tell."""
  try:
    found = config_lib.load(other)
  except UserError:  # it is gone, or damaged
    return False
  return sources.held_out(config.data) == sources.held_out(found.data)
