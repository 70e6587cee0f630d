"""Figures, readable in grey: scores of heads, attention maps, gates while pruning, what is left."""

from collections.abc import Sequence
import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from PIL import Image

from headprune.analysis import drawing, tables
from headprune.analysis.drawing import LINES
from headprune.analysis.result import TITLES
from headprune.nn import gates as gates_lib
from headprune.runs.heads import Layers, Lists

_HATCHES = ("", "///", "...", "xxx")
_FRAMES, _FRAME_MS = 60, 125  # of the animation, at most

_OPEN = {"concrete": ("P(open)", "P(gate = 0)"), "topk": ("open", "closed")}  # kind of gates


def score_grid(scores: Lists, title: str, gates: dict | None = None) -> Figure:
  """Heads x layers, one panel for each attention type; layer 1 is the lowest row.

  Args:
    scores: lists, whose layers may differ in length, or arrays [N, H].
    title: what the values are.
    gates: test-time gates; closed heads are crossed out.
  """
  figure, panels = _panels(scores, 2.6 + 0.3 * _depth(scores))
  values = np.concatenate([np.ravel(row) for layers in scores.values() for row in layers])
  low, high = (min(0.0, values.min()), max(values.max(), 1e-9)) if len(values) else (0.0, 1.0)
  for axes, (name, layers) in zip(panels, scores.items()):
    grid_NH = padded(layers)
    image = axes.imshow(grid_NH, cmap="Greys", vmin=low, vmax=high, origin="lower", aspect="auto")
    _name_heads(axes, name, grid_NH.shape)
    for (n, h), value in np.ndenumerate(grid_NH):
      closed = gates is not None and not np.isnan(value) and gates[name][n][h] == 0
      dark = value > low + 0.55 * (high - low)
      text = "" if np.isnan(value) else "×" if closed else tables.short(value)
      axes.text(h, n, text, ha="center", va="center", color="w" if dark else "k", fontsize=8)
  figure.colorbar(image, ax=panels, shrink=0.8)
  figure.suptitle(title)
  return figure


def attention_map(attn_QM, queries: Sequence[str], memory: Sequence[str], title: str) -> Figure:
  """One head's weights; each row is a token that looks, each column one that is looked at."""
  size = 1.2 + 0.24 * len(memory), 1.2 + 0.24 * len(queries)
  figure, ((axes,),) = drawing.panels(1, *size)
  axes.imshow(attn_QM, cmap="Greys", vmin=0.0, vmax=1.0)
  axes.set_xticks(range(len(memory)), memory, rotation=90, fontsize=8)
  axes.set_yticks(range(len(queries)), queries, fontsize=8)
  axes.xaxis.tick_top()
  axes.set_title(title, fontsize=10)
  return figure


def gate_history(
  rows: Sequence[dict], kind: str = "concrete"
) -> tuple[list[int], dict[str, list[np.ndarray]]]:
  """How open each gate was during pruning, from the rows of metrics.jsonl.

  Args:
    rows: all of them.
    kind: of gates: "concrete" ones have P(open), "topk" ones are 1 or 0, as at test time.
  Returns:
    (steps, type -> for each layer the values as [rows, heads]); empty if no row has gates.
  """
  field, value = ("gates", np.asarray) if kind == "topk" else ("log_alpha", gates_lib.p_open)
  rows = [row for row in rows if field in row]
  history = {}
  for name in rows[0][field] if rows else ():
    layers = zip(*(row[field][name] for row in rows))
    history[name] = [np.asarray(value(np.array(layer))) for layer in layers]
  return [row["step"] for row in rows], history


def gate_trajectories(steps: Sequence[int], history: dict, kind: str = "concrete") -> Figure:
  """How open each head is against the step; the line's style and shade tell the layer."""
  figure, panels = _panels(history, 3.2)
  for axes, (name, layers) in zip(panels, history.items()):
    for n, open_TH in enumerate(layers):
      style = {"linestyle": LINES[n % len(LINES)], "color": str(0.65 * n / max(1, len(layers)))}
      for h in range(open_TH.shape[1]):
        label = f"layer {n + 1}" if h == 0 else None
        axes.plot(steps, open_TH[:, h], linewidth=1.0, label=label, **style)
    axes.set(title=TITLES[name], xlabel="step", ylim=(-0.03, 1.03))
    axes.legend(fontsize=7)
  panels[0].set_ylabel(_OPEN[kind][0])
  return figure


