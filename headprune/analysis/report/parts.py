"""What the report's parts are made of: sections, and what is folded away."""

from collections.abc import Iterable, Sequence
import html

from headprune.analysis import tables, template
from headprune.analysis.result import Column


def section(name: str, title: str, *body: str) -> str:
  """A part of the page with its heading, "" without a body; `name` is its address in the page."""
  text = "\n".join(filter(None, body))
  heading = f"<h2>{html.escape(title)}</h2>"
  return f'<section id="{name}">{heading}\n{text}\n</section>' if text else ""


def text(content: str, soft: bool = False) -> str:
  """A paragraph."""
  kind = ' class="soft"' if soft else ""
  return f"<p{kind}>{html.escape(content)}</p>"


def folded(title: str, body: str) -> str:
  """What a reader rather sees only when asked for; `title` says what it is and why."""
  return f"<details><summary>{html.escape(title)}</summary>\n{body}\n</details>"


def table(
  name: str, columns: Sequence[Column], rows: Sequence[tuple], nothing: str, tall: bool = False
) -> str:
  """A sortable table that can be taken along; without rows it is folded away.

  Args:
    name: of the file that the reader gets.
    columns: of the table.
    rows: as many cells as columns each.
    nothing: why there may be no rows.
    tall: it scrolls.
  """
  found = tables.sortable(columns, rows, tall)
  if not rows:
    return folded(nothing, found)
  return f"{found}\n{template.download(f'{name}.csv', tables.csv(columns, rows))}"


def picture(
  kind: str, label: str, size: tuple[float, float], drawn: Sequence[str], scale: float = 1.0
) -> str:
  """An SVG element.

  Args:
    kind: its class.
    label: what it shows, for those who cannot see it.
    size: width and height of what is drawn.
    drawn: its elements.
    scale: CSS pixels for each unit of `size`.
  """
  width, height = size
  return (
    f'<svg class="{kind}" role="img" aria-label="{html.escape(label)}" width="{scale * width:g}" '
    f'height="{scale * height:g}" viewBox="0 0 {width:g} {height:g}">{"".join(drawn)}</svg>'
  )


def figure(name: str, pictures: Iterable[str]) -> str:
  """Pictures side by side that can be taken along as one file of that name."""
  row = f'<div class="row">{"".join(pictures)}</div>'
  return f'<figure data-svg="{html.escape(name)}">{row}</figure>'
