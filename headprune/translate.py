"""Translates lines: `python -m headprune.translate --workdir runs/x < input > output`."""

import argparse
import itertools
import sys

from headprune import cli
from headprune.errors import UserError
from headprune.runs.run import load

CHUNK = 2000  # lines read at a time: enough to sort by length, few enough to stream


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m headprune.translate", description=__doc__)
  parser.add_argument("--workdir", required=True, help="a trained run")
  parser.add_argument("--checkpoint", default="last", help="last, best, or a step")
  args = parser.parse_args()
  run = load(args.workdir, args.checkpoint)
  number = 0
  while chunk := list(itertools.islice(sys.stdin.buffer, CHUNK)):
    lines = [_decode(row, number + i) for i, row in enumerate(chunk, 1)]
    number += len(lines)
    for line in run.translate(lines):
      sys.stdout.buffer.write(line.encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()


def _decode(row: bytes, number: int) -> str:
  try:
    return row.decode("utf-8").rstrip("\r\n")
  except UnicodeDecodeError:
    raise UserError(f"standard input, line {number}: not UTF-8; convert the text first") from None


if __name__ == "__main__":
  cli.run(main)
