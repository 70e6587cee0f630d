"""Runs that several files of tests read."""

import subprocess

import pytest

from tests.train import trained


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
  """(folder, what the command printed): a baseline and a pruned run, trained by the command."""
  folder = tmp_path_factory.mktemp("runs")
  args = trained.command(folder / "concrete", folder / "baseline")
  done = subprocess.run(args, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  return folder, done.stdout
