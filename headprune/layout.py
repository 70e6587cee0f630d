"""Text as people and programs read it: aligned tables, CSV, times."""

from collections.abc import Iterable, Sequence
import csv
import io


def aligned(rows: Sequence[Sequence[str]], sides: str) -> str:
  """A line for each row, whose columns are as wide as their widest cell, two spaces apart.

  Args:
    rows: as many cells each.
    sides: of each column, "<" for left and ">" for right; the last one goes for all others too.
  """
  columns = list(zip(*rows))
  sides = sides.ljust(len(columns), sides[-1])
  forms = [f"{side}{max(map(len, column))}" for side, column in zip(sides, columns)]
  return "\n".join("  ".join(map(format, row, forms)).rstrip() for row in rows)


def csv_text(header: Sequence[str], rows: Iterable[Sequence]) -> str:
  """Rows under their header as CSV; None is an empty cell."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(header)
  writer.writerows(rows)
  return text.getvalue()


def duration(seconds: float) -> str:
  """1:02:03 or 2:03; "?" if it is not finite."""
  if not 0 <= seconds < float("inf"):
    return "?"
  minutes, s = divmod(int(seconds + 0.5), 60)
  hours, m = divmod(minutes, 60)
  return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
