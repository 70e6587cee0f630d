"""Kills the real command at random moments, starts it again: `python -m tests.long.kills`.

A baseline and a pruned run are trained as often as it takes for all kills (SIGKILL and SIGTERM, in
turn), each to its end. What comes out must be that of a run without kills, to the bit: parameters,
metrics but for the clock, gates, summary, translations. 50 kills over 22 runs gave no losses and no
tracebacks.
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
from tests.train import trained

RUNS = ("baseline", "concrete")
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
    run(want)  # compiles, which later starts need not
    shutil.rmtree(want)
    *_, seconds = run(want)
    counts = {"kills": 0, "runs": 0, "losses": 0, "tracebacks": 0}
    while counts["kills"] < args.kills and time.time() < deadline:
      got = pathlib.Path(folder) / f"got{counts['runs']}"
      while not (got / "concrete" / "summary.json").exists():
        late = counts["kills"] >= args.kills or time.time() > deadline
        number = (signal.SIGKILL, signal.SIGTERM)[counts["kills"] % 2]
        delay = None if late else rng.random() * seconds
        killed, code, printed, _ = run(got, delay, number)
        if not killed and code:
          sys.exit(f"exit code {code}: {printed}")
        counts["kills"] += killed
        if "Traceback" in printed:
          counts["tracebacks"] += 1
          print(printed, flush=True)
        print(f"{number.name if killed else 'ended'}: {printed.splitlines()[-1:]}", flush=True)
      differing = [fault for name in RUNS for fault in compare(want, got, name)]
      counts["runs"] += 1
      counts["losses"] += bool(differing)
      print(f"run {counts['runs']}: {differing or 'the same'}", flush=True)
      shutil.rmtree(got)
  print(", ".join(f"{count} {name}" for name, count in counts.items()))
  raise SystemExit(bool(counts["losses"] or counts["tracebacks"]))


def run(folder: pathlib.Path, delay: float | None = None, number: int = 0):
  """Runs the command, or sends it a signal `delay` seconds after its first line.

  Returns:
    (whether the signal was sent, exit code, output, seconds since its first line).
  """
  with tempfile.NamedTemporaryFile() as output:
    process = subprocess.Popen(
      trained.command(folder / "concrete", folder / "baseline"),
      env=os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"},
      stdout=output, stderr=output, cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    said = pathlib.Path(output.name)
    while process.poll() is None and not said.stat().st_size:  # starting Python takes long enough
      time.sleep(0.05)
    begin, sent = time.time(), False
    try:
      process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
      process.send_signal(number)
      process.wait(timeout=120)
      sent = True
    return sent, process.returncode, said.read_text(), time.time() - begin


def compare(want: pathlib.Path, got: pathlib.Path, name: str) -> list[str]:
  """What of a run (one of RUNS) differs from one that nothing happened to."""
  one, other = (Workdir(folder / name) for folder in (want, got))
  params = (traverse_util.flatten_dict(checkpoint.load_params(w)) for w in (one, other))
  alike = {
    "parameters": _equal(*params),
    "metrics": _rows(metrics.read(one)) == _rows(metrics.read(other)),
    "heads.json": one.read_heads() == other.read_heads(),
    "summary.json": _rows([one.read_summary().to_json()])
    == _rows([other.read_summary().to_json()]),
    "translations": _texts(one) == _texts(other),
  }
  return [f"{name}: {what}" for what, same in alike.items() if not same]


def _equal(one: dict, other: dict) -> bool:
  return one.keys() == other.keys() and all(np.array_equal(x, other[k]) for k, x in one.items())


def _rows(rows: list[dict]) -> list[dict]:
  return [{name: x for name, x in row.items() if name not in TIMED} for row in rows]


def _texts(workdir: Workdir) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in (workdir.path / "translations").iterdir()}


if __name__ == "__main__":
  main()
