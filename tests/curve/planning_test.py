"""What can be known to be wrong with a sweep before anything is trained."""

import pytest

from headprune.curve import planning, points
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, inherit
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from tests.curve import runs as finished


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"methods": ["random"], "heads": ["999"]}, "999 of 48"),
    ({"methods": ["random"], "heads": ["0"]}, "target_heads='0' closes all heads of dec_enc"),
    ({"heads": ["12", "6", "25%"]}, "--heads: 12 and 25% are the same heads to keep: leave one"),
    ({"methods": ["random"], "fields": {"optim.warmup": 3.0}}, "config.optim.warmup=3.0"),
    (
      {"fields": {"pretrain.optim.warmup": 3.0}},
      "the baseline, which is trained first, with config.pretrain: conf",
    ),
    ({"methods": ["topk"], "heads": [], "coefs": [0.1]}, "--coefs are prices for --methods l0"),
    ({"methods": ["l0", "topk"], "heads": [], "coefs": [0.1]}, "--heads is empty: methods"),
    ({"fields": {"gates.kind": "topk"}}, "--config: take concrete"),
    ({"seeds": 3, "baselines": ["a", "b"]}, "--baselines: 2 runs for --seeds 3"),
  ],
)
def test_what_cannot_work_is_told_before_anything_trains(tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    planning.plan(finished.wanted(tmp_path / "x", **changes))
  assert not (tmp_path / "x").exists()


def test_a_run_is_no_folder_for_a_sweep(tmp_path):
  finished.make(tmp_path, 39.0)
  with pytest.raises(UserError, match=f"--workdir {tmp_path} is a run: .* need another folder"):
    planning.plan(finished.wanted(tmp_path))


def test_a_pretrained_model_has_no_recipe_to_train_it_from_scratch(tmp_path):
  config = defaults.config("concrete", "opus")
  with pytest.raises(UserError, match="--methods scratch trains as the baseline was"):
    planning.plan(planning.Sweep(config, tmp_path, methods=["l0", "scratch"], heads=["12"]))


def test_what_was_trained_on_has_no_recipe_to_train_it_from_scratch(tmp_path):
  finished.make(tmp_path / "a", 39.0, init_from="runs/opus")
  given = {"baselines": [str(tmp_path / "a")], "methods": ["l0", "scratch"], "heads": ["12"]}
  with pytest.raises(UserError, match="scratch .* --baselines .*/a was not trained from new para"):
    planning.plan(finished.wanted(tmp_path / "x", **given))


def test_points_of_other_baselines_are_not_taken_for_these(tmp_path):
  for name in ("a", "b"):
    (finished.make(tmp_path / name, 39.0).checkpoints / "5").mkdir(parents=True)
  mine = lambda name: finished.wanted(tmp_path / "x", baselines=[str(tmp_path / name)], heads=["5"])
  (control, learned, *_), _ = planning.plan(mine("a"))[0]
  for point in (control, learned):
    config = points.point_config(mine("a").config, point, str(tmp_path / "a"))
    config_lib.save(config, Workdir(tmp_path / "x" / point.name))
  planning.plan(mine("a"))
  with pytest.raises(UserError, match=r"control-seed0 holds .*init_from: '.*/a' -> '.*/b'"):
    planning.plan(mine("b"))


def test_a_baseline_is_not_trained_on_under_its_points(tmp_path):
  mine = finished.wanted(tmp_path, heads=["5"])
  config, baseline = points.baseline_config(mine.config, 0), Workdir(tmp_path / "baseline-seed0")
  config_lib.save(config, baseline)
  ends = config.train.steps, config.train.patience
  baseline.finish(Summary("trained", step=ends[0], ends_at=ends), finished.gates())
  (baseline.checkpoints / "5").mkdir(parents=True)
  longer = finished.wanted(tmp_path, heads=["5"], fields={"pretrain.train.steps": ends[0] + 1})
  (control, *_), _ = planning.plan(longer)[0]
  point = points.point_config(mine.config, control, str(baseline.path))
  config_lib.save(point, Workdir(tmp_path / control.name))
  planning.plan(mine)
  with pytest.raises(UserError, match="baseline-seed0 would be trained on, but control-seed0 st"):
    planning.plan(longer)


def test_points_of_another_config_are_told_of_every_seed(tmp_path):
  (finished.make(tmp_path / "a", 39.0).checkpoints / "5").mkdir(parents=True)
  mine = lambda **changes: finished.wanted(
    tmp_path / "x", baselines=[str(tmp_path / "a")], heads=["5"], **changes
  )
  old = mine(fields={"seed": 1, "l0.ascent": 3.0})
  point = Point("l0", 1, "5")
  config = points.point_config(old.config, point, str(tmp_path / "a"))
  config_lib.save(config, Workdir(tmp_path / "x" / point.name))
  planning.plan(mine())
  with pytest.raises(UserError, match="l0-5-seed1 holds .*l0.ascent: 3.0 -> 5.0"):
    planning.plan(mine(seeds=2))


def test_a_trunk_is_not_made_again_under_its_forks(tmp_path):
  start = finished.make(tmp_path / "a", 39.0)
  (start.checkpoints / "5").mkdir(parents=True)
  given = {"baselines": [str(start.path)], "methods": ["onepass"]}
  mine = finished.wanted(tmp_path / "x", heads=["12", "6"], **given)
  (_, point), (fork, _) = planning.plan(mine)[0]
  trunk, there = (Workdir(tmp_path / "x" / one.name) for one in (point, fork))
  config = points.point_config(mine.config, point, str(start.path))
  config_lib.save(inherit.inherit(config, trunk), trunk)
  planning.plan(mine)  # it is under way
  trunk.finish(Summary("trained", ends_at=(config.train.steps, 0)), finished.gates())
  (trunk.checkpoints / "5").mkdir(parents=True)
  fixed = points.point_config(mine.config, fork, str(trunk.path), finished.gates(), "5")
  config_lib.save(inherit.inherit(fixed, there), there)
  planning.plan(mine)
  trunk.reopen()
  told = "x/trunk-seed0 would be trained again, .* but onepass-12-seed0 started .*: restore it"
  for heads in (["12", "6"], ["6"]):
    with pytest.raises(UserError, match=told):
      planning.plan(finished.wanted(tmp_path / "x", heads=heads, **given))
