"""The overview: all heads as grids, coloured by what they do."""

from collections.abc import Sequence
import html

from headprune.analysis import compare, tables
from headprune.analysis.report import grid, parts
from headprune.analysis.result import TITLES, Head, Result
from headprune.runs.heads import describe_open

_UNKNOWN = "var(--unknown)"
_SCALE = 1.2


def picture(runs: Sequence[Result], maps: bool) -> str:
  """All heads of each run, coloured by what they do.

  Args:
    runs: the last one is the report's; functions are coloured as its kinds are.
    maps: whether a click on a head of the last run shows its map.
  """
  colors = _colors(runs[-1])
  several = len(runs) > 1
  rows = [_of_run(run, colors, several, maps and run is runs[-1]) for run in runs]
  hint = f" The legend counts the heads of {runs[-1].title}." if several else ""
  hint += f" Click {'one of them' if several else 'a head'} to see where it looks." * maps
  return parts.section(
    "overview",
    "Which heads live, and what they do",
    _legend(runs[-1], colors),
    *rows,
    parts.text(
      "Layer 1 is the lowest row; heads are named layer.head, both counted from 1. A head with "
      "several functions has several colours and counts under each; an outline is a closed head."
      f"{hint}",
      soft=True,
    ),
  )


def _of_run(run: Result, colors: dict[str, str], named: bool, maps: bool) -> str:
  grids, labels = [], label_heads(run)
  for name, gates in run.heads.items():
    found = compare.kinds_of_heads(run, name)

    def cell(head: Head, name=name, gates=gates, found=found) -> grid.Cell:
      own = found.get(head, ())
      doing = ", ".join(labels.get((name, *head), ())) or compare.UNKNOWN
      tip = f"{TITLES[name]} {tables.name_head(head)}: "
      if gates[head[0]][head[1]] == 0:
        return grid.Cell("", tip + "closed")
      shades = tuple(colors[kind] for kind in own if kind in colors) or (_UNKNOWN,)
      return grid.Cell("".join(kind[0].upper() for kind in own), tip + doing, shades)

    title = f"{TITLES[name]}: {describe_open({name: gates})}"
    grids.append(grid.draw(title, list(map(len, gates)), cell, name if maps else "", _SCALE))
  title = f"<h3>{html.escape(run.title)}</h3>" if named else ""
  return title + parts.figure(f"{run.title}-functions", grids)


def _legend(result: Result, colors: dict[str, str]) -> str:
  kinds = dict.fromkeys(kind.name for kind in result.kinds)
  counts = dict.fromkeys([*kinds, compare.UNKNOWN], 0)
  total = opened = 0
  for name, layers in result.heads.items():
    found = compare.kinds_of_heads(result, name)
    total += sum(map(len, layers))
    for head in result.list_open(name):
      opened += 1
      for kind in found.get(head, [compare.UNKNOWN]):
        counts[kind] += 1
  items = [
    f'<li><i style="background:{colors.get(kind, _UNKNOWN)}">'
    f"{kind[0].upper() if kind in kinds else ''}"
    f"</i>{html.escape(kind)} {count}</li>"
    for kind, count in counts.items()
  ]
  closed = f'<li><i class="shut"></i>closed {total - opened}</li>'
  return f'<ul class="legend">{"".join(items)}{closed}</ul>'


def _colors(result: Result) -> dict[str, str]:
  """Kind -> colour. A kind that is no function, as idle heads are, has none."""
  useful = dict.fromkeys(kind.name for kind in result.kinds if kind.useful)
  return {name: f"var(--c{i % 8})" for i, name in enumerate(useful)}


def label_heads(result: Result) -> dict[tuple[str, int, int], list[str]]:
  """The functions of each head that has any: (type, layer, head) -> names."""
  labels = {}
  for function in result.functions:
    for head in function.heads:
      labels.setdefault((function.type, *head), []).append(function.name)
  return labels
