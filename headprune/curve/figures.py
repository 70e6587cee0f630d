"""Figures of many runs, readable in grey: quality against heads, and where the heads are left."""

from collections.abc import Sequence
import sys

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from headprune.analysis import compare, drawing
from headprune.analysis import figures as figures_lib
from headprune.analysis import result as result_lib
from headprune.analysis.drawing import LINES, MARKERS
from headprune.analysis.result import LAST, TITLES, Result
from headprune.curve import paper
from headprune.curve.aggregate import Group, Setting, Spread, groups
from headprune.curve.points import CONTROL, SCRATCH
from headprune.curve.rows import Row
from headprune.curve.speeds import Speed
from headprune.runs.workdir import Workdir


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
  """All figures that the rows are enough for, by the name of their file.

  Runs that may lose heads of other attention types, and models of another size or text, have
  figures of their own.
  """
  found = {}
  for number, group in enumerate(group for group in groups(rows) if group.settings):
    end = f"-{number + 1}" if number else ""
    found[f"bleu{end}"] = bleu(group)
    chosen = {label: settings for label, settings in group.lines.items() if _chooses(settings)}
    if chosen and len(group.types) > 1:
      found[f"types{end}"] = heads_by_type(chosen, group.total)
    if chosen:
      found[f"layers{end}"] = heads_by_layer(chosen, group.types)
    functions = functions_retained(group)
    if functions:
      found[f"functions{end}"] = functions
  return found


def _chooses(settings: Sequence[Setting]) -> bool:
  """Whether a method has structures of its own, told once."""
  return settings[0].tuned and settings[0].method != SCRATCH


def bleu(group: Group) -> Figure:
  """BLEU against heads kept (Voita et al. 2019, figure 7), in up to three panels.

  They show trained runs, trained runs less their controls with the paper's curves, and models as
  they were pruned, before any training. Lines are means, marks are single runs, bands are the mean
  of the unpruned models and a standard deviation to both sides.
  """
  styles = {label: _style(k) for k, label in enumerate(group.lines)}
  tuned, untuned = (
    {label: settings for label, settings in group.lines.items() if settings[0].tuned == wanted}
    for wanted in (True, False)
  )
  changed = {
    label: [setting for setting in settings if setting.change[group.split]]
    for label, settings in tuned.items()
  }
  changed = {label: settings for label, settings in changed.items() if settings}
  panels = [name for name in (tuned, changed, untuned) if name]
  figure, (row,) = drawing.panels(len(panels), 5.0 * len(panels), 4.0)
  for axes, lines in zip(row, panels):
    (_changes if lines is changed else _levels)(axes, group, lines, styles)
    axes.legend(fontsize=8)
  return figure


def _levels(axes: Axes, group: Group, lines: dict[str, list[Setting]], styles: dict) -> None:
  for setting in group.unpruned:
    _band(axes, setting, setting.bleu[group.split])
  for label, settings in lines.items():
    measured = [setting for setting in settings if setting.bleu[group.split]]
    single = [(row.open, row.bleu(group.split)) for setting in measured for row in setting.rows]
    _draw_line(
      axes, label, styles[label], [(x, y) for x, y in single if y is not None],
      [(setting.kept, setting.bleu[group.split].mean) for setting in measured],
    )  # fmt: skip
  when = "" if all(settings[0].tuned for settings in lines.values()) else ", before any training"
  axes.set(xlabel=f"heads kept of {group.total}{when}", ylabel=f"{group.split} BLEU")


def _draw_line(axes: Axes, label: str, style: dict, single: list, means: list) -> None:
  """Marks of single runs, and a line through the means."""
  axes.plot(*zip(*single), **style | {"linestyle": "", "alpha": 0.5, "markersize": 3})
  axes.plot(*zip(*means), label=label, **style)


def _band(axes: Axes, setting: Setting, found: Spread | None) -> None:
  """The mean of unpruned models, and a standard deviation to both sides."""
  if found is None:
    return
  color, line = ("0.5", "-") if setting.method == CONTROL else ("0.75", ":")
  axes.axhline(found.mean, linewidth=1.0, linestyle=line, color=color, label=setting.label)
  if found.deviation:
    low, high = found.mean - found.deviation, found.mean + found.deviation
    axes.axhspan(low, high, alpha=0.25, linewidth=0, color=color)


def _changes(axes: Axes, group: Group, lines: dict[str, list[Setting]], styles: dict) -> None:
  for name, curve in paper.changes(group.types).items():
    label = f"Voita et al. 2019, {name}"
    axes.plot(*zip(*curve), color="0.8", linewidth=2.5, marker=".", label=label, zorder=0)
  for label, settings in lines.items():
    means = [(setting.kept / group.total, setting.change[group.split].mean) for setting in settings]
    axes.plot(*zip(*means), label=label, **styles[label])
  axes.axhline(0.0, color="0.5", linewidth=0.8)
  axes.set(xlabel="share of heads kept", ylabel="BLEU less that of the model with all heads")


