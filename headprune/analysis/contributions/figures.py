"""Figures of contributions: by position, and over the steps of training."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from headprune.analysis import drawing
from headprune.analysis.contributions.prefixes import PREFIXES
from headprune.analysis.contributions.result import Curve, Line, Mean, Result
from headprune.analysis.drawing import COLORS, MARKERS

_LINES = dict(zip(PREFIXES, ("-", "--", ":")))
_MEASURES = {  # name in Line -> title
  "source": "source contribution",
  "source_entropy": "entropy of source contributions",
  "target_entropy": "entropy of target contributions",
}


def draw(found: Result) -> dict[str, Figure]:
  """All figures that the lines are enough for, by the name of their file."""
  figures = {"contributions": by_target_position(found.lines)}
  figures["contributions-source"] = by_source_position(found.lines)
  if trained(found.lines):
    figures["contributions-steps"] = over_steps(found.lines)
  return figures


def label(line: Line, lines: Sequence[Line]) -> str:
  """What tells a line from the others."""
  several = lambda field: len({getattr(other, field) for other in lines}) > 1
  parts = [line.run]
  if several("checkpoint"):
    parts.append(f"at {line.checkpoint}")
  if several("prefix"):
    parts.append(f"({line.prefix})")
  return " ".join(parts)


def by_target_position(lines: Sequence[Line]) -> Figure:
  """The source's contribution, and the two entropies; bands are intervals of 95%."""
  figure, panels = _panels(len(_MEASURES))
  for axes, (name, title) in zip(panels, _MEASURES.items()):
    for line in lines:
      _plot(axes, getattr(line, f"{name}_curve"), line, lines)
    unit = "share" if name == "source" else "nats"
    axes.set(title=title, xlabel="target position", ylabel=unit)
  _name_lines(figure, panels[0])
  return figure


def by_source_position(lines: Sequence[Line]) -> Figure:
  """Total contribution of each source position, with and without the EOS; 1 is uniform."""
  figure, panels = _panels(2)
  for axes, name in zip(panels, ("total", "total_without_eos")):
    for line in lines:
      _plot(axes, getattr(line, f"{name}_curve"), line, lines)
    axes.axhline(1.0, color="0.6", linewidth=0.8)
    end = ", EOS left out" if name == "total_without_eos" else ""
    axes.set(title=f"total contribution{end}", xlabel="source position", ylabel="1 is uniform")
  _name_lines(figure, panels[0])
  return figure


def over_steps(lines: Sequence[Line]) -> Figure:
  """Means over all positions against the step, of runs of which several checkpoints were seen."""
  figure, panels = _panels(len(_MEASURES))
  for axes, (name, title) in zip(panels, _MEASURES.items()):
    for (run, prefix), chosen in trained(lines).items():
      steps, means = zip(*((int(line.checkpoint), getattr(line, name)) for line in chosen))
      text = f"{run} ({prefix})" if len({line.prefix for line in lines}) > 1 else run
      style = _style(chosen[0], lines) | {"alpha": 1.0}  # all checkpoints are one line
      _draw_line(axes, steps, means, style, text)
    axes.set(title=title, xlabel="training step", ylabel="share" if name == "source" else "nats")
  _name_lines(figure, panels[0])
  return figure


def trained(lines: Sequence[Line]) -> dict[tuple[str, str], list[Line]]:
  """(run, prefix) -> its lines by step, where there are several."""
  found = {}
  for line in lines:
    if line.checkpoint.isdigit():
      found.setdefault((line.run, line.prefix), []).append(line)
  by_step = lambda line: int(line.checkpoint)
  return {key: sorted(chosen, key=by_step) for key, chosen in found.items() if len(chosen) > 1}


def _plot(axes, curve: Curve, line: Line, lines: Sequence[Line]) -> None:
  _draw_line(axes, curve.positions, curve.means, _style(line, lines), label(line, lines))


def _draw_line(axes, x: Sequence[int], means: Sequence[Mean], style: dict, text: str) -> None:
  axes.plot(x, [m.mean for m in means], label=text, **style)
  low, high = [m.low for m in means], [m.high for m in means]
  if None not in low:
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
  axes.xaxis.get_major_locator().set_params(integer=True)


def _style(line: Line, lines: Sequence[Line]) -> dict:
  """Runs have colours and marks (prefixes, if there is one run); earlier checkpoints are paler."""
  field = "run" if len({other.run for other in lines}) > 1 else "prefix"
  names = list(dict.fromkeys(getattr(other, field) for other in lines))
  k = names.index(getattr(line, field))
  own = list(dict.fromkeys(other.checkpoint for other in lines if other.run == line.run))
  return {
    "color": COLORS[k % len(COLORS)], "marker": MARKERS[k % len(MARKERS)], "markersize": 4,
    "linestyle": _LINES[line.prefix], "linewidth": 1.4,
    "alpha": 0.25 + 0.75 * (own.index(line.checkpoint) + 1) / len(own),
  }  # fmt: skip


def _name_lines(figure: Figure, axes) -> None:
  handles, labels = axes.get_legend_handles_labels()
  column = 0.6 + 0.065 * max(map(len, labels))  # inches, rather too wide
  count = max(1, min(4, int(figure.get_figwidth() / column)))
  figure.legend(handles, labels, loc="outside lower center", ncols=count, fontsize=8)


def _panels(count: int):
  figure, (panels,) = drawing.panels(count, 3.6 * count + 0.6, 3.6)
  return figure, panels
