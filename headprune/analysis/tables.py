"""Tables of the report as HTML: sortable ones, and grids of layers and heads."""

from collections.abc import Sequence
import html

from headprune.analysis.result import Column, Head, Ragged, Table

_TEXT_FORMS = ("text", "wrapped text", "heads")


def name_head(head: Head) -> str:
  """Layer and head as people count them, from 1."""
  return f"{head[0] + 1}.{head[1] + 1}"


def name_heads(heads: Sequence[Head]) -> str:
  return ", ".join(map(name_head, heads)) or "none"


def sortable(columns: Sequence[Column], rows: Sequence[tuple], tall: bool = False) -> str:
  """A table whose columns sort it; `tall` ones scroll."""
  head = []
  for column in columns:
    attributes = ' class="text"' if column.form in _TEXT_FORMS else ""
    head.append(f"<th{attributes}><button>{html.escape(column.name)}</button></th>")
  lines = []
  for row in rows:
    cells = (_cell(value, column.form) for value, column in zip(row, columns, strict=True))
    lines.append(f"<tr>{''.join(cells)}</tr>")
  scroll = "scroll tall" if tall else "scroll"
  return f"""<div class="{scroll}"><table class="sortable"><thead><tr>{"".join(head)}</tr></thead>
<tbody>{"".join(lines)}</tbody></table></div>"""


def section(table: Table) -> str:
  """A table with its title and what it means."""
  return f"""<h2>{html.escape(table.title)}</h2>
<p>{html.escape(table.meaning)}</p>
{sortable(table.columns, table.rows)}"""


def grid(layers: Ragged, gates: Ragged, full: float) -> str:
  """Layers (the first is the lowest row) x heads; closed heads are crosses.

  Args:
    layers: layer -> head -> value.
    gates: test-time gates of the same heads.
    full: the value that gets full colour.
  """
  width = max(map(len, layers))
  head = "".join(f"<th>{h + 1}</th>" for h in range(width))
  rows = []
  for n in reversed(range(len(layers))):
    cells = []
    for value, gate in zip(layers[n], gates[n]):
      shade = min(1.0, max(0.0, value / full))
      attributes = f'style="--x:{shade:.3f}"' if gate > 0 else 'class="shut"'
      cells.append(f"<td {attributes}>{number(value) if gate > 0 else '×'}</td>")
    rows.append(f"<tr><th>{n + 1}</th>{''.join(cells)}{'<td></td>' * (width - len(cells))}</tr>")
  return f'<table class="grid"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def number(value: float) -> str:
  """An integer as it is, others with three digits, without a sign on zero."""
  return str(value) if isinstance(value, int) else f"{value:.3f}".replace("-0.000", "0.000")


_WRITERS = {
  "text": str,
  "wrapped text": str,
  "number": number,
  "percent": lambda value: f"{100 * value:.1f}%",
  "points": lambda value: f"{100 * value:+.1f}",
  "offset": lambda value: f"{value:+d}",
  "signed": lambda value: f"{value:+.2f}",
  "head": name_head,
  "heads": name_heads,
}


def _cell(value, form: str) -> str:
  attributes = {"text": ' class="text"'}.get(form, "")
  if form in ("wrapped text", "heads"):
    attributes = ' class="text wrap"'
  elif form == "head":  # sorts 1.10 behind 1.9
    attributes = f' data-value="{1000 * value[0] + value[1]}"'
  text = "" if value is None else _WRITERS[form](value)
  return f"<td{attributes}>{html.escape(text)}</td>"
