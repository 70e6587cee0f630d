"""The table and figure of measured speeds; measuring itself is in tests/sweep_test.py."""

import pytest

from headprune.curve import figures, speeds
from headprune.curve.speeds import Speed
from headprune.errors import UserError

FOUND = [
  Speed("c/baseline", 48, 1234.4, 1.0, 1.0, 1.0, 1.0),
  Speed("c/l0-6", 6, 2000.0, 1.62, 1.5, 1.75, 2.125),
]


def test_a_line_for_each_number_of_heads():
  assert speeds.table(FOUND).splitlines()[-2:] == [
    "| 48 | 1,234 | 1.00 (1.00 - 1.00) | 1.00 |",
    "| 6 | 2,000 | 1.62 (1.50 - 1.75) | 2.12 |",
  ]


def test_the_figure_shows_both_lines():
  (axes,) = figures.speed(FOUND).axes
  measured, known = axes.lines[0], axes.lines[-1]
  assert list(measured.get_xdata()) == [48, 6] and list(measured.get_ydata()) == [1.0, 1.62]
  assert list(known.get_ydata()) == [1.0, 2.125]


def test_something_to_compare_with_is_needed(sweep):
  with pytest.raises(UserError, match="--speed compares with a baseline or a control"):
    speeds.measure([row for row in sweep if row.method == "l0"])
