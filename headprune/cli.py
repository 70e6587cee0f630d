"""How every command reads its arguments, starts, and reports a user's mistake."""

import argparse
import atexit
import codecs
import os
import pathlib
import platform
import signal
import sys
import tempfile

import jax

from headprune import huge_pages
from headprune.errors import Stopped, UserError


class Parser(argparse.ArgumentParser):
  """argparse's, to which an empty word is a mistake, such as a shell's variable that is not set.

  In its help the description's first paragraph stands above the options, what follows below.
  """

  def __init__(self, description: str = "", **settings):
    above, _, below = description.partition("\n\n")
    super().__init__(**{"formatter_class": _Help, "description": above, "epilog": below} | settings)
    self.register("type", None, _not_empty)
    self.register("type", pathlib.Path, lambda text: pathlib.Path(_not_empty(text)))

  def add_subparsers(self, **settings):
    action = super().add_subparsers(**settings)
    action.type = str  # it has all words behind it, which its parsers check
    return action


class _Help(argparse.HelpFormatter):
  """argparse's, which adds a flag's default where the text says nothing of it."""

  def _get_help_string(self, action):
    none = action.default in (None, [], argparse.SUPPRESS) or isinstance(action.default, bool)
    said = none or "default" in action.help
    return action.help if said else f"{action.help} (default: %(default)s)"


def _not_empty(text: str) -> str:
  if not text:
    raise argparse.ArgumentTypeError("is empty")
  return text


def run(command) -> None:
  """Runs `command()`; a UserError becomes one line on stderr and exit code 2.

  A signal that stopped it becomes a line and 128 + its number, as shells have it, and so does (141,
  of SIGPIPE, without a line) that nobody reads its output any more.
  """
  huge_pages.restart()
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # __main__ has one for its own seconds
    signal.signal(signal.SIGINT, signal.default_int_handler)
  _open_closed()
  codecs.register_error("headprune", _escape)
  sys.stdout.reconfigure(errors="headprune")
  _keep_compiled_code()
  atexit.register(_ignore_signals)
  jax.config.update("jax_enable_x64", False)  # all arrays here are float32 or narrower
  try:
    _run_and_flush(command)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
  except Stopped as stopped:
    print(stopped, file=sys.stderr)
    sys.exit(128 + stopped.signal)
  except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
    sys.exit(130)
  except BrokenPipeError:  # the reader of our output has seen enough
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # Python writes the rest as it ends
      os.dup2(null, stream.fileno())
    sys.exit(128 + signal.SIGPIPE)
  except OSError as error:  # the system's word for what it does not do, with the file's name
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
  except (AssertionError, RuntimeError) as error:  # whatever JAX raises where there is no device
    if _has_devices():
      raise
    reason = (str(error).strip() or "there is none here").splitlines()[0]
    print(f"error: JAX_PLATFORMS={jax.config.jax_platforms}: {reason}", file=sys.stderr)
    sys.exit(2)


def _open_closed() -> None:
  """Puts the null device in the place of streams that the shell closed (2>&-), which are None."""
  for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, mode))


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
  """What stands for a character that stdout's encoding lacks, such as ≥ in Latin-1, and its end.

  The bytes of a file's name that are no text come out as they are; all else as stderr has it.
  """
  error.end = error.start + 1
  try:
    return codecs.lookup_error("surrogateescape")(error)
  except UnicodeError:
    return codecs.backslashreplace_errors(error)


def _run_and_flush(command) -> None:
  """Runs `command()` and flushes stdout: what fails as Python ends can only be a traceback."""
  try:
    command()
  finally:
    sys.stdout.flush()


def _ignore_signals() -> None:
  """All is done and said: a signal would only break into Python's shutting down."""
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)


def _has_devices() -> bool:
  try:
    return bool(jax.devices())
  except (AssertionError, RuntimeError):
    return False


def _keep_compiled_code() -> None:
  """Lets later commands on this machine load what earlier ones compiled."""
  if jax.config.jax_compilation_cache_dir is None:  # not set by the user's environment
    try:
      folder = pathlib.Path.home() / ".cache" / "headprune" / platform.node()
      folder.mkdir(parents=True, exist_ok=True)
      tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # no home, or one that is not ours to write to
      return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
