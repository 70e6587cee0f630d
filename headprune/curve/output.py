"""The files of a comparison of runs."""

from collections.abc import Sequence
import pathlib
import re

from headprune.analysis.drawing import render
from headprune.curve import figures, page
from headprune.curve.markdown import markdown
from headprune.curve.rows import PValues, Row, to_csv
from headprune.curve.speeds import Speed, table
from headprune.curve.structures import structures
from headprune.files import write_bytes, write_json, write_text

_FIGURE = re.compile(r"(bleu|types|layers|functions)(-\d+)?|speed")  # what `write` calls them


def write(
  rows: Sequence[Row],
  folder: pathlib.Path,
  p_values: PValues | None = None,
  speeds: Sequence[Speed] = (),
) -> None:
  """Writes curve.csv, curve.md, curve.html, structures.json and the figures.

  Args:
    rows: from rows.rows, at least one.
    folder: made if it is not there; files of these names are replaced, or removed if they are
      figures that are not made of these rows.
    p_values: from significance.p_values.
    speeds: from speeds.measure.
  Raises:
    UserError: the disk does not take them.
  """
  write_text(folder / "curve.csv", to_csv(rows, p_values))
  write_text(folder / "curve.md", text(rows, p_values, speeds))
  write_json(folder / "structures.json", structures(rows), indent=None)
  drawn = figures.draw(rows) | ({"speed": figures.speed(speeds)} if speeds else {})
  for name, figure in drawn.items():
    write_bytes(folder / f"{name}.svg", render(figure))
  for path in folder.glob("*.svg"):
    if _FIGURE.fullmatch(path.stem) and path.stem not in drawn:
      path.unlink(missing_ok=True)  # another program may do the same
  write_text(folder / "curve.html", page.page(rows, p_values))


def text(rows: Sequence[Row], p_values: PValues | None = None, speeds: Sequence[Speed] = ()) -> str:
  """All tables as Markdown; the arguments are those of `write`."""
  return markdown(rows, p_values) + (f"\n{table(speeds)}" if speeds else "")
