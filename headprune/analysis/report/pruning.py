"""Gates while pruning: how open each head was over the steps, to play or to step through."""

import base64
from collections.abc import Sequence
import dataclasses
import html

import numpy as np

from headprune.analysis import tables
from headprune.analysis.report import grid, parts
from headprune.analysis.result import TITLES, Head

_SHOWN = {  # kind of gates -> what is drawn, in a word and in a sentence
  "concrete": ("P(open)", "P(open), the probability that a gate is above 0, of each head"),
  "topk": ("open heads", "Whether each head was open or closed, as at test time"),
}
_MOST_STEPS = 120  # steps that the page holds
_WIDTH, _HEIGHT, _LEFT, _TOP, _BELOW = 320, 170, 30, 18, 18  # CSS pixels


@dataclasses.dataclass(frozen=True)
class History:
  """How open each head was over the steps of training, in 256 steps."""

  steps: list[int]
  gates: dict[str, list]  # attention type -> step -> layer -> head -> 0..255
  animation: bytes  # the same as a GIF
  kind: str  # of gates: "concrete" ones are shown as P(open), "topk" ones as 0 or 255


def history(
  steps: Sequence[int], layers: dict[str, list[np.ndarray]], animation: bytes, kind: str
) -> History:
  """What the page holds of it.

  Args:
    steps: from figures.gate_history, as the next.
    layers: type -> for each layer values as [rows, heads].
    animation: from figures.gate_animation.
    kind: of gates, "concrete" or "topk".
  """
  rows = np.unique(np.linspace(0, len(steps) - 1, _MOST_STEPS).astype(int))
  gates = {
    name: [[np.rint(255 * p[row]).astype(int).tolist() for p in found] for row in rows]
    for name, found in layers.items()
  }
  return History([steps[row] for row in rows], gates, animation, kind)


def section(found: History | None) -> str:
  """Lines and a grid for each attention type, and the slider that moves them."""
  if not found:
    return ""
  shown, sentence = _SHOWN[found.kind]
  panels = []
  for name, rows in found.gates.items():
    lines = _lines(f"{shown} of {TITLES[name]}", name, found.steps, rows)
    panels.append(f'<div class="panel">{lines}{_grid(rows[-1])}</div>')
  layers = max(len(rows[-1]) for rows in found.gates.values())
  legend = "".join(
    f'<li><i style="background:{_color(n)}"></i>layer {n + 1}</li>' for n in range(layers)
  )
  data = base64.b64encode(found.animation).decode()
  last = len(found.steps) - 1
  return parts.section(
    "pruning",
    "Gates while pruning",
    parts.text(f"{sentence}: a line above, a square below."),
    f"""<div class="controls"><button id="play" type="button">Play</button>
<input id="step" type="range" min="0" max="{last}" value="{last}" aria-label="step of training">
<output id="reached" for="step"></output></div>
<ul class="legend">{legend}</ul>""",
    parts.figure("gates", panels),
    f'<p><a download="gates.gif" href="data:image/gif;base64,{data}">gates.gif</a></p>',
  )


def _grid(rows: Sequence[Sequence[int]]) -> str:
  def cell(head: Head) -> grid.Cell:
    share = rows[head[0]][head[1]] / 255
    return grid.Cell("", tables.name_head(head), ("rgb(var(--heat))",), share)

  return grid.draw("", list(map(len, rows)), cell)


def _lines(label: str, name: str, steps: Sequence[int], rows: Sequence) -> str:
  """How open heads are against the step, a line a head, a colour a layer."""
  right, bottom = _WIDTH - 10, _TOP + _HEIGHT
  span = max(1, steps[-1] - steps[0])
  xs = [_LEFT + (right - _LEFT) * (step - steps[0]) / span for step in steps]
  drawn = [f'<text class="title" x="{_LEFT}" y="12">{html.escape(TITLES[name])}</text>']
  for share in (0, 0.5, 1):
    y = bottom - _HEIGHT * share
    drawn.append(f'<path class="rule" d="M{_LEFT} {y:g}H{right}"/>')
    drawn.append(f'<text class="axis" x="{_LEFT - 12}" y="{y + 4:g}">{share:g}</text>')
  for x, step, anchor in ((xs[0], steps[0], "start"), (xs[-1], steps[-1], "end")):
    at = f'x="{x:g}" y="{bottom + 14}" style="text-anchor:{anchor}"'
    drawn.append(f'<text class="axis" {at}>{step:,}</text>')
  for n in range(len(rows[0])):
    for h in range(len(rows[0][n])):
      points = (f"{x:.1f},{bottom - _HEIGHT * row[n][h] / 255:.1f}" for x, row in zip(xs, rows))
      title = f"<title>{tables.name_head((n, h))}</title>"
      line = f'<polyline style="stroke:{_color(n)}" points="{" ".join(points)}">{title}</polyline>'
      drawn.append(line)
  drawn.append(f'<path class="cursor" d="M{xs[-1]:.1f} {_TOP}V{bottom}"/>')
  return parts.picture("lines", label, (_WIDTH, bottom + _BELOW), drawn)


def _color(layer: int) -> str:
  return f"var(--c{layer % 8})"