def gate_animation(steps: Sequence[int], history: dict, kind: str = "concrete") -> bytes:
  """A GIF of how closed each head is; black is closed."""
  figure, panels = _panels(history, 2.6 + 0.3 * _depth(history))
  figure.set_dpi(70)
  canvas, images, pictures = FigureCanvasAgg(figure), [], []
  for axes, (name, layers) in zip(panels, history.items()):
    grid_NH = padded([1.0 - layer[0] for layer in layers])
    images.append(
      axes.imshow(grid_NH, cmap="Greys", vmin=0.0, vmax=1.0, origin="lower", aspect="auto")
    )
    _name_heads(axes, name, grid_NH.shape)
  figure.colorbar(images[0], ax=panels, shrink=0.8, label=_OPEN[kind][1])
  for t in np.unique(np.linspace(0, len(steps) - 1, _FRAMES).astype(int)):
    figure.suptitle(f"step {steps[t]:,}")
    for image, layers in zip(images, history.values()):
      image.set_data(padded([1.0 - layer[t] for layer in layers]))
    canvas.draw()
    pictures.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
  data = io.BytesIO()
  pictures[0].save(
    data, "gif", save_all=True, append_images=pictures[1:], duration=_FRAME_MS, loop=0
  )
  return data.getvalue()


def retained(gates: Lists) -> Figure:
  """Open heads of each layer, of each attention type; the outline is what there was.

  Args:
    gates: test-time gates, lists or arrays [N, H].
  """
  figure, panels = _panels(gates, 2.8)
  for axes, (name, layers) in zip(panels, gates.items()):
    layer_numbers = np.arange(len(layers)) + 1
    total, left = [len(row) for row in layers], [int(np.sum(np.array(row) > 0)) for row in layers]
    axes.bar(layer_numbers, total, color="none", edgecolor="0.5")
    axes.bar(layer_numbers, left, color="0.35")
    for x, count in zip(layer_numbers, left):
      axes.text(x, count, str(count), ha="center", va="bottom", fontsize=8)
    axes.set(title=f"{TITLES[name]}: {sum(left)} of {sum(total)}", xlabel="layer")
    axes.set_xticks(layer_numbers)
  panels[0].set_ylabel("open heads")
  return figure


def functions_retained(counts: Sequence[dict[str, dict[str, int]]], names: Sequence[str]) -> Figure:
  """Functions of the heads that are left, one bar for each run, most heads first.

  Args:
    counts: of each run, attention type -> kind -> number of open heads, from compare.count_kinds;
      the first run's types and kinds are drawn.
    names: what to write under each bar.
  """
  width = 1.8 + 0.9 * len(counts)
  figure, (panels,) = drawing.panels(len(counts[0]), width * len(counts[0]), 3.4)
  for axes, (name, kinds) in zip(panels, counts[0].items()):
    order = sorted(range(len(counts)), key=lambda i: -sum(counts[i].get(name, {}).values()))
    bottom = np.zeros(len(counts))
    for k, kind in enumerate(kinds):
      height = np.array([counts[i].get(name, {}).get(kind, 0) for i in order])
      style = {"color": str(0.25 + 0.6 * k / len(kinds)), "hatch": _HATCHES[k % len(_HATCHES)]}
      axes.bar(range(len(counts)), height, bottom=bottom, label=kind, edgecolor="0.9", **style)
      bottom += height
    labels = [f"{int(total)}\n{names[i]}" for i, total in zip(order, bottom)]
    axes.set_xticks(range(len(counts)), labels)
    axes.set(title=TITLES[name], ylabel="heads", xlabel="open heads of each run")
    axes.legend(fontsize=8)
  return figure


def padded(layers: Layers) -> np.ndarray:
  """[N, H] with NaN where a layer has no such head; H is at least 1, to be drawn."""
  width = max((1, *map(len, layers)))
  return np.array([[*row, *[np.nan] * (width - len(row))] for row in layers], float)


def _depth(scores: dict) -> int:
  return max(map(len, scores.values()))


def _panels(names, height: float):
  figure, (panels,) = drawing.panels(len(names), 3.4 * len(names) + 0.6, height)
  return figure, panels


def _name_heads(axes, name: str, shape) -> None:
  axes.set(title=TITLES[name], xlabel="head", ylabel="layer")
  axes.set_xticks(range(shape[1]), range(1, shape[1] + 1))
  axes.set_yticks(range(shape[0]), range(1, shape[0] + 1))
