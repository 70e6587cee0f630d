"""Translates files and scores them by BLEU and chrF: `headprune evaluate --workdir runs/x`.

Without --src and --ref, the text is the test set that the run's config names.
"""

import argparse
import json
import pathlib

from headprune import cli
from headprune.errors import UserError
from headprune.files import check_file, write_text
from headprune.meter import Meter
from headprune.nn.config import PRECISIONS
from headprune.runs.run import load
from headprune.text import batching, bleu, chrf, sources, textfile


def main() -> None:
  args = _parse()
  if (args.src is None) != (args.ref is None):
    raise UserError("give both --src and --ref, or neither")
  given = textfile.read_parallel(args.src, args.ref) if args.src else None
  if args.out:
    check_file(pathlib.Path(args.out))
  with Meter() as meter:
    meter.begin(f"reading {args.workdir}", 0)
    run = load(args.workdir, args.checkpoint, args.precision)
    src_lines, references = given or sources.read_test(run.config.data, "give --src and --ref")
    name = args.src or "the run's test set"
    batching.check_lengths(run.src_tokenizer.encode(src_lines), name)
    meter.begin("translating", len(src_lines))
    hypotheses = run.translate(src_lines, progress=meter.add)
  settings = run.config.eval
  score, signature = bleu.score(hypotheses, references, settings)
  found = {"bleu": round(score, 2), "signature": signature}
  score, signature = chrf.score(hypotheses, references, settings.lowercase)
  found |= {"chrf": round(score, 2), "chrf_signature": signature, "sentences": len(references)}
  print(json.dumps(found), flush=True)  # first: it is the result, and the disk may be full
  if args.out:
    write_text(pathlib.Path(args.out), "".join(f"{line}\n" for line in hypotheses))


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune evaluate", description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="a trained run")
  add("--src", help="source text, one sentence a line (.gz is fine)")
  add("--ref", help="reference translations, as many lines")
  add("--checkpoint", default="last", help="last, best, or a step")
  add("--precision", choices=PRECISIONS, help="of products; default: the run's")
  add("--out", help="file for the translations")
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
