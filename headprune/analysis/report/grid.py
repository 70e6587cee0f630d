"""Grids of layers and heads as SVG, whose colours are the page's."""

from collections.abc import Callable
import dataclasses
import html

from headprune.analysis import tables
from headprune.analysis.result import Head, Ragged

_CELL, _ROW, _LEFT, _TOP, _BELOW = 34, 24, 18, 18, 16  # CSS pixels
_LETTER = 7  # of a title, rather too wide


@dataclasses.dataclass(frozen=True)
class Cell:
  """A head as it is drawn."""

  text: str
  tip: str  # shown while one points at it
  colors: tuple[str, ...] = ()  # CSS colours, side by side; none: an empty outline
  strength: float = 1.0  # of the colours, 0..1


def draw(title: str, gates: Ragged, cell: Callable[[Head], Cell], name: str = "") -> str:
  """Layers (the first is the lowest row) x heads.

  Args:
    title: what stands above.
    gates: test-time gates, which say what heads there are and which of them are closed.
    cell: how a head is drawn.
    name: the attention type, if a click on a head is to show its map.
  """
  width, depth = max((1, *map(len, gates))), len(gates)
  parts = [f'<text class="title" x="{_LEFT}" y="12">{html.escape(title)}</text>']
  for n, row in enumerate(gates):
    y = _TOP + _ROW * (depth - 1 - n)
    parts.append(f'<text class="axis" x="{_LEFT // 2}" y="{y + 16}">{n + 1}</text>')
    for h, gate in enumerate(row):
      at = f' data-at="{name} {n} {h}"' if name else ""
      drawn = _cell(cell((n, h)), _LEFT + _CELL * h, y)
      parts.append(f'<g{at} class="{"open" if gate > 0 else "shut"}">{drawn}</g>')
  bottom = _TOP + _ROW * depth
  for h in range(width):
    x = _LEFT + _CELL * h + _CELL // 2
    parts.append(f'<text class="axis" x="{x}" y="{bottom + 12}">{h + 1}</text>')
  size = max(_LEFT + _CELL * width, _LEFT + _LETTER * len(title)), bottom + _BELOW
  return (
    f'<svg class="grid" role="img" aria-label="{html.escape(title)}" width="{size[0]}" '
    f'height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}">{"".join(parts)}</svg>'
  )


def _cell(cell: Cell, x: int, y: int) -> str:
  parts = [f"<title>{html.escape(cell.tip)}</title>"]
  width, height = _CELL - 2, _ROW - 2
  for i, color in enumerate(cell.colors):
    part = width / len(cell.colors)
    parts.append(
      f'<rect x="{x + 1 + part * i:g}" y="{y + 1}" width="{part:g}" height="{height}" '
      f'style="fill:{color}" fill-opacity="{cell.strength:.3g}"/>'
    )
  if not cell.colors:
    box = f'x="{x + 1.5}" y="{y + 1.5}" width="{width - 1}" height="{height - 1}"'
    parts.append(f'<rect class="empty" {box}/>')
  parts.append(f'<text x="{x + _CELL // 2}" y="{y + 16}">{html.escape(cell.text)}</text>')
  return "".join(parts)


def of_score(title: str, values: Ragged, gates: Ragged, full: float, name: str = "") -> str:
  """A number for each open head, and how strong its colour is.

  Args:
    title: what stands above.
    values: layer -> head -> number.
    gates: test-time gates of the same heads.
    full: the value that gets full colour.
    name: as in `draw`.
  """

  def cell(head: Head) -> Cell:
    n, h = head
    if gates[n][h] == 0:
      return Cell("×", f"{tables.name_head(head)}: closed")
    share = min(1.0, max(0.0, values[n][h] / full))
    tip = f"{tables.name_head(head)}: {tables.number(values[n][h])}"
    # Numbers stay readable on .62 of the colour.
    return Cell(tables.short(values[n][h]), tip, ("rgb(var(--heat))",), 0.62 * share)

  return draw(title, gates, cell, name)
