"""Trains on disks that are too small: `python -m tests.long.disk` (Linux, as root, for tmpfs).

On each the real command must end with one line and exit code 2, and go on to its end when the disk
has grown, with the results of a run that had room from the start. Eight disks of 16 to 9,000 KiB
gave no faults.
"""

import argparse
import contextlib
import pathlib
import shutil
import subprocess
import tempfile

from tests.long import kills


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m tests.long.disk", description=__doc__)
  parser.add_argument(
    "--sizes", type=int, nargs="+", default=[16, 80, 160, 1200, 2000, 3000, 5000, 9000],
    help="of the disks, in KiB",
  )  # fmt: skip
  args = parser.parse_args()
  faults = 0
  with tempfile.TemporaryDirectory() as folder:
    want, disk = pathlib.Path(folder) / "want", pathlib.Path(folder) / "small disk"
    kills.run(want)
    for size in args.sizes:
      with _tmpfs(disk, size) as grow:
        _, code, printed, _ = kills.run(disk / "runs")
        said = [line for line in printed.splitlines() if line.startswith("error: ")]
        grow()
        _, code_after, *_ = kills.run(disk / "runs")
        differing = [x for run in kills.RUNS for x in kills.compare(want, disk / "runs", run)]
      good = code == 2 and len(said) == 1 and not code_after and not differing
      faults += not good or "Traceback" in printed
      noise = printed.count("Traceback")
      print(f"{size} KiB: {code} {said} {noise} tracebacks, then {code_after}, "
            f"{differing or 'the same'}", flush=True)  # fmt: skip
  print(f"{len(args.sizes)} disks, {faults} faults")
  raise SystemExit(bool(faults))


@contextlib.contextmanager
def _tmpfs(folder: pathlib.Path, size: int):
  """A disk of `size` KiB; yields what makes it large enough."""
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o"]
  subprocess.run([*mount, f"size={size}k", "tmpfs", folder], check=True)
  try:
    yield lambda: subprocess.run([*mount, "remount,size=1g", "tmpfs", folder], check=True)
  finally:
    subprocess.run(["umount", folder], check=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
  main()
