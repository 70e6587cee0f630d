"""Tests of headprune.analysis.compare."""

from headprune.analysis import compare

BEFORE = [[["position -1"], ["obj head→dep", "rare words"]], [["position +1"], []]]
OPEN = [[1.0, 0.5], [0.25, 1.0]]


def test_closed_heads_have_no_function():
  assert compare.holders(BEFORE, OPEN) == {
    "position -1": [(0, 0)],
    "obj head→dep": [(0, 1)],
    "rare words": [(0, 1)],
    "position +1": [(1, 0)],
  }
  assert compare.holders(BEFORE, [[0.0, 0.0], [0.0, 1.0]]) == {}


def test_kept_moved_lost_new():
  before = {"a": [(0, 0), (0, 1)], "b": [(0, 1)], "c": [(1, 0)]}
  after = {"a": [(0, 1)], "b": [(0, 0), (1, 1)], "d": [(1, 1)]}
  rows = compare.outcomes(before, after, same_heads=True)
  assert [(row["function"], row["outcome"]) for row in rows] == [
    ("a", "kept"),
    ("b", "moved"),
    ("c", "lost"),
    ("d", "new"),
  ]
  assert rows[1]["before"] == [(0, 1)] and rows[1]["after"] == [(0, 0), (1, 1)]


def test_only_layers_count_in_a_compact_model():
  before, after = {"a": [(0, 3)], "b": [(0, 3)]}, {"a": [(0, 0)], "b": [(1, 3)]}
  rows = compare.outcomes(before, after, same_heads=False)
  assert [row["outcome"] for row in rows] == ["kept", "moved"]


def test_a_head_is_counted_once():
  assert compare.count_kinds(BEFORE, OPEN) == {
    "positional": 2,
    "syntactic": 1,
    "rare words": 0,
    "unknown": 1,
  }
  assert compare.kind(["rare words", "position +1"]) == "positional"
  assert compare.kind(["rare words"]) == "rare words"
