"""Translates lines: `headprune translate --workdir runs/x < input > output`."""

import argparse
from collections.abc import Iterator
import itertools
import sys

from headprune import cli
from headprune.errors import UserError
from headprune.runs.run import Run, load
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
  args = parser.parse_args()
  if args.max_tokens < 8:
    raise UserError(f"--max-tokens {args.max_tokens} must be at least 8")
  run = load(args.workdir, args.checkpoint)
  for number, lines in _chunks():
    for line in _translate(run, lines, number, args.max_tokens, args.long_lines == "split"):
      sys.stdout.buffer.write(line.encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()


def _translate(run: Run, lines: list[str], first: int, limit: int, split: bool) -> list[str]:
  """Translations of lines, the first of which has number `first`; long ones in parts if `split`."""
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
  together = itertools.groupby(zip(owners, run.translate(pieces)), key=lambda pair: pair[0])
  return [" ".join(text for _, text in group) for _, group in together]


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
