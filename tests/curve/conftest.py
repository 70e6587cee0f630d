"""The small sweep that tests of its tables, figures and page share."""

import pytest

from headprune.curve import rows
from tests.curve import runs


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
  """Rows of runs.sweep."""
  return rows.rows(runs.sweep(tmp_path_factory.mktemp("sweep")))
