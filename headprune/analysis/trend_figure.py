"""The figure of a trend: by step, each kind's strongest head and how many heads have it."""

from collections.abc import Sequence
import itertools
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from headprune.analysis.drawing import COLORS, DPI, MARKERS
from headprune.analysis.evidence import ERROR_RATE
from headprune.analysis.levels import GAIN, Level, amount, needed
from headprune.analysis.result import TITLES
from headprune.analysis.trend import Checkpoint

_COLUMNS = 4
_LABELS = {GAIN: "points above baseline", ERROR_RATE: "lowest error rate"}


def draw(checkpoints: Sequence[Checkpoint]) -> Figure:
  """Two panels a kind: what its strongest head reaches, and below it how many heads have it.

  What is enough for a head to have the function is shaded.

  Args:
    checkpoints: at least one; of one run after the other, by step; all with the same kinds.
  """
  runs = {name: list(own) for name, own in itertools.groupby(checkpoints, lambda x: x.run)}
  levels = checkpoints[0].levels
  rows = math.ceil(len(levels) / _COLUMNS)
  columns = math.ceil(len(levels) / rows)
  figure = Figure(figsize=(2.8 * columns + 0.3, 3.9 * rows + 0.3), dpi=DPI, layout="constrained")
  parts = figure.subfigures(rows, 1, squeeze=False, hspace=0.06)[:, 0]
  panels = [part.subplots(2, columns, sharex="col", height_ratios=[2.6, 1]) for part in parts]
  pairs = [pair for part in panels for pair in part.reshape(2, columns).T]
  for k, (one, (upper, lower)) in enumerate(zip(levels, pairs)):
    curves = [
      ([point.step for point in points], [point.levels[k] for point in points], _style(i, name))
      for i, (name, points) in enumerate(runs.items())
    ]
    _draw_best(upper, one, curves)
    _draw_heads(lower, curves)
  for axes in itertools.chain.from_iterable(pairs[len(levels) :]):
    axes.remove()
  pairs[0][0].plot([], [], color="0.5", linewidth=0.8, label="open heads")
  handles, labels = pairs[0][0].get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)
  return figure


def _draw_best(axes: Axes, one: Level, curves: Sequence[tuple]) -> None:
  for steps, levels, style in curves:
    axes.plot(steps, [math.nan if x.best is None else x.best for x in levels], **style)
  if all(x.best is None for _, levels, _ in curves for x in levels):
    axes.text(0.5, 0.25, "no case", transform=axes.transAxes, ha="center", color="0.5")
  if one.measure == GAIN:
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.05), max(high, 1.6 * one.limit))
    axes.yaxis.set_major_formatter(lambda x, _: amount(GAIN, x))
  else:
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
  enough = axes.get_ylim()[one.measure != ERROR_RATE]
  axes.axhspan(one.limit, enough, color="0.94", linewidth=0, zorder=0)
  axes.axhline(one.limit, color="0.35", linestyle="--", linewidth=1, label="needed")
  # Where lines begin far from it: at the left, of error rates at the right.
  place = (0.98, -2, "right", "top") if one.measure == ERROR_RATE else (0.02, 2, "left", "bottom")
  x, offset, ha, va = place
  axes.annotate(
    needed(one), (x, one.limit), (0, offset), axes.get_yaxis_transform(), "offset points",
    ha=ha, va=va, fontsize=8, color="0.35",
  )  # fmt: skip
  axes.set_title(one.kind, loc="left", fontsize=11, fontweight="bold", pad=18)
  axes.text(0, 1.03, TITLES[one.type], transform=axes.transAxes, fontsize=9, color="0.35")
  axes.set_ylabel(_LABELS.get(one.measure, "largest share"), fontsize=9)
  _tidy(axes)


def _draw_heads(axes: Axes, curves: Sequence[tuple]) -> None:
  for steps, levels, style in curves:
    axes.plot(steps, [x.open for x in levels], color=style["color"], linewidth=0.8, alpha=0.6)
    axes.plot(steps, [x.heads for x in levels], **style)
  most = max(1, *(x.open for _, levels, _ in curves for x in levels))
  axes.set_ylim(-0.06 * most, 1.06 * most)
  axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
  axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
  axes.set_ylabel("heads", fontsize=9)
  axes.set_xlabel("training step", fontsize=9)
  _tidy(axes)


def _style(i: int, name: str) -> dict:
  return {
    "label": name, "color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)],
    "markersize": 3.5, "linewidth": 1.4,
  }  # fmt: skip


def _tidy(axes: Axes) -> None:
  axes.tick_params(labelsize=8)
  axes.spines[["top", "right"]].set_visible(False)
