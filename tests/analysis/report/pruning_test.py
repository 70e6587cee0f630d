"""Tests of headprune.analysis.report.pruning: gates over the steps of training."""

import re

import numpy as np

from headprune.analysis.report import pruning
from tests.analysis.page import Page

LAYERS = {"enc_self": [np.array([[1.0, 0.5], [1.0, 0.0]]), np.array([[0.0], [0.2]])]}


def test_history_is_step_by_step():
  found = pruning.history([10, 20], LAYERS, b"GIF", "concrete")
  assert found.gates == {"enc_self": [[[255, 128], [0]], [[255, 0], [51]]]}
  assert found.steps == [10, 20]


def test_a_long_history_is_thinned_out_but_keeps_its_ends():
  steps = list(range(1000))
  layers = {"enc_self": [np.linspace(0, 1, 1000)[:, None]]}
  found = pruning.history(steps, layers, b"", "concrete")
  assert len(found.steps) == 120 and (found.steps[0], found.steps[-1]) == (0, 999)
  assert found.gates["enc_self"][0] == [[0]] and found.gates["enc_self"][-1] == [[255]]


def test_a_line_and_a_square_for_each_head():
  text = pruning.section(pruning.history([1000, 2000], LAYERS, b"GIF", "concrete"))
  page = Page(text)
  lines, grid = page.grids
  assert lines.title == "P(open) of encoder self-attention"
  assert grid.strengths == [[1.0], [0.0], [0.2]], "as at the last step"
  colors = re.findall(r'<polyline style="stroke:var\(--(\w+)\)"', text)
  assert colors == ["c0", "c0", "c1"]
  assert re.findall(r'<i style="background:var\(--(\w+)\)"', text) == ["c0", "c1"]
  # P(open) of 1, 0.5 and 0 from top to bottom, the steps from left to right.
  assert re.findall(r'points="([^"]*)"', text)[1] == "30.0,102.7 310.0,188.0"
  assert "1,000" in page.text and "2,000" in page.text and "layer 2" in page.text
  assert 'type="range" min="0" max="1" value="1"' in text
  assert page.addresses == ["data:image/gif;base64,R0lG"]


def test_a_top_k_is_open_or_closed():
  text = pruning.section(pruning.history([1, 2], LAYERS, b"GIF", "topk"))
  assert Page(text).grids[0].title == "open heads of encoder self-attention"
  assert "Whether each head was open or closed, as at test time:" in text and "P(open)" not in text


def test_a_run_without_gates_has_none():
  assert pruning.section(None) == ""
