"""The files of a comparison of runs."""

from collections.abc import Sequence
import pathlib

from headprune.analysis.figures import render
from headprune.curve import figures, page
from headprune.curve.markdown import markdown
from headprune.curve.rows import PValues, Row, to_csv
from headprune.curve.structures import structures
from headprune.runs.workdir import write_bytes, write_json, write_text


def write(
  rows: Sequence[Row],
  folder: pathlib.Path,
  p_values: PValues | None = None,
) -> None:
  """Writes curve.csv, curve.md, curve.html, structures.json and the figures.

  Args:
    rows: from rows.rows, at least one.
    folder: made if it is not there; files of these names are replaced.
    p_values: from significance.p_values.
  Raises:
    UserError: the disk does not take them.
  """
  write_text(folder / "curve.csv", to_csv(rows, p_values))
  write_text(folder / "curve.md", markdown(rows, p_values))
  write_json(folder / "structures.json", structures(rows), indent=None)
  for name, figure in figures.draw(rows).items():
    write_bytes(folder / f"{name}.svg", render(figure))
  write_text(folder / "curve.html", page.page(rows, p_values))
