"""Tests of headprune.analysis.drawing."""

import numpy as np

from headprune.analysis import drawing


def test_panels_are_rows_and_columns():
  figure, panels = drawing.panels(3, 4.0, 2.0, rows=2)
  assert panels.shape == (2, 3) and figure.axes == list(panels.flat)
  np.testing.assert_array_equal(figure.get_size_inches(), [4.0, 2.0])
  assert drawing.panels(1, 4.0, 2.0)[1].shape == (1, 1)


def test_the_same_figure_gives_the_same_file():
  first, second = (drawing.render(drawing.panels(2, 4.0, 2.0)[0]) for _ in range(2))
  assert first == second and first.startswith(b"<?xml")
