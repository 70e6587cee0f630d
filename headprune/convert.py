"""Makes a run of another program's model, or another program's model of a run.

  headprune convert marian --dir opus-mt-en-de --out runs/x
  headprune convert original --npz model.npz --src-vocab src.txt --tgt-vocab tgt.txt \\
    [--hp hp.json] --out runs/x
  headprune convert export --workdir runs/x --format marian --out folder
  headprune convert export --workdir runs/x --format ctranslate2 \\
    [--quantization int8] --out folder
"""

import argparse
import pathlib

from headprune import cli
from headprune.errors import UserError
from headprune.formats import ctranslate2, marian, original
from headprune.meter import Meter
from headprune.runs.run import load
from headprune.runs.workdir import check_unused

FORMATS = {"original": original.write, "marian": marian.write, "ctranslate2": ctranslate2.write}


def main() -> None:
  parser = argparse.ArgumentParser(prog="headprune convert", description=__doc__.splitlines()[0])
  commands = parser.add_subparsers(required=True, metavar="program")
  sub = commands.add_parser(
    "marian", help="a MarianMT (opus-mt) folder of Hugging Face transformers"
  )
  sub.add_argument(
    "--dir", required=True, type=pathlib.Path,
    help="its folder: config.json, model.safetensors, source.spm, target.spm, vocab.json, ...",
  )  # fmt: skip
  _add_out(sub, "folder of the new run")
  sub.set_defaults(call=lambda args: marian.read(args.dir, args.out))
  sub = commands.add_parser("original", help="the TensorFlow program of Voita et al. (2019)")
  sub.add_argument("--npz", required=True, help="its model-*.npz")
  sub.add_argument("--src-vocab", required=True, help="source tokens, one a line in id order")
  sub.add_argument("--tgt-vocab", required=True, help="target tokens, one a line in id order")
  sub.add_argument("--hp", help="its hyper-parameters as JSON; needed without trained gates")
  _add_out(sub, "folder of the new run")
  sub.set_defaults(
    call=lambda args: original.read(args.npz, args.src_vocab, args.tgt_vocab, args.hp, args.out)
  )
  sub = commands.add_parser("export", help="a run as a folder of files for another program")
  sub.add_argument("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  sub.add_argument("--checkpoint", default="last", help="last, best, or a step")
  sub.add_argument(
    "--format", default="original", choices=FORMATS,
    help="original (model.npz, hp.json, vocabularies; default), marian (for transformers; runs of "
    "that architecture and tokenizer) or ctranslate2 (any run; needs that package)",
  )  # fmt: skip
  sub.add_argument(
    "--quantization", choices=ctranslate2.QUANTIZATIONS, help="ctranslate2 only; default float32"
  )
  _add_out(sub, "folder for the files")
  sub.set_defaults(call=_export)
  args = parser.parse_args()
  with Meter() as meter:
    meter.begin(f"making {args.out}", 0)
    said = args.call(args)
  print(said)


def _add_out(parser: argparse.ArgumentParser, text: str) -> None:
  parser.add_argument("--out", required=True, type=pathlib.Path, help=text)


def _export(args) -> str:
  check_unused(args.out)
  if args.quantization and args.format != "ctranslate2":
    raise UserError(f"--quantization is for --format ctranslate2, not {args.format}")
  further = [args.quantization] if args.format == "ctranslate2" else []
  return FORMATS[args.format](load(args.workdir, args.checkpoint), args.out, *further)


if __name__ == "__main__":
  cli.run(main)
