"""The command `headprune`: the word behind it is run as `python -m` runs a module."""

import argparse
import os
import runpy
import signal
import sys
from typing import NoReturn

import headprune
from headprune import huge_pages

COMMANDS = {  # module, what it does
  "train": ("main", "train a run: a baseline, or one whose heads are pruned"),
  "sweep": ("sweep", "make a pruning curve: many runs, with controls and seeds"),
  "translate": ("translate", "translate lines"),
  "evaluate": ("evaluate", "translate files or a run's test set, and give BLEU and chrF"),
  "compact": ("compact", "cut dead heads out, and prove that nothing else changed"),
  "analyze": ("analyze", "tell what the heads of a run do"),
  "trend": ("trend", "tell when in training the heads get their functions"),
  "contributions": ("contributions", "tell how much of each word comes from source and target"),
  "table": ("table", "compare finished runs: a table and the curve of quality against heads"),
  "convert": ("convert", "take models of other programs in, and give them out"),
  "corpus": ("corpus", "write the built-in corpus out as text files"),
  "speed": ("speed", "measure training and translation"),
}


def main() -> None:
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
    signal.signal(signal.SIGINT, _stop)  # until cli.run
  lines = [f"  {name:<13}  {text}" for name, (_, text) in COMMANDS.items()]
  parser = argparse.ArgumentParser(
    prog="headprune", description=f"{headprune.__doc__.splitlines()[0]}\n\n" + "\n".join(lines),
    epilog="headprune COMMAND --help says more of each.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )  # fmt: skip
  parser.add_argument("--version", action="version", version=f"headprune {headprune.__version__}")
  parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the above")
  module, _ = COMMANDS[parser.parse_args(sys.argv[1:2]).command]
  del sys.argv[1]
  huge_pages.restart()  # before JAX is read, which takes seconds
  runpy.run_module(f"headprune.{module}", run_name="__main__", alter_sys=True)


def _stop(*_) -> NoReturn:
  """Ends at once, for JAX makes an ImportError of an exception while it is read."""
  print("stopped", file=sys.stderr, flush=True)
  os._exit(130)


if __name__ == "__main__":
  main()
