"""Tests of headprune.errors."""

import pytest

from headprune import errors


def test_the_least_is_enough():
  errors.check_least("--sentences", 1, 1)
  with pytest.raises(errors.UserError, match="^--sentences 0 must be at least 1$"):
    errors.check_least("--sentences", 0, 1)
