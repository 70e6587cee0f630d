"""Exit codes of commands and the one line each leaves on stderr."""

import os
import pathlib
import signal
import subprocess
import sys

import jax
import pytest

from headprune import cli
from headprune.errors import Stopped, UserError
from headprune.runs import validation


@pytest.mark.parametrize(
  "error, code, line",
  [
    (UserError("give --x"), 2, "error: give --x\n"),
    (Stopped("stopped at step 3", 15), 143, "stopped at step 3\n"),
    (Stopped("stopped at step 3", 2), 130, "stopped at step 3\n"),
    (KeyboardInterrupt(), 130, "stopped\n"),
  ],
)
def test_what_ends_a_command(error, code, line, capfd, monkeypatch):
  def command():
    raise error

  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
  with pytest.raises(SystemExit) as caught:
    cli.run(command)
  assert caught.value.code == code
  assert capfd.readouterr().err == line


@pytest.mark.parametrize(
  "before, after",
  [(print, signal.default_int_handler), (signal.SIG_IGN, signal.SIG_IGN)],  # ignored: by nohup
)
def test_a_command_can_be_interrupted(monkeypatch, before, after):
  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
  handlers, own = [], signal.signal(signal.SIGINT, before)
  try:
    cli.run(lambda: handlers.append(signal.getsignal(signal.SIGINT)))
  finally:
    signal.signal(signal.SIGINT, own)
  assert handlers == [after]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_end_changes_nothing(number):
  program = f"""
import atexit, os
atexit.register(os.kill, os.getpid(), {int(number)})
from headprune import cli
cli.run(lambda: print("done"))
"""
  environment = os.environ | {"HEADPRUNE_HUGE_PAGES": "0"}
  ended = subprocess.run(
    [sys.executable, "-c", program], env=environment, capture_output=True, text=True
  )
  assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def ended(command: str, redirection: str) -> list[str]:
  """The exit code of a command (Python) in a shell, and what it said on either stream."""
  program = f"import sys; from headprune import cli; cli.run(lambda: {command})"
  line = f'"{sys.executable}" -c \'{program}\' {redirection}; echo "${{PIPESTATUS[0]}}"'
  environment = os.environ | {"HEADPRUNE_HUGE_PAGES": "0"}
  done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
  return (done.stdout + done.stderr).split()


@pytest.mark.parametrize(
  "command",
  [
    "print(1, flush=True)",
    "print(1)",  # not before the end
    'exec("print(1); sys.exit(0)")',
  ],
)
def test_output_that_nobody_reads_is_no_success(command):
  assert ended(command, "| true") == ["141"]


@pytest.mark.parametrize("name, closed", [("stdin", "<&-"), ("stdout", ">&-"), ("stderr", "2>&-")])
def test_a_stream_that_is_closed_is_one_of_nothing(name, closed):
  assert ended(f"sys.{name}.buffer and sys.{name}.isatty()", closed) == ["0"]


@pytest.mark.parametrize(
  "encoding, said",
  [
    ("utf-8", "±≥\\ud800".encode() + b"\xff"),
    ("latin-1", b"\xb1\\u2265\\ud800\xff"),
    ("ascii", b"\\xb1\\u2265\\ud800\xff"),
  ],
)
def test_any_text_and_any_name_of_a_file_can_be_told(encoding, said):
  program = r'from headprune import cli; cli.run(lambda: print("\xb1\u2265\ud800\udcff", end=""))'
  environment = os.environ | {
    "HEADPRUNE_HUGE_PAGES": "0", "PYTHONIOENCODING": f"{encoding}:strict",
  }  # fmt: skip
  done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
  assert (done.returncode, done.stdout) == (0, said)


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize 'cuda'")])
def test_a_platform_that_is_not_there_is_one_line(error, capfd, monkeypatch):
  def command():
    raise error

  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
  with pytest.raises(type(error)):
    cli.run(command)  # there are devices: it is something else
  monkeypatch.setattr(jax, "devices", command)
  with pytest.raises(SystemExit) as caught:
    cli.run(command)
  assert caught.value.code == 2
  reason = str(error) or "there is none here"
  assert capfd.readouterr().err == f"error: JAX_PLATFORMS=cpu: {reason}\n"


def test_commands_work_in_32_bits_and_python_says_so(monkeypatch):
  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
  jax.config.update("jax_enable_x64", True)
  try:
    with pytest.raises(UserError, match="jax_enable_x64 is on"):
      validation.check_jax()
    cli.run(validation.check_jax)
  finally:
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("kind", [None, pathlib.Path])
def test_an_empty_argument_is_a_mistake_that_names_its_flag(capsys, kind):
  parser = cli.Parser()
  command = parser.add_subparsers().add_parser("a command")  # is of the same class
  command.add_argument("--out", type=kind, nargs="+")
  assert parser.parse_args(["a command"]).out is None
  assert parser.parse_args(["a command", "--out", "x"]).out == [(kind or str)("x")]
  with pytest.raises(SystemExit) as caught:
    parser.parse_args(["a command", "--out", "x", ""])
  assert caught.value.code == 2
  assert capsys.readouterr().err.endswith("error: argument --out: is empty\n")


def test_without_a_home_nothing_is_kept_and_all_works(tmp_path, monkeypatch):
  before = jax.config.jax_compilation_cache_dir
  (tmp_path / "file").write_text("")
  try:
    for home, cached in ((tmp_path / "file", False), (tmp_path / "mein Haus", True)):
      jax.config.update("jax_compilation_cache_dir", None)
      monkeypatch.setenv("HOME", str(home))
      cli._keep_compiled_code()
      assert (jax.config.jax_compilation_cache_dir is not None) == cached
  finally:
    jax.config.update("jax_compilation_cache_dir", before)


def test_help_begins_with_the_first_paragraph_and_ends_with_the_others():
  found = cli.Parser(prog="x", description="A\nline.\n\nMore.\n\nAnd more.").format_help()
  assert found.startswith("usage: x [-h]\n\nA line.\n\noptions:")
  assert found.endswith("exit\n\nMore. And more.\n")


def test_help_says_each_default_once():
  parser = cli.Parser(prog="x")
  for flag, default, text in (
    ("--share", 0.5, "how much"), ("--seed", 0, "of the draw"), ("--own", "a", "by default an a"),
    ("--none", None, "if any"), ("--list", [], "some"),
  ):  # fmt: skip
    parser.add_argument(flag, default=default, metavar="N", help=text)
  parser.add_argument("--plain", action="store_true", help="yes or no")
  said = [" ".join(line.split()) for line in parser.format_help().splitlines()]
  for line in (
    "--share N how much (default: 0.5)", "--seed N of the draw (default: 0)",
    "--own N by default an a", "--none N if any", "--list N some", "--plain yes or no",
    "-h, --help show this help message and exit",
  ):  # fmt: skip
    assert line in said
