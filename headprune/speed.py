"""Measures training and translation with random weights: `python -m headprune.speed`.

Translation is of 100 sentences of 8 to 30 words, beam 4, exactly 20 decoding steps each. Head
counts take turns.
"""

import argparse
import json
import pathlib

import jax

from headprune import cli
from headprune.bench import speed
from headprune.errors import UserError
from headprune.nn.config import PRECISIONS


def main() -> None:
  parser = argparse.ArgumentParser(prog="headprune.speed", description=__doc__)
  parser.add_argument("--sizes", default="small,base", help=", ".join(speed.SIZES))
  parser.add_argument("--heads", default="dense,half,quarter", help="heads kept; gain over first")
  parser.add_argument("--tasks", default=",".join(speed.TASKS), help=", ".join(speed.TASKS))
  parser.add_argument("--precision", default="bfloat16", choices=PRECISIONS)
  parser.add_argument("--repeats", type=int, default=6)
  parser.add_argument("--json", type=pathlib.Path, help="also write the rows there")
  args = parser.parse_args()
  if args.repeats < 1:
    raise UserError(f"--repeats {args.repeats} must be at least 1")
  if args.json and not args.json.absolute().parent.is_dir():
    raise UserError(f"--json {args.json}: its folder does not exist")
  heads = _names(args.heads, speed.KEPT, "heads")
  cases = [
    (size, task)
    for size in _names(args.sizes, speed.SIZES, "sizes")
    for task in _names(args.tasks, speed.TASKS, "tasks")
  ]
  jax.config.update("jax_enable_compilation_cache", False)  # its time is measured too
  rows = []
  print(f"{args.precision} on {jax.devices()[0].device_kind}", flush=True)
  for size, task in cases:
    rows += speed.measure(size, heads, task, args.precision, args.repeats)
    print(speed.table(rows[-len(heads) :]), flush=True)
  if args.json:
    args.json.write_text(json.dumps({"precision": args.precision, "rows": rows}, indent=2) + "\n")


def _names(text: str, known, flag: str) -> list[str]:
  """A comma-separated list of known names."""
  names = [name.strip() for name in text.split(",")]
  for name in names:
    if name not in known:
      raise UserError(f"--{flag}: {name!r} is not one of {', '.join(known)}")
  return names


if __name__ == "__main__":
  cli.run(main)
