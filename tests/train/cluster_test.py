"""Becoming one of several processes; what they do then is in processes_test.py."""

import os
import subprocess
import sys


def test_one_process_alone_is_told_so_in_one_line(tmp_path):
  kept = {name: x for name, x in os.environ.items() if not name.startswith(("JAX_", "SLURM_"))}
  command = [sys.executable, "-m", "headprune.main", "--distributed", "--config", "baseline"]
  done = subprocess.run(
    [*command, "--workdir", str(tmp_path / "run")], env=kept, capture_output=True, text=True
  )
  assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
  assert done.stderr.startswith("error: --distributed: this is not one of several processes")
