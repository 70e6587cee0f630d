"""Translates lines: `headprune translate --workdir runs/x < input > output`.

On a terminal, a line on stderr tells how far it is.
"""

import argparse
from collections.abc import Iterator
import itertools
import sys

from headprune import cli
from headprune.errors import UserError
from headprune.meter import Meter
from headprune.runs.run import Run, Translation, load
from headprune.text import parts

CHUNK = 2000  # lines read at a time: enough to sort by length, few enough to stream
CHUNK_BYTES = 1 << 24  # read at a time; a line of more is refused


def main() -> None:
  parser = argparse.ArgumentParser(prog="headprune translate", description=__doc__)
  parser.add_argument("--workdir", required=True, help="a trained run")
  parser.add_argument("--checkpoint", default="last", help="last, best, or a step")
  parser.add_argument(
    "--max-tokens", type=int, default=512, metavar="N", help="a line's most tokens (default: 512)"
  )
  parser.add_argument(
    "--long-lines", choices=("refuse", "split"), default="refuse",
    help="what to do with more: stop with the line's number (default), or translate it in parts, "
    "cut at the ends of sentences, else at spaces; they come out in one line",
  )  # fmt: skip
  parser.add_argument(
    "--scores", action="store_true",
    help="write each line's score and a tab before it: log p / (1 + tokens / 6)^alpha, which the "
    "search makes as large as it can; p is the probability of the translation's tokens, its end "
    "included, which counts as a token; alpha is the config's eval.alpha. Lines in parts have the "
    "sum of their parts' scores, lines without words 0",
  )  # fmt: skip
  args = parser.parse_args()
  if args.max_tokens < 8:
    raise UserError(f"--max-tokens {args.max_tokens} must be at least 8")
  split = args.long_lines == "split"
  with Meter() as meter:
    meter.begin(f"reading {args.workdir}", 0)
    run = load(args.workdir, args.checkpoint)
    meter.begin("translating", _count_lines() if meter.seen else None, "lines")
    for number, lines in _chunks():
      found = _translate(run, lines, number, args.max_tokens, split, meter.add)
      meter.clear()
      for parts_of_line in found:
        text = " ".join(part.text for part in parts_of_line)
        score = f"{sum(part.score for part in parts_of_line):.4f}\t" if args.scores else ""
        sys.stdout.buffer.write(f"{score}{text}\n".encode())
      sys.stdout.buffer.flush()


def _translate(
  run: Run, lines: list[str], first: int, limit: int, split: bool, progress=None
) -> list[list[Translation]]:
  """The parts of each line's translation.

  Args:
    run: translates.
    lines: some of the input.
    first: the number of the first of them.
    limit: tokens that are translated as one.
    split: whether longer lines are translated in parts, or refused.
    progress: see `Run.translate`.
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
  best = [found[0] for found in run.search(pieces, progress=progress)]
  together = itertools.groupby(zip(owners, best), key=lambda pair: pair[0])
  return [[part for _, part in group] for _, group in together]


def _count_lines() -> int | None:
  """Lines of standard input that are still to be read, if it is a file; None of a pipe."""
  file = sys.stdin.buffer
  if not file.seekable():
    return None
  here = file.tell()
  count = sum(1 for _ in file)
  file.seek(here)
  return count


def _chunks() -> Iterator[tuple[int, list[str]]]:
  """The lines of standard input, some at a time: (number of the first, lines)."""
  number, lines, size = 1, [], 0
  while row := sys.stdin.buffer.readline(CHUNK_BYTES + 1):
    if len(row) > CHUNK_BYTES:
      raise UserError(
        f"standard input, line {number + len(lines)}: more than {CHUNK_BYTES:,} bytes; is it text?"
      )
    lines.append(_decode(row, number + len(lines)))
    size += len(row)
    if len(lines) == CHUNK or size >= CHUNK_BYTES:
      yield number, lines
      number, lines, size = number + len(lines), [], 0
  if lines:
    yield number, lines


def _decode(row: bytes, number: int) -> str:
  try:
    return row.decode("utf-8").rstrip("\r\n")
  except UnicodeDecodeError:
    raise UserError(f"standard input, line {number}: not UTF-8; convert the text first") from None


if __name__ == "__main__":
  cli.run(main)
