"""Measures training and translation: `headprune speed`.

With random weights: translation is of 100 sentences of 8 to 30 words, beam 4, exactly 20 decoding
steps each; head counts take turns. With --workdir: trained runs translate the test text of the
first one, and with --against another engine does too, by turns, with BLEU and the model's size.
"""

import argparse
import pathlib

import jax

from headprune import cli
from headprune.bench import deployed, speed
from headprune.errors import UserError, check_least
from headprune.files import check_file, write_json
from headprune.nn.config import PRECISIONS
from headprune.runs.run import load


def main() -> None:
  args = _parse()
  for name in ("repeats", "sentences"):
    check_least(f"--{name}", getattr(args, name), 1)
  if args.json:
    check_file(args.json)
  rows = list(_on_text(args) if args.workdir else _random(args))
  if args.json:
    content = {"precision": args.precision, "device": _device(), "rows": rows}
    write_json(args.json, content)


def _random(args):
  """Rows of random weights, printed as they come."""
  heads = _names(args.heads, speed.KEPT, "heads")
  cases = [
    (size, task)
    for size in _names(args.sizes, speed.SIZES, "sizes")
    for task in _names(args.tasks or ",".join(speed.TASKS), speed.TASKS, "tasks")
  ]
  jax.config.update("jax_enable_compilation_cache", False)  # its time is measured too
  print(f"{args.precision} on {_device()}", flush=True)
  for size, task in cases:
    rows = speed.measure(size, heads, task, args.precision, args.repeats)
    print(speed.table(rows), flush=True)
    yield from rows


def _on_text(args):
  """Rows of trained runs on real text, printed as they come."""
  known = [task for task in speed.TASKS if task != "train"]
  tasks = _names(args.tasks or ",".join(known), known, "tasks")
  runs = [load(workdir, precision=args.precision) for workdir in args.workdir]
  print(f"on {_device()}; ratios are to the first row", flush=True)
  for task in tasks:
    batch_size = int(task.split()[1])
    rows = deployed.measure(runs, args.against, batch_size, args.sentences, args.repeats)
    print(deployed.table(rows), flush=True)
    yield from rows


def _device() -> str:
  """The processor's name where the system tells it, else JAX's name for the device."""
  info = pathlib.Path("/proc/cpuinfo")
  if jax.default_backend() == "cpu" and info.exists():
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0].partition(':')[2].strip()}" if names else "cpu"
  return jax.devices()[0].device_kind


def _names(text: str, known, flag: str) -> list[str]:
  """A comma-separated list of known names."""
  names = [name.strip() for name in text.split(",")]
  for name in names:
    if name not in known:
      raise UserError(f"--{flag}: {name!r} is not one of {', '.join(known)}")
  return names


def _parse() -> argparse.Namespace:
  """The arguments, without those that have no effect."""
  parser = cli.Parser(prog="headprune speed", description=__doc__)
  add = parser.add_argument
  add("--sizes", default="small,base", help=", ".join(speed.SIZES))
  add("--heads", default="dense,half,quarter", help="heads kept; gain over first")
  add("--tasks", help=f"{', '.join(speed.TASKS)}; with --workdir all but train (default: all)")
  add("--precision", choices=PRECISIONS, help="default: bfloat16, or a run's own")
  add("--repeats", type=int, default=6, help="timed calls of each, at least")
  add("--workdir", nargs="+", default=[], help="runs, instead of random weights")
  add("--against", nargs="+", default=[], help="ctranslate2, ctranslate2:int8, ...: with --workdir")
  add(
    "--sentences", type=int, default=1000,
    help="of the first run's test set (dev set where there is none), at most: with --workdir",
  )  # fmt: skip
  add("--json", type=pathlib.Path, help="also write the rows there")
  args = parser.parse_args()
  where, ignored = "without", ("against", "sentences")
  if args.workdir:
    where, ignored = "with", ("sizes", "heads")
  else:
    args.precision = args.precision or "bfloat16"
  for name in ignored:
    if getattr(args, name) != parser.get_default(name):
      raise UserError(f"--{name} has no effect {where} --workdir: leave it out")
  return args


if __name__ == "__main__":
  cli.run(main)
