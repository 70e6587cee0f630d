"""Fixtures of the analyses' tests."""

import pytest

from headprune.analysis import subject
from headprune.analysis.measured import syntactic


@pytest.fixture
def small_batches(monkeypatch):
  """A few sentences are several batches, so that what is forgotten between batches shows."""
  for module in (subject, syntactic):
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
