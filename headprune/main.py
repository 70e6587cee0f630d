"""Trains a run: `headprune train --config configs/concrete.py --workdir runs/x`.

`--help` lists methods, presets and fields, with `--config ... --help` as that config has them.
"""

import pathlib
import sys

from absl import app, flags, logging

from headprune import cli, config_flag
from headprune.errors import UserError
from headprune.train import cluster, processes, start, stopping, training

_USAGE = "headprune train --config METHOD[:PRESET] --workdir FOLDER [--config.FIELD=VALUE ...]"
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "One of several processes (Slurm, TPU pod): find the others first."
)


def _train(argv: list[str]) -> None:
  del argv
  # Orbax tells every file it writes, and of a failure more than the one line that it becomes.
  logging.set_verbosity(logging.FATAL)
  if _DISTRIBUTED.value:
    cluster.connect()
  with stopping.on_signals() as stop:
    workdir = pathlib.Path(config_flag.WORKDIR.value)
    *before, run = training.stages(config_flag.CONFIG.value, workdir)
    for stage in before:
      processes.print_first(f"No finished baseline at {stage[1]}: training it first.")
      try:
        training.train(*stage, stop, wait=True)  # another run may need the same baseline
      except UserError as error:
        raise start.of_baseline(error) from error
      processes.print_first(f"\nThe baseline is ready; now {workdir}.")
    training.train(*run, stop)


def main() -> None:
  app.run(_train, argv=sys.argv, flags_parser=config_flag.parser(_USAGE, [_DISTRIBUTED]))


if __name__ == "__main__":
  cli.run(main)
