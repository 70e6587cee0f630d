"""Kills the real command at random moments, starts it again: `python -m tests.long.kills`.

A baseline and a pruned run are trained as often as it takes for all kills (SIGKILL and SIGTERM, in
turn), each to its end. What comes out must be that of a run without kills, to the bit: parameters,
metrics but for the clock, gates, summary, translations.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from flax import traverse_util
import numpy as np

from headprune.runs import checkpoint, metrics
from headprune.runs.workdir import Workdir
from tests.train import loop_test

TIMED = ("tokens_per_second", "train_seconds")
FLAGS = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m tests.long.kills", description=__doc__)
  parser.add_argument("--kills", type=int, default=50)
  parser.add_argument("--seed", type=int, default=0, help="of the moments")
  parser.add_argument("--minutes", type=float, default=1e9, help="no further kill after so long")
  args = parser.parse_args()
  rng, deadline = random.Random(args.seed), time.time() + 60 * args.minutes
  with tempfile.TemporaryDirectory() as folder:
    want = pathlib.Path(folder) / "want"
    _run(want)  # compiles, which later starts need not
    shutil.rmtree(want)
    begin = time.time()
    _run(want)
    seconds, counts = time.time() - begin, {"kills": 0, "runs": 0, "losses": 0, "tracebacks": 0}
    while counts["kills"] < args.kills and time.time() < deadline:
      got = pathlib.Path(folder) / f"got{counts['runs']}"
      while not (got / "concrete" / "summary.json").exists():
        late = counts["kills"] >= args.kills or time.time() > deadline
        number = (signal.SIGKILL, signal.SIGTERM)[counts["kills"] % 2]
        killed, printed = _run(got, None if late else rng.uniform(0.1, 1) * seconds, number)
        counts["kills"] += killed
        counts["tracebacks"] += "Traceback" in printed
        print(f"{number.name if killed else 'ended'}: {printed.splitlines()[-1:]}", flush=True)
      differing = [name for run in ("baseline", "concrete") for name in _compare(want, got, run)]
      counts["runs"] += 1
      counts["losses"] += bool(differing)
      print(f"run {counts['runs']}: {differing or 'the same'}", flush=True)
      shutil.rmtree(got)
  print(", ".join(f"{count} {name}" for name, count in counts.items()))
  raise SystemExit(bool(counts["losses"] or counts["tracebacks"]))


def _run(folder: pathlib.Path, delay: float | None = None, number: int = 0) -> tuple[bool, str]:
  """Runs the command to its end, or sends it a signal after `delay` s: (it was sent, output)."""
  command = loop_test.command(folder / "concrete", folder / "baseline")
  process = subprocess.Popen(
    command, env=os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"}, text=True,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=pathlib.Path(__file__).parents[2],
  )  # fmt: skip
  try:
    printed, _ = process.communicate(timeout=delay)
    if process.returncode:
      sys.exit(f"exit code {process.returncode}: {printed}")
    return False, printed
  except subprocess.TimeoutExpired:
    process.send_signal(number)
    begin = time.time()
    printed, _ = process.communicate()
    if time.time() - begin > 20:
      printed += f"\nit took {time.time() - begin:.0f} s to stop"
    return True, printed


def _compare(want: pathlib.Path, got: pathlib.Path, run: str) -> list[str]:
  """What of a run differs from one without kills."""
  one, other = (Workdir(folder / run) for folder in (want, got))
  params = (traverse_util.flatten_dict(checkpoint.load_params(w)) for w in (one, other))
  alike = {
    "parameters": _equal(*params),
    "metrics": _rows(metrics.read(one)) == _rows(metrics.read(other)),
    "heads.json": one.read_heads() == other.read_heads(),
    "summary.json": _rows([one.read_summary().to_json()])
    == _rows([other.read_summary().to_json()]),
    "translations": _texts(one) == _texts(other),
  }
  return [f"{run}: {name}" for name, same in alike.items() if not same]


def _equal(one: dict, other: dict) -> bool:
  return one.keys() == other.keys() and all(np.array_equal(x, other[k]) for k, x in one.items())


def _rows(rows: list[dict]) -> list[dict]:
  return [{name: x for name, x in row.items() if name not in TIMED} for row in rows]


def _texts(workdir: Workdir) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in (workdir.path / "translations").iterdir()}


if __name__ == "__main__":
  main()
