"""The one exception for a user's mistake, and how a command reports it."""

import sys


class UserError(Exception):
  """A mistake that the user can mend; the message says where it is and what to change."""


def run(command) -> None:
  """Runs `command()`; a UserError becomes one line on stderr and exit code 2."""
  try:
    command()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
