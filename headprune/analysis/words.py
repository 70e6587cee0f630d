"""Words of a text matched to the sub-word pieces that attention weights are between."""

from collections.abc import Sequence
import re

Span = tuple[int, int]  # start and end, in characters of the text


def spans(line: str) -> list[Span]:
  """The line's words: what stands between spaces."""
  return [match.span() for match in re.finditer(r"\S+", line)]


def units(words: Sequence[Span], pieces: Sequence[Span]) -> tuple[list[int], list[list[int]]]:
  """Matches words to pieces; words that share a piece cannot be told apart and become one unit.

  Args:
    words: spans in a text.
    pieces: spans in the same text; a lone word mark, whose span is empty, goes with the word that
      starts there.
  Returns:
    (unit of each word, -1 where the word has no piece; pieces of each unit). A piece is in one
    unit at most.
  """
  unit_of_word, members = [-1] * len(words), []
  for w, (start, end) in sorted(enumerate(words), key=lambda item: item[1]):
    mine = [p for p, (a, b) in enumerate(pieces) if a < end and start < max(b, a + 1)]
    joined = [u for u, held in enumerate(members) if set(held) & set(mine)]
    if joined:
      members[joined[0]] = sorted({*members[joined[0]], *mine})
      unit_of_word[w] = joined[0]
    elif mine:
      members.append(mine)
      unit_of_word[w] = len(members) - 1
  return unit_of_word, members
