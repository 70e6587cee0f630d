"""Cuts dead heads out: `headprune compact --workdir runs/x --out runs/x-compact`.

What is left is an ordinary run with fewer heads and no gates. It is compared with the old one on
real sentences before it is written.
"""

import argparse
import pathlib

from headprune import cli
from headprune.errors import UserError, check_least
from headprune.prune import cut, proof
from headprune.runs import run as run_lib
from headprune.runs.summary import OF_TRANSLATIONS, Summary
from headprune.runs.workdir import check_unused
from headprune.text import encoding, sources, tokenizer


def main() -> None:
  args = _parse()
  if (args.src is None) != (args.tgt is None):
    raise UserError("give both --src and --tgt, or neither")
  check_least("--sentences", args.sentences, 1)
  text = (args.src, args.tgt) if args.src else None
  compact(args.workdir, args.out, args.checkpoint, text, args.sentences)


def compact(
  workdir: pathlib.Path | str,
  out: pathlib.Path | str,
  which: str = "last",
  text: tuple[str, str] | None = None,
  sentences: int = 100,
) -> None:
  """Cuts a run's dead heads out, proves that it is the same model, and writes it.

  Args:
    workdir: any run.
    out: the new run's folder.
    which: checkpoint: "last", "best" or a step.
    text: source and target file with the sentences to compare on; None for the run's dev data.
    sentences: how many of them.
  Raises:
    UserError: there is no such run, `out` is taken, there are no sentences, or the two models
      differ. Nothing is written then.
  """
  workdir, out = pathlib.Path(workdir), pathlib.Path(out)
  if out.absolute() == workdir.absolute():
    raise UserError("--out and --workdir are the same folder: take another --out")
  check_unused(out)
  run = run_lib.load(workdir, which)
  pairs = _pairs(run, text, sentences)
  small = cut.cut(run.translator)
  print(cut.table(run.translator, small), flush=True)
  beam = run.beam()
  difference = proof.check(run.translator, small, *pairs, beam)
  print(
    f"The same model on {len(pairs[0])} sentences, in float32: logits differ by at most "
    f"{difference:.1e}, all translations are identical.",
    flush=True,
  )
  print(proof.table(run.translator, small, *pairs, beam), flush=True)
  write(run, small, out, which)
  print(f"{out} is ready; to train it on, give another run --config.init_from={out}")


def write(run: run_lib.Run, small, out: pathlib.Path, which: str = "last") -> None:
  """Writes a model that was cut out of a run as a run of its own, with that run's numbers."""
  before = run.workdir.read_summary(which)
  names = (*OF_TRANSLATIONS, "dev_loss", "dev_smoothed_loss", "signature")
  quality = {name: getattr(before, name) for name in names} if before else {}
  summary = Summary("compact", str(run.workdir.path), which, **quality)
  config = cut.smaller_config(run.config, small.config.heads)
  run_lib.write(out, config, tokenizer.read_files(run.workdir.tokenizer), small, {}, summary)


def _pairs(run: run_lib.Run, text, sentences: int) -> tuple[list, list]:
  """The first pairs of `text` or of the dev data that fit the model's rows: ids of both sides."""
  lines = sources.read_given(text, run.config.data, "give sentences with --src and --tgt")
  tokenizers = run.src_tokenizer, run.tgt_tokenizer
  pairs, _ = encoding.encode(*lines, tokenizers, run.config.data.row_length)
  numbers = range(min(sentences, len(pairs)))
  return tuple([pairs.side(side, i).tolist() for i in numbers] for side in ("src", "tgt"))


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune compact", description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  add("--out", required=True, help="folder for the smaller model")
  add("--checkpoint", default="last", help="last, best, or a step")
  add("--src", help="source text to compare on (default: the run's dev data)")
  add("--tgt", help="its translations, as many lines")
  add("--sentences", type=int, default=100, help="how many of them")
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
