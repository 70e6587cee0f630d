"""Words of a text matched to the sub-word pieces that attention weights are between."""

from collections.abc import Sequence
import itertools
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


def squeeze(text: str) -> str:
  """The text without spaces, in lower case, letter by letter: what two spellings of it share."""
  return "".join(x.lower() if len(x.lower()) == 1 else x for x in "".join(text.split()))


def move_spans(spans: Sequence[Span], text: str, other: str) -> list[Span]:
  """Spans of words in a text as spans in another that differs from it in spaces and case alone.

  A word without a letter gets the span (0, 0), in which no piece lies.
  """
  places = [i for i, letter in enumerate(other) if not letter.isspace()]
  before = list(itertools.accumulate((not letter.isspace() for letter in text), initial=0))
  return [
    (places[before[start]], places[before[end] - 1] + 1) if before[start] < before[end] else (0, 0)
    for start, end in spans
  ]
