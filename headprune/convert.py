"""Makes a run of another program's model, or plain arrays of a run.

  python -m headprune.convert original --npz model.npz --src-vocab src.txt --tgt-vocab tgt.txt \\
    [--hp hp.json] --out runs/x
  python -m headprune.convert export --workdir runs/x --out folder
"""

import argparse
import pathlib

from headprune import cli
from headprune.formats import original
from headprune.runs.run import load
from headprune.runs.workdir import check_unused


def main() -> None:
  parser = argparse.ArgumentParser(
    prog="python -m headprune.convert", description=__doc__.splitlines()[0]
  )
  commands = parser.add_subparsers(required=True, metavar="program")
  sub = commands.add_parser("original", help="the TensorFlow program of Voita et al. (2019)")
  sub.add_argument("--npz", required=True, help="its model-*.npz")
  sub.add_argument("--src-vocab", required=True, help="source tokens, one a line in id order")
  sub.add_argument("--tgt-vocab", required=True, help="target tokens, one a line in id order")
  sub.add_argument("--hp", help="its hyper-parameters as JSON; needed without trained gates")
  sub.add_argument("--out", required=True, type=pathlib.Path, help="folder of the new run")
  sub.set_defaults(call=_import)
  sub = commands.add_parser("export", help="a run as model.npz, hp.json and vocabularies")
  sub.add_argument("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  sub.add_argument("--checkpoint", default="last", help="last, best, or a step")
  sub.add_argument("--out", required=True, type=pathlib.Path, help="folder for the files")
  sub.set_defaults(call=_export)
  args = parser.parse_args()
  print(args.call(args))


def _import(args) -> str:
  return original.read(args.npz, args.src_vocab, args.tgt_vocab, args.hp, args.out)


def _export(args) -> str:
  check_unused(args.out)
  return original.write(load(args.workdir, args.checkpoint), args.out)


if __name__ == "__main__":
  cli.run(main)
