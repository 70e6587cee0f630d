"""Grids of layers and heads as SVG, whose colours are the page's."""

from collections.abc import Callable, Sequence
import dataclasses
import html

from headprune.analysis import tables
from headprune.analysis.report import parts
from headprune.analysis.result import Head
from headprune.runs.heads import Layers

_CELL, _ROW, _LEFT, _TOP, _BELOW = 34, 24, 18, 18, 16  # CSS pixels
_LETTER = 7  # of a title, rather too wide


@dataclasses.dataclass(frozen=True)
class Cell:
  """A head as it is drawn."""

  text: str
  tip: str  # shown while one points at it
  colors: tuple[str, ...] = ()  # CSS colours, side by side; none: an empty outline
  strength: float = 1.0  # of the colours, 0..1


def draw(
  title: str,
  counts: Sequence[int],
  cell: Callable[[Head], Cell],
  name: str = "",
  scale: float = 1.0,
) -> str:
  """Layers (the first is the lowest row) x heads.

  Args:
    title: what stands above.
    counts: heads of each layer.
    cell: how a head is drawn.
    name: the attention type, if a click on a head is to show its map.
    scale: of the whole drawing.
  """
  width, depth = max((1, *counts)), len(counts)
  drawn = [f'<text class="title" x="{_LEFT}" y="12">{html.escape(title)}</text>']
  for n, count in enumerate(counts):
    y = _TOP + _ROW * (depth - 1 - n)
    drawn.append(f'<text class="axis" x="{_LEFT // 2}" y="{y + 16}">{n + 1}</text>')
    for h in range(count):
      at = f' data-at="{name} {n} {h}"' if name else ""
      drawn.append(f"<g{at}>{_cell(cell((n, h)), _LEFT + _CELL * h, y)}</g>")
  bottom = _TOP + _ROW * depth
  for h in range(width):
    x = _LEFT + _CELL * h + _CELL // 2
    drawn.append(f'<text class="axis" x="{x}" y="{bottom + 12}">{h + 1}</text>')
  right = _LEFT + max(_CELL * width, _LETTER * len(title))
  return parts.picture("grid", title, (right, bottom + _BELOW), drawn, scale)


def _cell(cell: Cell, x: int, y: int) -> str:
  drawn = [f"<title>{html.escape(cell.tip)}</title>"]
  width, height = _CELL - 2, _ROW - 2
  for i, color in enumerate(cell.colors):
    part = width / len(cell.colors)
    drawn.append(
      f'<rect x="{x + 1 + part * i:g}" y="{y + 1}" width="{part:g}" height="{height}" '
      f'style="fill:{color}" fill-opacity="{cell.strength:.3g}"/>'
    )
  if not cell.colors:
    box = f'x="{x + 1.5}" y="{y + 1.5}" width="{width - 1}" height="{height - 1}"'
    # Without events of its own only the outline of what has no fill can be pointed at or clicked.
    drawn.append(f'<rect class="empty" pointer-events="all" {box}/>')
  drawn.append(f'<text x="{x + _CELL // 2}" y="{y + 16}">{html.escape(cell.text)}</text>')
  return "".join(drawn)


def of_score(title: str, values: Layers, gates: Layers, full: float, name: str = "") -> str:
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
    tip = f"{tables.name_head(head)}: {values[n][h]:#.3g}"  # never fewer digits than the square
    # Numbers stay readable on .62 of the colour.
    return Cell(tables.short(values[n][h]), tip, ("rgb(var(--heat))",), 0.62 * share)

  return draw(title, list(map(len, gates)), cell, name)
