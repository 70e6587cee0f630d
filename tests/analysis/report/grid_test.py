"""Tests of headprune.analysis.report.grid."""

import re

from headprune.analysis.report import grid
from tests.analysis.page import Page


def test_numbers_and_their_colours():
  text = grid.of_score("a < b", [[0.25, 0.125], [0.75]], [[1.0, 0.0], [0.5]], 0.5)
  (found,) = Page(text).grids
  assert found.title == "a < b" and found.cells == [".25", "×", ".75"]
  assert found.tips == ["1.1: 0.250", "1.2: closed", "2.1: 0.750"]
  assert found.strengths == [[0.31], [], [0.62]]  # half of full colour; not more than all
  assert found.places == [None] * 3


def test_a_tip_has_the_digits_of_small_numbers_too():
  (found,) = Page(grid.of_score("", [[0.00061, -0.00044]], [[1.0, 1.0]], 0.5)).grids
  assert found.cells == ["6e-4", "-4e-4"] and found.tips == ["1.1: 0.000610", "1.2: -0.000440"]


def test_a_closed_head_can_be_clicked_everywhere():
  text = grid.of_score("", [[0.25, 0.125]], [[1.0, 0.0]], 0.5, "enc_self")
  assert text.count('class="empty" pointer-events="all"') == 1, "not on its outline alone"


def test_layer_1_is_the_lowest_row():
  text = grid.draw("", [2, 1], lambda head: grid.Cell("", ""), "enc_self")
  assert Page(text).grids[0].places == ["enc_self 0 0", "enc_self 0 1", "enc_self 1 0"]
  first, second, above = re.findall(r'<rect [^>]*x="([\d.]+)" y="([\d.]+)"', text)
  assert first[1] == second[1] and float(above[1]) < float(first[1])
  assert first[0] == above[0] and float(second[0]) > float(first[0])


def test_a_title_has_room():
  width = lambda title: int(re.search(r'width="(\d+)"', grid.draw(title, [1], _blank))[1])
  assert width("x" * 40) == 18 + 40 * 7 and width("x") == 18 + 34
  assert 'width="62.4"' in grid.draw("x", [1], _blank, scale=1.2)
  assert "<svg" in grid.draw("", [0, 0], _blank)


def _blank(head):
  return grid.Cell(str(head), "")
