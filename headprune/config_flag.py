"""The flags of the commands that train: --config with its fields, --workdir, and their mistakes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import difflib
import functools
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from headprune.errors import UserError
from headprune.runs import defaults, derived, effect, helptext, presets
from headprune.runs.workdir import Workdir

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A method, or a Python file with get_config; a preset may follow: concrete:enru."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write into.")
_HELP = ("--help", "-help", "-h")
_FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")


def parser(
  usage: str, own: Sequence[flags.FlagHolder], instead: Mapping[str, str] = {}
) -> Callable[[list[str]], list[str]]:
  """absl's parsing, with one line for a mistake, and --help.

  Args:
    usage: of the command, for --help.
    own: the flags that it has besides --config and --workdir.
    instead: see effect.check.
  """
  return functools.partial(_parse, usage, (CONFIG, WORKDIR, *own), instead)


def _parse(
  usage: str, known: Sequence[flags.FlagHolder], instead: Mapping[str, str], argv: list[str]
) -> list[str]:
  argv = _name_config_file(argv)
  given = _fields_before(argv)
  try:
    rest = flags.FLAGS([argument for argument in argv if argument not in _HELP])
  except flags.UnrecognizedFlagError as error:
    raise UserError(_no_flag(error.flagname, [flag.name for flag in known], given)) from error
  except (flags.Error, TypeError, ValueError) as error:
    raise UserError(" ".join(str(error).split())) from error
  if set(_HELP).intersection(argv):
    _print_help(usage, known)
    sys.exit(0)
  if CONFIG.value is None or not WORKDIR.value:
    raise UserError("give --config (such as configs/concrete.py) and --workdir (such as runs/x)")
  if rest[1:]:
    raise UserError(f"unknown argument {rest[1]!r}")
  if not Workdir.at(WORKDIR.value).is_run():  # what has begun goes on as it was
    fields = derived.flatten(CONFIG.value)
    changed = [name for name in named(argv) if fields[name] != given[name]]
    effect.check(CONFIG.value, changed, instead)
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
    else:
      _check_file(value.partition(":")[0])
  return result


def _check_file(name: str) -> None:
  """Raises a UserError if there is no config file of that name."""
  if name and name in presets.TASKS:
    raise UserError(f"--config {name}: that is a preset; put a method before it: baseline:{name}")
  if not pathlib.Path(name).is_file():
    raise UserError(f"--config {name}: no such file, nor one of {', '.join(defaults.PARTS)}")


def named(argv: Sequence[str]) -> list[str]:
  """The fields of the config that `argv` sets."""
  return [match[1] for match in map(_FIELD.match, argv) if match]


def _fields_before(argv: list[str]) -> dict:
  """The config file's fields before `argv` changes them; {} without a file.

  Raises:
    UserError: the file does not load, or lacks a field, be it one that `argv` alone knows.
  """
  plain = flags.FlagValues()
  plain.set_gnu_getopt()
  config_flags.DEFINE_config_file("config", flag_values=plain, sys_argv=argv[:1])  # sets no field
  try:
    plain(argv, known_only=True)
    fields = {} if plain.config is None else derived.flatten(plain.config)
  except UserError:
    raise
  except Exception as error:  # the file is a program, which may raise anything
    reason = (str(error) or repr(error)).strip().splitlines()[-1].strip()
    raise UserError(f"--config: {reason}") from error
  lacking = [name for name in derived.flatten(defaults.base()) if fields and name not in fields]
  if lacking:
    raise UserError(
      f"--config: its get_config gives no config.{lacking[0]}: start from what "
      "headprune.runs.defaults.config('concrete') or another method gives"
    )
  for name in named(argv):
    if fields and name not in fields:  # a section is none: setting it would drop its fields
      near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)[0]
      raise UserError(f"--config.{name}: no such field; did you mean --config.{near}?")
  return fields


def _no_flag(name: str, known: Sequence[str], fields: Iterable[str]) -> str:
  """What is said of a flag that there is not; of a field without --config, where it belongs."""
  behind = [f"config.{field}" for field in fields if f".{field}".endswith(f".{name}")]
  near = sorted(behind, key=len) or difflib.get_close_matches(name, known, n=1)
  if near:
    return f"--{name}: no such flag; did you mean --{near[0]}?"
  return f"--{name}: no such flag; there are --config.FIELD, --{', --'.join(known)}"


def _print_help(usage: str, known: Sequence[flags.FlagHolder]) -> None:
  print(usage)
  print()
  for flag in known:
    default = f" (default: {_text(flag.default)})" if flag.default else ""
    print(f"--{flag.name:<14} {flags.FLAGS[flag.name].help}{default}")
  print(f"\n{helptext.text(CONFIG.value)}")


def _text(value) -> str:
  return ",".join(value) if isinstance(value, list) else str(value)
