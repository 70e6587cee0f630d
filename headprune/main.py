"""Trains a run: `python -m headprune.main --config configs/concrete.py --workdir runs/x`.

`--help` lists methods, presets and fields, with `--config ... --help` as that config has them.
"""

import difflib
import pathlib
import re
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from headprune import cli
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, helptext
from headprune.train import cluster, devices, loop, prepare, stopping

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A method, or a Python file with get_config; a preset may follow: concrete:enru."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "One of several processes (Slurm, TPU pod): find the others first."
)
_HELP = ("--help", "-help", "-h")
_FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")


def _parse(argv: list[str]) -> list[str]:
  """absl's parsing, with one line for a mistake."""
  argv = _name_config_file(argv)
  _check_config(argv)
  try:
    rest = flags.FLAGS([argument for argument in argv if argument not in _HELP])
  except (flags.Error, TypeError, ValueError) as error:
    raise UserError(" ".join(str(error).split())) from error
  if set(_HELP).intersection(argv):
    _print_help()
    sys.exit(0)
  if _CONFIG.value is None or _WORKDIR.value is None:
    raise UserError("give --config (such as configs/concrete.py) and --workdir (such as runs/x)")
  if rest[1:]:
    raise UserError(f"unknown argument {rest[1]!r}")
  return rest


def _name_config_file(argv: list[str]) -> list[str]:
  """`argv` with a file in place of a config that is given as METHOD[:PRESET]."""
  result = list(argv)
  for i, argument in enumerate(argv):
    flag, equals, value = argument.partition("=")
    if flag not in ("--config", "-config") or not (equals or i + 1 < len(argv)):
      continue
    place, prefix = (i, f"{flag}=") if equals else (i + 1, "")
    value = value if equals else argv[i + 1]
    if value.partition(":")[0] in defaults.PARTS:
      result[place] = f"{prefix}{defaults.__file__}:{value}"
  return result


def _check_config(argv: list[str]) -> None:
  """Raises a UserError if the config file does not load or lacks a field that `argv` sets."""
  plain = flags.FlagValues()
  plain.set_gnu_getopt()
  config_flags.DEFINE_config_file("config", flag_values=plain, sys_argv=argv[:1])  # sets no field
  try:
    plain(argv, known_only=True)
    fields = {} if plain.config is None else config_lib.flatten(plain.config)
  except UserError:
    raise
  except Exception as error:  # the file is a program, which may raise anything
    reason = (str(error) or repr(error)).strip().splitlines()[-1].strip()
    raise UserError(f"--config: {reason}") from error
  for match in filter(None, map(_FIELD.match, argv)):
    name = match[1]
    if fields and name not in fields:  # a section is none: setting it would drop its fields
      near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)[0]
      raise UserError(f"--config.{name}: no such field; did you mean --config.{near}?")


def _print_help() -> None:
  print(
    "python -m headprune.main --config METHOD[:PRESET] --workdir FOLDER [--config.FIELD=VALUE ...]"
  )
  print()
  for flag in (_CONFIG, _WORKDIR, _DISTRIBUTED):
    print(f"--{flag.name:<14} {flags.FLAGS[flag.name].help}")
  print(f"\n{helptext.text(_CONFIG.value)}")


def _train(argv: list[str]) -> None:
  del argv
  # Orbax tells every file it writes, and of a failure more than the one line that it becomes.
  logging.set_verbosity(logging.FATAL)
  if _DISTRIBUTED.value:
    cluster.connect()
  with stopping.on_signals() as stop:
    workdir = pathlib.Path(_WORKDIR.value)
    *before, run = prepare.stages(_CONFIG.value, workdir)
    for stage in before:
      devices.print_first(f"No finished baseline at {stage[1]}: training it first.")
      loop.train(*stage, stop, wait=True)  # another run may need the same baseline
      devices.print_first(f"\nThe baseline is ready; now {workdir}.")
    loop.train(*run, stop)


def main() -> None:
  app.run(_train, argv=sys.argv, flags_parser=_parse)


if __name__ == "__main__":
  cli.run(main)
