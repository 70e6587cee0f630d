"""Tests of headprune.analysis.contributions.figures: what is drawn, not how it looks."""

import dataclasses

import numpy as np
import pytest

from headprune.analysis.contributions import figures
from headprune.analysis.contributions.result import Result
from tests.analysis.contributions import lines as lines_lib


def texts(figure):
  return [item.get_text() for item in figure.legends[0].get_texts()]


def test_by_target_position():
  figure = figures.by_target_position(lines_lib.lines("a b", prefixes="reference own"))
  assert texts(figure) == ["a (reference)", "a (own)", "b (reference)", "b (own)"]
  source, entropy, target = figure.axes
  assert [len(axes.lines) for axes in figure.axes] == [4] * 3
  first = source.lines[0]
  np.testing.assert_array_equal(first.get_xdata(), [2, 3])
  np.testing.assert_allclose(first.get_ydata(), [0.5, 0.4])
  band = source.collections[0].get_paths()[0].vertices[:, 1]
  assert band.min() == pytest.approx(0.3) and band.max() == pytest.approx(0.6)
  np.testing.assert_array_equal(entropy.lines[0].get_xdata(), [1, 2, 3])
  np.testing.assert_allclose(target.lines[0].get_ydata(), [0.0, 0.7])
  look = lambda line: (line.get_color(), line.get_marker(), line.get_linestyle())
  assert len({look(line) for line in source.lines}) == 4
  assert source.lines[0].get_color() == source.lines[1].get_color() != source.lines[2].get_color()
  single = figures.by_target_position(lines_lib.lines("a", prefixes="reference own"))
  assert len({look(line)[:2] for line in single.axes[0].lines}) == 2


def test_by_source_position():
  figure = figures.by_source_position(lines_lib.lines("a"))
  (whole, uniform), (without, _) = (axes.lines for axes in figure.axes)
  np.testing.assert_allclose(whole.get_ydata(), [0.8, 1.2, 1.0])
  np.testing.assert_allclose(without.get_ydata(), [0.8, 1.2])
  assert set(uniform.get_ydata()) == {1.0} and texts(figure) == ["a"]


def test_names_of_lines_stay_in_the_figure():
  lines = lines_lib.lines("baseline-seed0 l0-25pct-seed0", "250 last", "reference own random")
  figure = figures.by_source_position(lines)
  figure.draw_without_rendering()
  names = figure.legends[0].get_window_extent()
  assert names.x0 >= 0 and names.x1 <= figure.bbox.width


def test_over_steps_where_there_are_several():
  lines = lines_lib.lines("a b", checkpoints="100 50 last")
  figure = figures.over_steps(lines)
  assert texts(figure) == ["a", "b"]
  np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [50, 100])
  np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.45, 0.45])
  assert [line.get_alpha() for line in figure.axes[0].lines] == [1.0, 1.0]
  drawn = figures.draw(Result(9, 3, 3, tuple(lines)))
  assert list(drawn) == ["contributions", "contributions-source", "contributions-steps"]
  assert texts(drawn["contributions"])[:2] == ["a at 100", "a at 50"]
  alphas = [line.get_alpha() for line in drawn["contributions"].axes[0].lines[:3]]
  assert alphas == sorted(alphas) and alphas[0] < alphas[2] == 1.0, "later ones stand out"
  one = lines_lib.lines("a", checkpoints="100")
  assert not figures.trained([*one, dataclasses.replace(one[0], run="b")])
  assert list(figures.draw(Result(9, 3, 3, tuple(one)))) == list(drawn)[:2]


def test_without_intervals_there_are_no_bands():
  (line,) = lines_lib.lines("a")
  bare = dataclasses.replace(line.source_curve, low=[None, None], high=[None, None])
  figure = figures.by_target_position([dataclasses.replace(line, source_curve=bare)])
  assert [len(axes.collections) for axes in figure.axes] == [0, 1, 1]
  np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.5, 0.4])
