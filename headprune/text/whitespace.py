"""Vocabularies of text that is already split into pieces by single spaces."""

import collections
from collections.abc import Iterable, Sequence
import dataclasses
import functools
import re

from headprune.errors import UserError
from headprune.text.special import EOS, RESERVED, UNK, Reserved, content


@dataclasses.dataclass(frozen=True)
class Whitespace(Reserved):
  """A word list for text that is already split into pieces by single spaces."""

  tokens: tuple[str, ...]
  lowercase: bool = False

  @property
  def vocab_size(self) -> int:
    """Number of ids, the reserved ones included."""
    return len(self.tokens)

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    # Without the reserved tokens: an `_EOS_` in the text must not end the sentence.
    return {token: i for i, token in enumerate(self.tokens) if i > UNK}

  def encode(self, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line and EOS."""
    rows = (_words(line, self.lowercase) for line in lines)
    return [[*(self._ids.get(word, UNK) for word in words), EOS] for words in rows]

  def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """Tokens of each sequence up to its first EOS, joined by spaces; `_UNK_` stays visible."""
    return [" ".join(self.tokens[i] for i in content(row)) for row in ids]

  def pieces(self, ids: Sequence[int]) -> list[str]:
    """The tokens as they stand in the vocabulary."""
    return [self.tokens[i] for i in ids]

  def spans(self, line: str) -> list[tuple[int, int]]:
    """(start, end) in characters of each token of `encode([line])[0]` but EOS."""
    return [match.span() for match in re.finditer("[^ ]+", line)]


def train(lines: Iterable[str], vocab_size: int, lowercase: bool) -> list[str]:
  """The reserved tokens, then words by (frequency, word) descending.

  Args:
    lines: text.
    vocab_size: number of tokens at most, the reserved ones included; 0 keeps all.
    lowercase: lower-case the text first.
  """
  counts = collections.Counter()
  for line in lines:
    counts.update(_words(line, lowercase))
  for token in RESERVED:
    del counts[token]
  words = sorted(counts, key=lambda word: (counts[word], word), reverse=True)
  return [*RESERVED, *words][: vocab_size or None]


def to_bytes(tokens: Sequence[str], name: str) -> bytes:
  """A vocabulary file: a token a line, in id order.

  Args:
    tokens: reserved ones first.
    name: of the side in messages.
  Raises:
    UserError: wrong reserved tokens, an empty or repeated token; names its line, counted from 1.
  """
  where = f"{name} vocabulary"
  if len(tokens) < len(RESERVED):
    raise UserError(f"{where}: {len(tokens)} tokens, but it must start with {' '.join(RESERVED)}")
  lines = {}
  for line, token in enumerate(tokens, start=1):
    if line <= len(RESERVED) and token != RESERVED[line - 1]:
      raise UserError(f"{where}, line {line}: must be {RESERVED[line - 1]}, not {token!r}")
    if not token or "\n" in token:
      raise UserError(f"{where}, line {line}: {token!r} is empty or has a line break")
    if token in lines:
      raise UserError(f"{where}, line {line}: {token!r} is in line {lines[token]} already")
    lines[token] = line
  return "".join(f"{token}\n" for token in tokens).encode("utf-8")


def parse(data: bytes, lowercase: bool) -> Whitespace:
  """What `to_bytes` made; a ValueError where it cannot be."""
  # Not splitlines(): a token may hold U+2028 and its like.
  tokens = tuple(data.decode("utf-8").removesuffix("\n").split("\n"))
  if tokens[: len(RESERVED)] != RESERVED:
    raise ValueError(f"its first lines are not {' '.join(RESERVED)}")
  return Whitespace(tokens, lowercase)


def _words(line: str, lowercase: bool) -> list[str]:
  return [word for word in (line.lower() if lowercase else line).split(" ") if word]
