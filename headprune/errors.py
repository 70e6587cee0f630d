"""The one exception for a user's mistake."""


class UserError(Exception):
  """A mistake that the user can mend; the message says where it is and what to change."""
