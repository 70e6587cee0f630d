"""A run's tokenizer folder, and whether it is still the one that the run was made with.

A tokenizer folder holds checksums of its files, so that damage is told; but a folder of another run
is as good as any, and may have as many ids. So config.json holds them as well.
"""

from headprune.errors import UserError
from headprune.files import read_json
from headprune.runs.workdir import Workdir
from headprune.text import tokenizer

FIELD = "tokenizer_files"  # of config.json, beside the config's own; older runs have none


def record(workdir: Workdir) -> dict:
  """What config.json is to hold of the tokenizer folder; {} if there is none."""
  there = tokenizer.exists(workdir.tokenizer)
  return {FIELD: tokenizer.describe(workdir.tokenizer)} if there else {}


def load(workdir: Workdir) -> tuple[tokenizer.Tokenizer, tokenizer.Tokenizer]:
  """The (source, target) tokenizers of a run.

  Raises:
    UserError: there is no tokenizer, one of its files is damaged, or it is another run's.
  """
  check(workdir)
  return tokenizer.load(workdir.tokenizer)


def check(workdir: Workdir) -> None:
  """Raises a UserError if the tokenizer folder is not the one that the run was made with."""
  known = read_json(workdir.config).get(FIELD)
  if known and known != tokenizer.describe(workdir.tokenizer):
    raise UserError(
      f"{workdir.tokenizer}: not the tokenizer that the run was made with, whose checksums are in "
      f"{workdir.config.name}: restore the folder"
    )
