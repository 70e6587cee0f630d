"""Long lines in parts that a model can take."""

from collections.abc import Callable
import re
import unicodedata

_SENTENCE_END = re.compile(r"[.!?…;][\"'”»)\]]*\s+|[。！？；][」』”’）]*")
_SPACE = re.compile(r"\s+")


def split(line: str, count: Callable[[str], int], limit: int) -> list[str]:
  """Halves a line, and its halves, until each part has few enough tokens.

  A cut is made at the end of a sentence if there is one in the middle half, else at a space there,
  else between two characters, where marks such as accents stay with their letter.

  Args:
    line: text.
    count: text -> its number of tokens.
    limit: tokens of a part at most; a single character may have more.
  Returns:
    The parts in order, without spaces around them; all of the line's text is in them.
  """
  waiting, parts = [line.strip()], []
  while waiting:
    text = waiting.pop()
    if len(text) < 2 or count(text) <= limit:
      parts.append(text)
    else:
      cut = _cut(text)
      waiting += [text[cut:].strip(), text[:cut].strip()]
  return parts


def _cut(text: str) -> int:
  """Where to cut in two: near the middle."""
  quarter, middle = max(1, len(text) // 4), len(text) // 2  # a cut is never at an end
  for pattern in (_SENTENCE_END, _SPACE):
    places = [match.end() for match in pattern.finditer(text, quarter, len(text) - quarter)]
    if places:
      return min(places, key=lambda place: abs(place - middle))
  letters = (i for i in range(middle, len(text)) if unicodedata.category(text[i])[0] != "M")
  return next(letters, middle)
