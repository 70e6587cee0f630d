"""Tables: sortable ones as HTML, and as CSV."""

from collections.abc import Sequence
import html

from headprune import layout
from headprune.analysis.result import Column, Head

_CLASSES = {"text": "text", "wrapped text": "text wrap", "heads": "text wrap"}  # form -> cells'


def name_head(head: Head) -> str:
  """Layer and head as people count them, from 1."""
  return f"{head[0] + 1}.{head[1] + 1}"


def name_heads(heads: Sequence[Head]) -> str:
  return ", ".join(map(name_head, heads)) or "none"


def sortable(columns: Sequence[Column], rows: Sequence[tuple], tall: bool = False) -> str:
  """A table whose columns sort it; `tall` ones scroll."""
  head = []
  for column in columns:
    attributes = ' class="text"' if column.form in _CLASSES else ""
    button = f"<button>{html.escape(column.name)}</button>"
    head.append(f'<th{attributes} aria-sort="none">{button}</th>')
  lines = []
  for row in rows:
    cells = (_cell(value, column.form) for value, column in zip(row, columns, strict=True))
    lines.append(f"<tr>{''.join(cells)}</tr>")
  scroll = "scroll tall" if tall else "scroll"
  return f"""<div class="{scroll}"><table class="sortable"><thead><tr>{"".join(head)}</tr></thead>
<tbody>{"".join(lines)}</tbody></table></div>"""


def csv(columns: Sequence[Column], rows: Sequence[tuple]) -> str:
  """The same as CSV, whose numbers have all their digits; shares are from 0 to 1."""
  forms = {"head": name_head, "heads": name_heads}
  written = [forms.get(column.form, lambda value: value) for column in columns]
  cells = ([write(value) for write, value in zip(written, row, strict=True)] for row in rows)
  return layout.csv_text([column.name for column in columns], cells)


def number(value: float) -> str:
  """An integer as it is, others with three digits, without a sign on zero."""
  return str(value) if isinstance(value, int) else f"{value:.3f}".replace("-0.000", "0.000")


def short(value: float) -> str:
  """Two digits that count, in the width of a head's square; one below 0.01: 3e-4."""
  size = abs(value)
  if size == 0:
    return "0"
  if size < 0.00995:
    return f"{value:.0e}".replace("e-0", "e-")
  if size < 0.995:
    return f"{value:#.2g}".replace("0.", ".", 1)
  return f"{value:.1f}" if size < 9.95 else f"{value:.0f}"


_WRITERS = {
  "text": str,
  "wrapped text": str,
  "number": number,
  "numbered text": str,  # sorts by the number that it begins with
  "percent": lambda value: f"{100 * value:.1f}%",
  "points": lambda value: f"{100 * value:+.1f}",
  "offset": lambda value: f"{value:+d}",
  "signed": lambda value: f"{value:+.2f}",
  "head": name_head,
  "heads": name_heads,
}


def _cell(value, form: str) -> str:
  attributes = f' class="{_CLASSES[form]}"' if form in _CLASSES else ""
  if form == "head":  # sorts 1.10 behind 1.9
    attributes = f' data-value="{1000 * value[0] + value[1]}"'
  elif isinstance(value, float):  # sorts by digits that are not shown, too
    attributes = f' data-value="{value:.6g}"'
  text = "" if value is None else _WRITERS[form](value)
  return f"<td{attributes}>{html.escape(text)}</td>"
