"""What ends a command without a traceback: a user's mistake, and being asked to stop."""


class UserError(Exception):
  """A mistake that the user can mend; the message says where it is and what to change."""


class Stopped(BaseException):
  """A signal asked to stop, and what was worth keeping is kept; the message says what goes on."""

  def __init__(self, message: str, signal: int):
    super().__init__(message)
    self.signal = signal


def check_least(name: str, value: float, least: int) -> None:
  """Raises a UserError if a value is too small; `name` is the user's, such as "--sentences"."""
  if value < least:
    raise UserError(f"{name} {value} must be at least {least}")
