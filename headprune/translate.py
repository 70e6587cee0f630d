"""Translates lines: `headprune translate --workdir runs/x < input > output`.

A line on stderr tells how far it is: on a terminal in place, elsewhere one a minute.
"""

import argparse
from collections.abc import Iterator
import itertools
import os
import stat
import sys

from headprune import cli
from headprune.errors import UserError, check_least
from headprune.files import check_fetched
from headprune.meter import Meter
from headprune.runs.run import Run, Translation, load
from headprune.text import parts, textfile

CHUNK = 2000  # lines read at a time: enough to sort by length, few enough to stream
CHUNK_BYTES = 1 << 24  # read at a time; a line of more is refused


def main() -> None:
  args = _parse()
  split = args.long_lines == "split"
  check_least("--max-tokens", args.max_tokens, 8)
  if args.nbest is not None:
    check_least("--nbest", args.nbest, 1)
  if args.nbest and split:
    raise UserError("--nbest: the parts of a long line have no list in common; refuse long lines")
  with Meter() as meter:
    meter.begin(f"reading {args.workdir}", 0)
    run = load(args.workdir, args.checkpoint)
    meter.begin("translating", _count_lines(), "lines")
    for number, lines in _chunks():
      pieces, owners = _cut(run, lines, number, args.max_tokens, split)
      share = len(lines) / len(pieces)  # of a line, as the parts of one are counted alike
      found = run.search(pieces, progress=lambda n: meter.add(n * share), best=args.nbest or 1)
      if args.nbest:
        rows = _lists(found, number)
      else:
        rows = _lines(found, owners, args.scores)
      meter.clear()
      sys.stdout.buffer.write("".join(rows).encode())
      sys.stdout.buffer.flush()


def _lists(found: list[list[Translation]], first: int) -> Iterator[str]:
  """A row for each translation of each line."""
  for number, translations in enumerate(found, first):
    for one in translations:
      yield f"{number}\t{one.score:.4f}\t{one.text}\n"


def _lines(found: list[list[Translation]], owners: list[int], scores: bool) -> Iterator[str]:
  """A row for each line, of its parts' best translations."""
  for _, group in itertools.groupby(zip(owners, found), key=lambda pair: pair[0]):
    best = [translations[0] for _, translations in group]
    score = f"{sum(part.score for part in best):.4f}\t" if scores else ""
    yield f"{score}{' '.join(part.text for part in best)}\n"


def _cut(
  run: Run, lines: list[str], first: int, limit: int, split: bool
) -> tuple[list[str], list[int]]:
  """Lines as pieces that are not too long.

  Args:
    run: whose tokens are counted.
    lines: some of the input.
    first: the number of the first of them.
    limit: tokens that are translated as one.
    split: whether longer lines are cut, or refused.
  Returns:
    (pieces, for each which of the lines it is of).
  """
  count = lambda text: len(run.src_tokenizer.encode([text])[0])
  pieces, owners = [], []
  for i, (line, ids) in enumerate(zip(lines, run.src_tokenizer.encode(lines))):
    if len(ids) > limit and not split:
      raise UserError(
        f"standard input, line {first + i}: {len(ids):,} tokens, at most {limit:,} are translated "
        "as one; give --long-lines split, or another --max-tokens"
      )
    found = parts.split(line, count, limit) if len(ids) > limit else [line]
    pieces += found
    owners += [i] * len(found)
  return pieces, owners


def _count_lines() -> int | None:
  """Lines of standard input that are still to be read, if it is a file; None of all else.

  Devices can be sought in as well, but /dev/zero has no end.
  """
  file = sys.stdin.buffer
  if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
    return None
  here, count, last = file.tell(), 0, b"\n"
  while block := file.read(CHUNK_BYTES):
    count, last = count + block.count(b"\n"), block[-1:]
  file.seek(here)
  return count + (last != b"\n")


def _chunks() -> Iterator[tuple[int, list[str]]]:
  """The lines of standard input, some at a time: (number of the first, lines)."""
  number, lines, size = 1, [], 0
  while row := sys.stdin.buffer.readline(CHUNK_BYTES + 1):
    if len(row) > CHUNK_BYTES:
      raise UserError(
        f"standard input, line {number + len(lines)}: more than {CHUNK_BYTES:,} bytes; is it text?"
      )
    if number + len(lines) == 1:
      check_fetched("standard input", row)
    lines.append(textfile.decode(row, "standard input", number + len(lines)))
    size += len(row)
    if len(lines) == CHUNK or size >= CHUNK_BYTES:
      yield number, lines
      number, lines, size = number + len(lines), [], 0
  if lines:
    yield number, lines


def _parse() -> argparse.Namespace:
  usage = "headprune translate --workdir RUN [options] < input > output"
  parser = cli.Parser(prog="headprune translate", usage=usage, description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="a trained run")
  add("--checkpoint", default="last", help="last, best, or a step")
  add("--max-tokens", type=int, default=512, metavar="N", help="a line's most tokens")
  add(
    "--long-lines", choices=("refuse", "split"), default="refuse",
    help="what to do with more: stop with the line's number (default), or translate it in parts, "
    "cut at the ends of sentences, else at spaces; they come out in one line",
  )  # fmt: skip
  add(
    "--scores", action="store_true",
    help="write each line's score and a tab before it: log p / (1 + tokens / 6)^alpha, which the "
    "search makes as large as it can; p is the probability of the translation's tokens, its end "
    "included, which counts as a token (one cut at the length limit, twice the source's tokens "
    "+ 3, has none); alpha is the config's eval.alpha. Lines in parts have the sum of their parts' "
    "scores, lines without words 0",
  )  # fmt: skip
  add(
    "--nbest", type=int, metavar="N",
    help="write up to N translations of each line, best first, each as the line's number, its "
    "score (see --scores) and its text, with tabs between; not with --long-lines split",
  )  # fmt: skip
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
