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
  args = _parse()
  with Meter() as meter:
    meter.begin(f"making {args.out}", 0)
    said = args.call(args)
  print(said)


def _export(args) -> str:
  check_unused(args.out)
  if args.quantization and args.format != "ctranslate2":
    raise UserError(f"--quantization is for --format ctranslate2, not {args.format}")
  further = [args.quantization] if args.format == "ctranslate2" else []
  return FORMATS[args.format](load(args.workdir, args.checkpoint), args.out, *further)


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune convert", description=__doc__.splitlines()[0])
  commands = parser.add_subparsers(required=True, metavar="program")
  add = commands.add_parser
  _add_marian(add("marian", help="a MarianMT (opus-mt) folder of Hugging Face transformers"))
  _add_original(add("original", help="the TensorFlow program of Voita et al. (2019)"))
  _add_export(add("export", help="a run as a folder of files for another program"))
  return parser.parse_args()


def _add_marian(parser: argparse.ArgumentParser) -> None:
  parser.set_defaults(call=lambda args: marian.read(args.dir, args.out))
  add = parser.add_argument
  add(
    "--dir", required=True, type=pathlib.Path,
    help="its folder: config.json, model.safetensors, source.spm, target.spm, vocab.json, ...",
  )  # fmt: skip
  add("--out", required=True, type=pathlib.Path, help="folder of the new run")


def _add_original(parser: argparse.ArgumentParser) -> None:
  parser.set_defaults(
    call=lambda args: original.read(args.npz, args.src_vocab, args.tgt_vocab, args.hp, args.out)
  )
  add = parser.add_argument
  add("--npz", required=True, help="its model-*.npz")
  add("--src-vocab", required=True, help="source tokens, one a line in id order")
  add("--tgt-vocab", required=True, help="target tokens, one a line in id order")
  add("--hp", help="its hyper-parameters as JSON; needed without trained gates")
  add("--out", required=True, type=pathlib.Path, help="folder of the new run")


def _add_export(parser: argparse.ArgumentParser) -> None:
  parser.set_defaults(call=_export)
  add = parser.add_argument
  add("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  add("--checkpoint", default="last", help="last, best, or a step")
  add(
    "--format", default="original", choices=FORMATS,
    help="original (model.npz, hp.json, vocabularies; default), marian (for transformers; runs of "
    "that architecture and tokenizer) or ctranslate2 (needs that package; any run but a post-norm "
    "one with final norms)",
  )  # fmt: skip
  add("--quantization", choices=ctranslate2.QUANTIZATIONS, help="ctranslate2 only; default float32")
  add("--out", required=True, type=pathlib.Path, help="folder for the files")


if __name__ == "__main__":
  cli.run(main)
