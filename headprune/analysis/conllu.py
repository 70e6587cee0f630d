"""CoNLL-U files: any treebank or parser output.

Format: https://universaldependencies.org/format.html. Empty nodes (1.1) are left out; the words of
a multiword token (1-2) split its characters where their forms spell it, and share it otherwise.
"""

from collections.abc import Iterable
import dataclasses
import pathlib
import re

from headprune.analysis.words import Span
from headprune.errors import UserError
from headprune.text import textfile


@dataclasses.dataclass(frozen=True)
class Sentence:
  """A parsed sentence; lists run over its syntactic words."""

  text: str
  spans: list[Span]
  heads: list[int]  # the governor's index from 0, -1 for the root
  relations: list[str]


def read(path: str | pathlib.Path, spaced: bool = False) -> list[Sentence]:
  """Reads a CoNLL-U file, plain or .gz.

  Args:
    path: the file.
    spaced: put a space between all tokens, for vocabularies of words that are split already.
  Raises:
    UserError: a line that is not CoNLL-U.
  """
  return parse(textfile.read_lines(path), path, spaced)


def parse(lines: Iterable[str], path: str | pathlib.Path, spaced: bool = False) -> list[Sentence]:
  """`read` of lines that are at hand; `path` is for messages."""
  sentences, rows = [], []
  for number, line in enumerate([*lines, ""], 1):
    if not line.strip():
      if rows:
        sentences.append(_sentence(rows, spaced))
      rows = []
    elif not line.startswith("#"):
      columns = line.split("\t")
      if len(columns) != 10:
        raise UserError(f"{path}, line {number}: {len(columns)} columns; CoNLL-U has 10, by tabs")
      rows.append((f"{path}, line {number}", columns))
  if not sentences:
    raise UserError(f"{path}: no sentence in CoNLL-U format")
  return sentences


def _sentence(rows: list[tuple[str, list[str]]], spaced: bool) -> Sentence:
  text, spans, heads, relations, places = "", [], [], [], []
  inside, shared = 0, []  # the last word of an open multiword token, spans for its words
  rows = [row for row in rows if "." not in row[1][0]]
  for i, (where, columns) in enumerate(rows):
    number, form = columns[0], columns[1]
    if "-" in number or len(spans) + 1 > inside:
      start = len(text)
      text += form
      text += " " if spaced or "SpaceAfter=No" not in columns[9].split("|") else ""
    if "-" in number:
      match = re.fullmatch(r"(\d+)-(\d+)", number)
      first, last = (_integer(part, where) for part in match.groups()) if match else (0, 0)
      if first != len(spans) + 1 or first <= inside or last < first:
        due = max(len(spans), inside) + 1
        raise UserError(f"{where}: {number!r} is not a range of words that begins with {due}")
      inside = last
      parts = [columns[1] for _, columns in rows[i + 1 : i + 2 + inside - first]]
      shared = _split(form, start, parts)
      continue
    if _integer(number, where) != len(spans) + 1:
      raise UserError(f"{where}: word {number} stands where word {len(spans) + 1} is due")
    spans.append(shared.pop(0) if shared else (start, start + len(form)))
    heads.append(_integer(columns[6], where) - 1)
    relations.append(columns[7])
    places.append(where)
  if inside > len(spans):
    raise UserError(f"{where}: the sentence ends, but word {len(spans) + 1} of a range is due")
  for where, head in zip(places, heads):
    if not -1 <= head < len(heads):
      raise UserError(f"{where}: head {head + 1} in a sentence of {len(heads)} words")
  return Sentence(text.rstrip(), spans, heads, relations)


def _split(form: str, start: int, parts: list[str]) -> list[Span]:
  """Spans of the words of a multiword token."""
  if "".join(parts) != form:
    return [(start, start + len(form))] * len(parts)
  ends = [start + len("".join(parts[: i + 1])) for i in range(len(parts))]
  return list(zip([start, *ends], ends))


def _integer(text: str, where: str) -> int:
  try:
    return int(text)
  except ValueError:
    raise UserError(f"{where}: {text!r} is not a number") from None
