"""Tests of headprune.analysis.compare."""

import dataclasses

from headprune.analysis import compare
from headprune.analysis.result import Function, Kind
from tests.analysis.results import RESULT


def having(heads_by_name, gates=None):
  """RESULT with other functions."""
  functions = tuple(
    Function("syntactic", name, "enc_self", heads, "share", 0.5)
    for name, heads in heads_by_name.items()
  )
  changes = {"heads": RESULT.heads | {"enc_self": gates}} if gates else {}
  return dataclasses.replace(RESULT, functions=functions, **changes)


def test_kept_moved_lost_new():
  before = having({"a": ((0, 0), (0, 1)), "b": ((0, 1),), "c": ((1, 0),)})
  after = having({"a": ((0, 1),), "b": ((0, 0), (1, 1)), "d": ((1, 1),)})
  rows = compare.outcomes(before, after)
  assert [(row.function, row.outcome) for row in rows] == [
    ("a", "kept"),
    ("b", "moved"),
    ("c", "lost"),
    ("d", "new"),
  ]
  assert rows[1].before == ((0, 1),) and rows[1].after == ((0, 0), (1, 1))


def test_only_layers_count_in_a_compact_model():
  before = having({"a": ((0, 3),), "b": ((0, 3),)}, [[1.0] * 4, [1.0] * 4])
  after = having({"a": ((0, 0),), "b": ((1, 3),)}, [[1.0], [1.0] * 4])
  assert [row.outcome for row in compare.outcomes(before, after)] == ["kept", "moved"]


def test_functions_of_one_name_and_different_types_are_different():
  after = dataclasses.replace(RESULT.functions[0], type="dec_self")
  rows = compare.outcomes(
    dataclasses.replace(RESULT, functions=RESULT.functions[:1]),
    dataclasses.replace(RESULT, functions=(after,)),
  )
  assert [(row.type, row.outcome) for row in rows] == [("enc_self", "lost"), ("dec_self", "new")]


def test_a_head_is_counted_once():
  # Head 1.0 is syntactic and looks at rare words.
  assert compare.count_kinds(RESULT) == {
    "enc_self": {"positional": 1, "syntactic": 1, "rare words": 0, "unknown": 0},
    "dec_enc": {"aligning": 1, "unknown": 1},
  }
  reversed_ = dataclasses.replace(RESULT, functions=RESULT.functions[::-1])
  assert compare.count_kinds(reversed_) == compare.count_kinds(RESULT)


def test_closed_heads_do_not_count():
  closed = dataclasses.replace(RESULT, heads=RESULT.heads | {"enc_self": [[0.0, 0.0], [1.0]]})
  assert compare.count_kinds(closed)["enc_self"]["positional"] == 0


def test_counts_and_strengths_in_words():
  sure = Kind("positional", "enc_self", "", interval=(2, 4), chance=2 / 3)
  other = Kind("positional", "dec_self", "", chance=0.0)
  result = dataclasses.replace(RESULT, kinds=(sure, other))
  describe = lambda *which: compare.describe_kind(result, *which)
  assert describe("enc_self", "positional", 3) == (
    "3 positional (95% interval 2 to 4; 0.7 by chance)"
  )
  assert describe("dec_self", "positional", 1) == "1 positional (0 by chance)"
  assert describe("dec_self", "positional", 0) == "0 positional"
  assert describe("dec_self", "unknown", 1) == "1 unknown"
  near = dataclasses.replace(other, nearest="best 68%, needed ≥ 90%")
  result = dataclasses.replace(RESULT, kinds=(near,))
  assert describe("dec_self", "positional", 0) == "0 positional (best 68%, needed ≥ 90%)"
  sure = dataclasses.replace(sure, interval=(3, 3))
  result = dataclasses.replace(RESULT, kinds=(sure,))
  assert describe("enc_self", "positional", 3) == "3 positional (0.7 by chance)"
  assert (
    describe("enc_self", "positional", 0) == "0 positional (95% interval 3 to 3; 0.7 by chance)"
  )
  function = Function("k", "f", "enc_self", ((0, 0),), "share", 0.95)
  assert compare.describe_strength(function) == "share 95%"
  function = dataclasses.replace(function, interval=(0.934, 0.96), baseline=0.41)
  assert compare.describe_strength(function) == "share 95% (93% to 96%), baseline 41%"
