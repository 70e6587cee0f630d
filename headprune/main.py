"""Trains a run: `python -m headprune.main --config configs/concrete.py --workdir runs/x`."""

import pathlib
import sys

from absl import app, flags, logging
import jax
from ml_collections import config_flags

from headprune import cli, train
from headprune.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with an optional :preset.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "One of several processes (Slurm, TPU pod): find the others first."
)


def _parse(argv: list[str]) -> list[str]:
  """absl's parsing, with one line for a mistake."""
  try:
    rest = flags.FLAGS(argv)
  except UserError:
    raise
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    raise UserError(" ".join(str(error).replace("\\n", " ").split())) from error
  if _CONFIG.value is None or _WORKDIR.value is None:
    raise UserError("give --config (such as configs/concrete.py) and --workdir (such as runs/x)")
  if rest[1:]:
    raise UserError(f"unknown argument {rest[1]!r}")
  return rest


def _train(argv: list[str]) -> None:
  del argv
  logging.set_verbosity(logging.WARNING)  # Orbax tells every file it writes
  if _DISTRIBUTED.value:
    jax.distributed.initialize()
  train.train_and_evaluate(_CONFIG.value, pathlib.Path(_WORKDIR.value))


def main() -> None:
  app.run(_train, argv=sys.argv, flags_parser=_parse)


if __name__ == "__main__":
  cli.run(main)
