"""Which runs a sweep has, and how each differs from the config that all share."""

import pytest

from headprune.curve import points
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.runs import defaults, derived, validation

CLOSED = {"enc_self": [[0.0] * 8] * 2, "dec_self": [[1.0] * 8] * 2, "dec_enc": [[0.5] * 8] * 2}


def changes(point: Point, heads=None, name: str = "cldr") -> dict:
  """The fields in which a point differs from the config of the sweep."""
  config = defaults.config("concrete", name)
  mine = points.point_config(config, point, "runs/c/baseline-seed3", heads)
  validation.validate(mine)
  before, after = derived.flatten(config), derived.flatten(mine)
  assert {field for field in before if field not in after} == {
    field for field in before if field.startswith("pretrain.")
  }
  return {field: x for field, x in after.items() if x != before[field]}


def test_the_points_of_a_seed():
  first, later = points.plan(["l0", "random", "scratch"], ["12", "25%"], [0.05], 7)
  assert [point.name for point in first] == [
    "control-seed7", "l0-12-seed7", "l0-25pct-seed7", "l0-coef0.05-seed7", "random-12-seed7",
    "random-25pct-seed7",
  ]  # fmt: skip
  assert [point.name for point in later] == [
    "scratch-12-seed7", "scratch-25pct-seed7", "scratch-coef0.05-seed7",
  ]  # fmt: skip
  assert points.plan(["gradient"], ["2 a layer"], [], 0) == (
    [Point("control", 0), Point("gradient", 0, "2 a layer")],
    [],
  )
  first, later = points.plan(["l0", "random", "scratch"], ["12", "6"], [0.05], 7, ["6"])
  assert [point.name for point in (*first[1:], *later)] == [
    "l0-12-seed7", "l0-6-seed7", "l0-coef0.05-seed7", "random-6-seed7", "scratch-6-seed7",
  ]  # fmt: skip
  first, later = points.plan(["onepass", "scratch", "l0"], ["12", "6"], [], 7, ["12"], "12")
  assert [point.name for point in first] == [
    "control-seed7", "trunk-seed7", "l0-12-seed7", "l0-6-seed7",
  ]  # fmt: skip
  assert [point.name for point in later] == ["onepass-12-seed7", "scratch-12-seed7"]
  assert [point.source.name for point in later] == ["trunk-seed7", "l0-12-seed7"]
  assert first[1].heads == "12" and not any(point.source for point in first)
  assert Point("l0", 0, "enc_self 2, dec_enc 10").name == "l0-enc_self-2-dec_enc-10-seed0"
  with pytest.raises(UserError, match="--methods scratch"):
    points.plan(["gradient", "scratch"], ["12"], [], 0)


def test_each_price_has_a_folder_of_its_own():
  names = [Point("l0", 0, coef=coef).name for coef in (0.1234567, 0.1234568, 1e6, 1e-6, 2.0)]
  assert names == [
    f"l0-coef{coef}-seed0" for coef in ("0.1234567", "0.1234568", "1000000", "1e-06", "2")
  ]


def test_what_each_method_changes():
  start = {"init_from": "runs/c/baseline-seed3", "seed": 3}
  none = {"gates.kind": "none", "l0.coef": 0.0}
  learned = {"l0.coef": 0.0, "l0.target_heads": "12"}
  assert changes(Point("control", 3)) == start | none
  assert changes(Point("l0", 3, "12")) == start | learned
  assert changes(Point("l0", 3, coef=0.02)) == start | {"l0.coef": 0.02}
  chosen = start | {
    "gates.kind": "fixed",
    "gates.chosen_by": "gradient",
    "gates.chosen_for": "12",
    "gates.fixed.enc_self": ((0.0,) * 8,) * 2,
    "gates.fixed.dec_self": ((1.0,) * 8,) * 2,
    "gates.fixed.dec_enc": ((0.5,) * 8,) * 2,
    "l0.coef": 0.0,
    "train.translate_first": True,
  }
  assert changes(Point("gradient", 3, "12"), CLOSED) == chosen
  healing = {
    "gates.chosen_by": "onepass", "optim.cooldown": 0.8, "train.steps": 250,
    "train.checkpoint_every": 125, "train.eval_every": 125,
  }  # fmt: skip
  assert changes(Point("onepass", 3, "12"), CLOSED) == chosen | healing
  way = {
    "gates.chosen_by": "trunk", "l0.ramp": 249 / 250, "l0.settled": 1 / 250,
    "optim.warmup": 100 / 250, "optim.cooldown": 0.0, "train.steps": 250,
    "train.checkpoint_every": 13, "train.translate_every": 250, "train.keep": 20,
  }  # fmt: skip
  assert changes(Point("trunk", 3, "12")) == start | learned | way


def test_runs_without_gates_have_no_rule_for_them():
  rules = changes(Point("control", 3), name=",encoder")["optim.rules"]
  assert rules == (("model/(src_|enc).*", "train"), (".*", "freeze"))
  assert "optim.rules" not in changes(Point("l0", 3, "4"), name=",encoder")


def test_from_scratch_is_trained_as_the_baseline_is():
  config = defaults.config("concrete", "multi30k,encoder")
  mine = points.point_config(config, Point("scratch", 3, "12"), "runs/c/baseline-seed3", {})
  like = points.baseline_config(config, 3)
  assert (mine.train, mine.optim) == (like.train, like.optim) and mine.init_from == ""
  assert mine.gates.kind == "fixed" and (like.gates.kind, like.seed) == ("none", 3)
  assert like.optim.rules == ((".*", "train"),)
  longer = like.copy_and_resolve_references().unlock()
  longer.train.steps, longer.optim.learning_rate = 7, 0.5
  longer.lock()
  mine = points.point_config(config, Point("scratch", 3, "12"), "runs/mine", {}, like=longer)
  assert (mine.train, mine.optim) == (longer.train, longer.optim), "not as config.pretrain says"
