"""What all figures share: size, looks that can be told apart in grey, and files of them."""

import io

import matplotlib
from matplotlib.figure import Figure
import numpy as np

DPI = 110
COLORS = ("#0072b2", "#c85000", "#00855f", "#a3508c", "#56748c", "#7a6a00")  # of runs
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")


def panels(columns: int, width: float, height: float, rows: int = 1) -> tuple[Figure, np.ndarray]:
  """A figure of width x height inches, and its axes as [rows, columns]."""
  figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
  return figure, figure.subplots(rows, columns, squeeze=False)


def render(figure: Figure) -> bytes:
  """The figure as SVG; the same figure gives the same bytes."""
  data = io.BytesIO()
  with matplotlib.rc_context({"svg.hashsalt": "headprune"}):
    figure.savefig(data, format="svg", metadata={"Date": None})
  return data.getvalue()
