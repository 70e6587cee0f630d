"""Exit codes of commands and the one line each leaves on stderr."""

import pytest

from headprune import cli
from headprune.errors import Stopped, UserError


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
