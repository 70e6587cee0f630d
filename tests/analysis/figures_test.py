"""Tests of headprune.analysis.figures: what is drawn, not how it looks."""

import io

import numpy as np
from PIL import Image
import pytest

from headprune.analysis import figures

SCORES = {"enc_self": [[0.25, 0.5], [1.0]], "dec_self": [[], [0.125]], "dec_enc": [[0.0], [2.5]]}
GATES = {"enc_self": [[1.0, 0.0], [0.5]], "dec_self": [[], [1.0]], "dec_enc": [[1.0], [1.0]]}
HISTORY = [
  {"step": 10, "log_alpha": {"enc_self": [[2.0, 0.0], [-5.0]]}},
  {"step": 15, "dev_loss": 1.0},
  {"step": 20, "log_alpha": {"enc_self": [[9.0, -9.0], [-9.0]]}},
]


def texts(axes):
  return [item.get_text() for item in axes.texts]


def test_score_grid_shows_numbers_and_crosses_closed_heads_out():
  figure = figures.score_grid(SCORES, "confidence", GATES)
  panels = figure.axes[:3]
  assert [axes.get_title() for axes in panels] == list(figures.TITLES.values())
  assert texts(panels[0]) == [".25", "×", "1.0", ""]
  assert texts(panels[1]) == ["", ".12"]
  np.testing.assert_array_equal(
    panels[0].images[0].get_array().filled(np.nan), [[0.25, 0.5], [1.0, np.nan]]
  )
  assert panels[0].images[0].get_clim() == (0.0, 2.5)


@pytest.mark.parametrize(
  "value, text",
  [
    (0.0, "0"), (-0.0, "0"), (3.4e-5, "3e-5"), (-0.0026, "-3e-3"), (0.00996, ".010"),
    (0.0131, ".013"), (-0.04, "-.040"), (0.5, ".50"), (0.996, "1.0"), (-2.04, "-2.0"), (9.96, "10"),
    (150.2, "150"),
  ],
)  # fmt: skip
def test_small_numbers_keep_their_digits(value, text):
  (panel, *_) = figures.score_grid({"enc_self": [[value]]}, "loss").axes
  assert texts(panel) == [text]


def test_scores_may_be_negative_or_all_zero():
  (image,) = figures.score_grid({"enc_self": [[-1.0, 0.5]]}, "loss").axes[0].images
  assert image.get_clim() == (-1.0, 0.5)
  figures.score_grid({"enc_self": [[0.0]]}, "nothing")


def test_attention_map_has_pieces_on_both_axes():
  attn_QM = np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
  axes = figures.attention_map(attn_QM, ["a", "b", "c"], ["x", "y"], "head").axes[0]
  assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y"]
  assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
  np.testing.assert_array_equal(axes.images[0].get_array(), attn_QM)


def test_gate_history_is_p_open_of_each_layer():
  steps, history = figures.gate_history(HISTORY)
  assert steps == [10, 20]
  first, second = history["enc_self"]
  sigmoid = lambda x: 1 / (1 + np.exp(-x))
  shift = 0.33 * np.log(0.1 / 1.1)
  expected = sigmoid(np.array([[2.0, 0.0], [9.0, -9.0]]) - shift)
  np.testing.assert_allclose(first, expected, rtol=1e-5)
  assert second.shape == (2, 1)
  assert figures.gate_history([{"step": 1}]) == ([], {})


def test_gate_history_of_a_top_k_is_open_or_closed():
  row = {
    "log_alpha": {"enc_self": [[2.0, 1.9], [-5.0]]},
    "gates": {"enc_self": [[1.0, 0.0], [0.0]]},
  }
  steps, history = figures.gate_history([{"step": 3} | row, {"step": 4} | row], "topk")
  assert [layer.tolist() for layer in history["enc_self"]] == [[[1, 0]] * 2, [[0]] * 2]
  (axes,) = figures.gate_trajectories(steps, history, "topk").axes
  assert steps == [3, 4] and axes.get_ylabel() == "open"
  assert figures.gate_animation(steps, history, "topk") != figures.gate_animation(steps, history)


def test_gate_trajectories_draw_each_head():
  axes = figures.gate_trajectories(*figures.gate_history(HISTORY)).axes[0]
  assert len(axes.lines) == 3
  np.testing.assert_array_equal(axes.lines[0].get_xdata(), [10, 20])
  assert axes.lines[0].get_linestyle() != axes.lines[2].get_linestyle()  # layers, in grey too


def test_gate_animation_has_a_frame_for_each_row():
  data = figures.gate_animation(*figures.gate_history(HISTORY))
  assert data == figures.gate_animation(*figures.gate_history(HISTORY)), "always the same"
  with Image.open(io.BytesIO(data)) as image:
    assert image.format == "GIF" and image.n_frames == 2
    # Eight frames a second, as near as GIF can have it: it counts in hundredths.
    assert image.info["duration"] == pytest.approx(125, abs=5) and image.info["loop"] == 0
    first = np.asarray(image.convert("L"), float)
    image.seek(1)
    assert np.abs(np.asarray(image.convert("L"), float) - first).max() > 100, "heads were closed"


def test_retained_heads():
  figure = figures.retained(GATES)
  assert figure.axes[0].get_title() == "encoder self-attention: 2 of 3"
  assert texts(figure.axes[0]) == ["1", "1"] and texts(figure.axes[1]) == ["0", "1"]


def test_functions_against_retained_heads():
  kinds = ("positional", "syntactic", "rare words", "aligning", "unknown")
  counts = [
    {"enc_self": dict(zip(kinds, (1, 0, 0, 0, 1))), "dec_enc": {"unknown": 2}},
    {"enc_self": dict(zip(kinds, (2, 3, 1, 5, 4)))},  # the other run has no such kinds
  ]
  figure = figures.functions_retained(counts, ["pruned", "dense"])
  axes, cross = figure.axes
  assert [label.get_text() for label in axes.get_xticklabels()] == ["15\ndense", "2\npruned"]
  assert [patch.get_height() for patch in axes.patches] == [2, 1, 3, 0, 1, 0, 5, 0, 4, 1]
  assert [patch.get_height() for patch in cross.patches] == [2, 0]
  styles = {(patch.get_facecolor(), patch.get_hatch()) for patch in axes.patches}
  assert len(styles) == 5
