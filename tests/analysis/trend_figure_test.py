"""Tests of headprune.analysis.trend_figure: what is drawn, not how it looks."""

import dataclasses
import math

import numpy as np
import pytest

from headprune.analysis import drawing, trend_figure
from headprune.analysis.evidence import ERROR_RATE
from headprune.analysis.levels import GAIN, Level
from headprune.analysis.trend import Checkpoint

KINDS = {"positional": ("share", 0.9), "syntactic": (GAIN, 0.1), "aligning": (ERROR_RATE, 0.5)}


def points(run: str, steps, best, heads, kinds=tuple(KINDS)) -> list[Checkpoint]:
  """All kinds alike: `best` and `heads` by step, of 8 open heads and one fewer each step."""
  return [
    Checkpoint(run, step, None, None, tuple(
      Level("dec_enc", kind, heads[i], 8 - i, *KINDS[kind], best[i], None, None) for kind in kinds
    ), ())
    for i, step in enumerate(steps)
  ]  # fmt: skip


def own(axes, name: str):
  (line,) = (line for line in axes.lines if line.get_label() == name)
  return line


def panels(figure):
  """(upper, lower) of each kind."""
  found = [(part.axes[: len(part.axes) // 2], part.axes[len(part.axes) // 2 :])
           for part in figure.subfigs]  # fmt: skip
  return [pair for upper, lower in found for pair in zip(upper, lower)]


def test_each_run_is_a_line_in_both_panels_of_each_kind():
  drawn = points("a", [10, 20], [0.25, 0.75], [0, 3]) + points("b", [5], [0.5], [1])
  figure = trend_figure.draw(drawn)
  assert len(panels(figure)) == len(KINDS)
  for (upper, lower), (kind, (_, limit)) in zip(panels(figure), KINDS.items()):
    assert upper.get_title(loc="left") == kind
    np.testing.assert_array_equal(own(upper, "a").get_xdata(), [10, 20])
    np.testing.assert_array_equal(own(upper, "a").get_ydata(), [0.25, 0.75])
    np.testing.assert_array_equal(own(upper, "b").get_xydata(), [[5, 0.5]])
    needed = own(upper, "needed")
    assert set(needed.get_ydata()) == {limit} and needed.get_linestyle() == "--"
    np.testing.assert_array_equal(own(lower, "a").get_ydata(), [0, 3])
    opens = [list(line.get_ydata()) for line in lower.lines if line.get_label() not in "ab"]
    assert opens == [[8, 7], [8]]
  names = [text.get_text() for text in figure.legends[0].get_texts()]
  assert names == ["a", "b", "needed", "open heads"]
  looks = {(own(upper, name).get_color(), own(upper, name).get_marker()) for name in "ab"}
  assert len(looks) == 2


def test_what_is_enough_is_shaded():
  shares, gains, errors = (
    upper for upper, _ in panels(trend_figure.draw(points("a", [1], [-0.3], [0])))
  )
  shaded = lambda axes: (axes.patches[0].get_y(), axes.patches[0].get_height())
  assert shaded(shares) == pytest.approx((0.9, 0.13))
  y, height = shaded(errors)
  assert (y, height) == pytest.approx((0.5, -0.53)), "less is better"
  assert shaded(gains)[0] == 0.1 and gains.get_ylim()[0] < -0.3 and gains.get_ylim()[1] > 0.1
  assert [text.get_text() for text in gains.texts][0] == "≥ +10"
  assert [text.get_text() for text in errors.texts][0] == "≤ 50%"


def test_where_there_is_no_case_there_is_no_point():
  (upper, _), *_ = panels(trend_figure.draw(points("a", [1, 2, 3], [0.5, None, 0.7], [0, 0, 0])))
  y = own(upper, "a").get_ydata()
  assert (y[0], y[2]) == (0.5, 0.7) and math.isnan(y[1])
  assert "no case" not in [text.get_text() for text in upper.texts]
  (upper, _), *_ = panels(trend_figure.draw(points("a", [1], [None], [0])))
  assert "no case" in [text.get_text() for text in upper.texts]


@pytest.mark.parametrize(
  "count, rows", [(1, [1]), (4, [4]), (5, [3, 2]), (8, [4, 4]), (9, [3] * 3)]
)
def test_kinds_are_spread_over_rows(count, rows):
  (point,) = points("a", [1], [0.5], [1], kinds=["positional"])
  figure = trend_figure.draw([dataclasses.replace(point, levels=point.levels * count)])
  assert [len(part.axes) // 2 for part in figure.subfigs] == rows
  assert drawing.render(figure).startswith(b"<?xml")
