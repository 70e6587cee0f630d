"""Which numbers of two runs are of the same text, so that they compare."""

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs.summary import FIELDS, OF_TRANSLATIONS
from headprune.runs.workdir import Workdir
from headprune.text import sources


def comparable(config: ConfigDict, other: Workdir) -> tuple[str, ...]:
  """The measures of a summary that compare with another run's, as far as configs tell.

  Translations need the same dev and test text. A loss is of the dev pairs that fit into a row, and
  of a token, so that it needs the same rows and tokens as well.
  """
  try:
    found = config_lib.load(other)
  except UserError:  # it is gone, or damaged
    return ()
  if sources.held_out(config.data) != sources.held_out(found.data):
    return ()
  pairs, others = ((c.data.row_length, c.tokenizer.to_dict()) for c in (config, found))
  return FIELDS if pairs == others else OF_TRANSLATIONS