def speed(speeds: Sequence[Speed]) -> Figure:
  """How much faster compact models translate, against open heads."""
  figure, ((axes,),) = drawing.panels(1, 5.0, 4.0)
  heads = [one.open for one in speeds]
  spans = [[one.gain - one.low for one in speeds], [one.high - one.gain for one in speeds]]
  gains = [one.gain for one in speeds]
  axes.errorbar(heads, gains, spans, marker="o", color="0.2", capsize=3, label="measured")
  known = [one.arithmetic for one in speeds]
  axes.plot(heads, known, linestyle="--", color="0.6", label="the removed operations alone")
  axes.set(xlabel="open heads", ylabel="speed of translation over the model with all heads")
  axes.legend(fontsize=8)
  return figure


def heads_by_type(lines: dict[str, list[Setting]], total: int) -> Figure:
  """Open heads of each attention type against all open heads (Voita et al. 2019, figure 9).

  Args:
    lines: label of each method -> its settings.
    total: heads that there are.
  """
  figure, panels = _panels(1, len(lines))
  for axes, (label, settings) in zip(panels[0], lines.items()):
    for k, (name, title) in enumerate(TITLES.items()):
      if set(settings[0].rows[0].types) == set(TITLES):  # the paper's share is of all three
        heads = sum(map(len, settings[0].rows[0].heads[name]))
        shares = [(x * total, y * heads) for x, y in paper.kept_by_type()[name]]
        known = "Voita et al. 2019, WMT" if k == 0 else None
        look = {"color": "0.8", "linewidth": 2.5, "linestyle": LINES[k], "zorder": 0}
        axes.plot(*zip(*shares), label=known, **look)
      single = [(row.open, sum(row.counts[name])) for setting in settings for row in setting.rows]
      means = [(np.mean(_opens(setting)), setting.by_type[name]) for setting in settings]
      _draw_line(axes, title, _style(k), single, means)
    axes.set(title=label, xlabel=f"open heads of {total}")
    axes.legend(fontsize=7)
  panels[0][0].set_ylabel("open heads of the type")
  return figure


def heads_by_layer(lines: dict[str, list[Setting]], types: Sequence[str]) -> Figure:
  """Mean open heads of each layer against all open heads (Voita et al. 2019, figure 10).

  A row of panels for each method, a column for each attention type.
  """
  figure, panels = _panels(len(lines), len(types))
  for row, (label, settings) in zip(panels, lines.items()):
    x = [np.mean(_opens(setting)) for setting in settings]
    for axes, name in zip(row, types):
      counts = np.array([setting.layers[name] for setting in settings])
      for n, y in enumerate(counts.T):
        style = {"linestyle": LINES[n % len(LINES)], "marker": MARKERS[n % len(MARKERS)]}
        shade = str(0.65 * n / max(1, counts.shape[1]))
        axes.plot(x, y, color=shade, markersize=4, label=f"layer {n + 1}", **style)
      axes.set(title=f"{label}: {TITLES[name]}", xlabel="open heads", ylim=(0, None))
      axes.legend(fontsize=7)
    row[0].set_ylabel("open heads of the layer")
  return figure


def functions_retained(group: Group) -> Figure | None:
  """Functions of the heads that are left (Voita et al. 2019, figure 8), of analysed runs.

  One run of each setting, and of those the ones that were analysed as most were. Analyses of other
  checkpoints than the last are not of what the run ended as.
  """
  found = []
  for setting in (*group.unpruned, *group.settings):
    analysed = map(_analysis, setting.rows if setting.tuned else ())
    if result := next(filter(None, analysed), None):
      found.append((setting, result))
  alike = [result.settings for _, result in found]
  usual = max(alike, key=alike.count, default=None)
  names, counts = [], []
  for setting, result in found:
    if result.settings == usual:
      kept = group.total if setting in group.unpruned else setting.kept  # of the group's types
      names.append(f"{setting.label}\n{kept}")
      counts.append(compare.count_kinds(result))
    else:
      _tell_left_out(result, "otherwise than others")
  return figures_lib.functions_retained(counts, names) if counts and counts[0] else None


def _analysis(row: Row) -> Result | None:
  """What was found of the model that a run ended as; None if that was not analysed."""
  workdir = Workdir.at(row.run)
  if not workdir.analysis.is_file():
    return None
  result = result_lib.read(workdir)
  if result.checkpoint != LAST:
    _tell_left_out(result, f"at checkpoint {result.checkpoint}, not the last one")
  elif result_lib.is_outdated(result, workdir):
    _tell_left_out(result, f"at step {result.step}, and trained on since")
  else:
    return result
  return None


def _tell_left_out(result: Result, how: str) -> None:
  print(f"note: {result.run} was analysed {how}: no bar of functions", file=sys.stderr)


def _opens(setting: Setting) -> list[int]:
  return [row.open for row in setting.rows]


def _style(k: int) -> dict:
  """How the k-th line is drawn."""
  return {
    "color": str(0.6 * (k % 4) / 4), "linestyle": LINES[k % len(LINES)],
    "marker": MARKERS[k % len(MARKERS)], "markersize": 5, "linewidth": 1.3,
  }  # fmt: skip


def _panels(rows: int, columns: int):
  return drawing.panels(columns, 3.6 * columns + 0.6, 3.2 * rows, rows)
