"""Whether numbers of two runs are of the same dev and test text, so that they compare."""

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir
from headprune.text import sources


def same(config: ConfigDict, other: Workdir) -> bool:
  """Whether another run's dev and test text are those of a config, as far as configs tell."""
  try:
    found = config_lib.load(other)
  except UserError:  # it is gone, or damaged
    return False
  return sources.held_out(config.data) == sources.held_out(found.data)
