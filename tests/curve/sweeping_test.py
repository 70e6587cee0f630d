"""Which runs of a sweep are trained when: groups, failures, and runs that another program is at."""

import dataclasses
import json
import pathlib

import pytest

from headprune.curve import planning, points, sweeping
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, inherit, lock
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.train.stopping import Stop
from tests.curve import runs as finished

POINTS = [Point("control", 0), Point("l0", 0, "12"), Point("random", 0, "12"), Point("l0", 0, "5")]


@pytest.fixture
def training(monkeypatch):
  """Groups as they are trained, by name; nothing is trained."""
  done, groups = {}, []

  def train_together(runs, stop):
    paths = [path for _, path in runs]
    groups.append([path.name for path in paths])
    results = [
      UserError("no luck") if "random" in path.name else Summary("trained") for path in paths
    ]
    done.update({path: result for path, result in zip(paths, results)})
    return results

  monkeypatch.setattr(sweeping.training, "train_together", train_together)
  is_done = lambda config, path: isinstance(done.get(path), Summary)
  monkeypatch.setattr(sweeping, "_finished", is_done)
  monkeypatch.setattr(sweeping, "_line", lambda path, summary: path.name)
  return done, groups


HEADS = {"enc_self": [[0.0] * 8] * 2, "dec_self": [[1.0] * 8] * 2, "dec_enc": [[0.5] * 8] * 2}


def runs(folder: pathlib.Path) -> dict:
  found = {}
  for point in POINTS:
    config = points.point_config(defaults.config("concrete", "cldr"), point, "nowhere", HEADS)
    found[folder / point.name] = point, config
  return found


@pytest.mark.parametrize(
  "together, groups",
  [
    (1, [["control-seed0"], ["l0-12-seed0"], ["random-12-seed0"], ["l0-5-seed0"]]),
    (2, [["control-seed0", "random-12-seed0"], ["l0-12-seed0", "l0-5-seed0"]]),
  ],
)
def test_what_is_alike_trains_together_and_a_failure_stops_nothing(
  training, tmp_path, together, groups
):
  failed = sweeping._train_all(runs(tmp_path), together, Stop())
  assert training[1] == groups
  assert {name: str(error) for name, error in failed.items()} == {"random-12-seed0": "no luck"}


def test_which_points_are_one_program(tmp_path):
  def program(method, heads="", **fields):
    config, point = defaults.config("concrete", "cldr"), Point(method, 0, heads, **fields)
    start = "nowhere/trunk" if method == "onepass" else "nowhere"
    own = points.point_config(config, point, start, HEADS)
    return sweeping._program(own, Workdir(tmp_path))

  fixed = program("control")
  assert fixed == program("random", "12")
  assert fixed not in (program("scratch", "12"), program("l0", coef=0.1))  # the latter has gates
  assert fixed != program("onepass", "12") == program("onepass", "6")
  learned = program("l0", "12")
  assert learned == program("l0", "25%") != program("l0", coef=0.1) == program("l0", coef=0.2)
  assert program("l0", "2 a layer") != learned, "another number of groups"
  assert learned not in (program("trunk", "2"), program("topk", "12"))


def test_runs_that_sample_by_themselves_train_alone(training, tmp_path):
  config = defaults.config("concrete", "cldr")
  config.train.loss = "mrt"
  given = {path: (point, config) for path, (point, _) in runs(tmp_path).items()}
  sweeping._train_all(given, 8, Stop())
  assert [len(group) for group in training[1]] == [1, 1, 1, 1]
  wanted = planning.Sweep(config, tmp_path, together=2)
  with pytest.raises(UserError, match="'mrt': .*train one at a time .--together 1."):
    planning.plan(wanted)


def test_what_another_program_trains_is_left_to_it_and_waited_for(
  training, tmp_path, monkeypatch, capsys
):
  done, groups = training
  theirs = tmp_path / "l0-12-seed0"

  def sleep(seconds):
    assert len(groups) == 3, "all that is free comes first"
    done[theirs] = Summary("trained")

  monkeypatch.setattr(sweeping.time, "sleep", sleep)
  with lock.held(theirs):
    sweeping._train_all(runs(tmp_path), 1, Stop())
  assert ["l0-12-seed0"] not in groups
  assert "l0-12-seed0 is being trained by another program" in capsys.readouterr().out


def test_a_seed_whose_baseline_another_program_trains_comes_last(training, tmp_path, monkeypatch):
  done, groups = training
  monkeypatch.setattr(sweeping, "_said", lambda *_: "")
  monkeypatch.setattr(planning, "plan", lambda wanted: {
    seed: points.plan(["l0"], ["6"], [], seed) for seed in (0, 1)
  })  # fmt: skip
  theirs = tmp_path / "baseline-seed0"

  def sleep(seconds):
    assert [name for (name,) in groups] == ["baseline-seed1", "control-seed1", "l0-6-seed1"]
    done[theirs] = Summary("trained")

  monkeypatch.setattr(sweeping.time, "sleep", sleep)
  with lock.held(theirs):
    folders, _ = sweeping.sweep(finished.wanted(tmp_path, seeds=2, methods=["l0"], heads=["6"]))
  assert [name for (name,) in groups[3:]] == ["control-seed0", "l0-6-seed0"]
  assert [path.name for path in folders][:2] == ["baseline-seed0", "control-seed0"]


def test_another_program_may_be_quicker(training, tmp_path, monkeypatch):
  done, groups = training
  train = sweeping.training.train_together

  def beaten(some, stop):
    if not groups:
      groups.append("beaten")
      done[some[0][1]] = Summary("trained")
      raise lock.InUse("by another")
    return train(some, stop)

  monkeypatch.setattr(sweeping.training, "train_together", beaten)
  sweeping._train_all(runs(tmp_path), 1, Stop())
  assert groups == ["beaten", ["l0-12-seed0"], ["random-12-seed0"], ["l0-5-seed0"]]


def test_what_the_baseline_decides_is_told_once(training, tmp_path, capsys):
  (finished.make(tmp_path / "a", 39.0).checkpoints / "5").mkdir(parents=True)
  given = {"baselines": [str(tmp_path / "a")], "heads": ["5"], "methods": ["l0"]}
  sweeping.sweep(finished.wanted(tmp_path / "x", fields={"model.activation": "gelu"}, **given))
  printed = capsys.readouterr().out
  assert printed.count(f"as in config.init_from={tmp_path}/a: ") == 1
  assert "model.activation relu" in printed


def test_without_its_trunk_a_fork_is_told_as_failed(tmp_path, monkeypatch):
  lost = {"trunk-seed0": UserError("diverged")}
  monkeypatch.setattr(sweeping, "_train_all", lambda runs, *_: lost if len(runs) > 1 else {})
  folders, failed = sweeping.sweep(finished.wanted(tmp_path, methods=["onepass"], heads=["6"]))
  assert {name: str(error) for name, error in failed.items()} == {
    "trunk-seed0": "diverged", "onepass-6-seed0": "needs trunk-seed0",
  }  # fmt: skip
  assert [path.name for path in folders] == ["baseline-seed0", "control-seed0"]


def test_a_baseline_that_breaks_down_ends_its_seed_alone(training, tmp_path, monkeypatch):
  train = sweeping.training.train_together
  bad = lambda runs: runs[0][1].name == "baseline-seed0"
  broken = lambda runs, stop: [UserError("diverged")] if bad(runs) else train(runs, stop)
  monkeypatch.setattr(sweeping.training, "train_together", broken)
  monkeypatch.setattr(sweeping, "_said", lambda *_: "")
  given = {"seeds": 2, "methods": ["l0", "onepass"], "heads": ["6"]}
  folders, failed = sweeping.sweep(finished.wanted(tmp_path, **given))
  assert {name: str(error) for name, error in failed.items() if "-seed0" in name} == {
    "baseline-seed0": "the baseline, which is trained first, with config.pretrain: diverged",
    "control-seed0": "needs baseline-seed0", "trunk-seed0": "needs baseline-seed0",
    "l0-6-seed0": "needs baseline-seed0", "onepass-6-seed0": "needs baseline-seed0",
  }  # fmt: skip
  names = [path.name for path in folders]
  assert names == ["baseline-seed1", "control-seed1", "trunk-seed1", "l0-6-seed1"]


@pytest.mark.parametrize("together", [1, 2])
def test_a_point_that_cannot_be_set_up_ends_nothing_else(
  training, tmp_path, monkeypatch, capsys, together
):
  train = sweeping.training.train_together

  def damaged(some, stop):
    if any("l0-12" in path.name for _, path in some):
      raise UserError("tokenizer.model: damaged")
    return train(some, stop)

  monkeypatch.setattr(sweeping.training, "train_together", damaged)
  failed = sweeping._train_all(runs(tmp_path), together, Stop())
  assert {name: str(error) for name, error in failed.items()} == {
    "l0-12-seed0": "tokenizer.model: damaged", "random-12-seed0": "no luck",
  }  # fmt: skip
  assert training[1][-1] == ["l0-5-seed0"], "which would have trained with the other"
  told = "note: one at a time from here on, for tokenizer.model: damaged"
  assert (told in capsys.readouterr().out) == (together == 2)


def test_a_point_whose_heads_cannot_be_chosen_ends_nothing_else(training, tmp_path, monkeypatch):
  (finished.make(tmp_path / "a", 39.0).checkpoints / "5").mkdir(parents=True)
  given = {"methods": ["lrp", "random"], "heads": ["12"], "baselines": [str(tmp_path / "a")]}

  def heads(wanted, point):
    if point.method == "lrp":
      raise UserError("dev.en: no such file")
    return finished.gates(4, 4, 4)

  monkeypatch.setattr(sweeping, "_heads", heads)
  folders, failed = sweeping.sweep(finished.wanted(tmp_path / "x", **given))
  assert {name: str(error) for name, error in failed.items()} == {
    "lrp-12-seed0": "dev.en: no such file", "random-12-seed0": "no luck",
  }  # fmt: skip
  assert [path.name for path in folders] == ["a", "control-seed0"]


def test_a_baseline_that_was_made_again_ends_its_seed_alone(training, tmp_path, monkeypatch):
  monkeypatch.setattr(sweeping, "_said", lambda *_: "")
  mine = finished.wanted(tmp_path, seeds=2, methods=["l0"], heads=["6"])
  control = points.point_config(mine.config, Point("control", 0), "baseline-seed0")
  config_lib.save(control, Workdir(tmp_path / "control-seed0"))
  (tmp_path / "start-seed0.json").write_text('{"step": 100, "dev_loss": 2.0}')
  monkeypatch.setattr(planning, "plan", lambda wanted: {
    seed: points.plan(["l0"], ["6"], [], seed) for seed in (0, 1)
  })  # fmt: skip
  monkeypatch.setattr(planning, "start_state", lambda *_: {"step": 100, "dev_loss": 2.5})
  folders, failed = sweeping.sweep(mine)
  assert list(failed) == ["control-seed0", "l0-6-seed0"]
  assert all("made again, since control-seed0 started" in str(error) for error in failed.values())
  assert [path.name for path in folders] == ["baseline-seed1", "control-seed1", "l0-6-seed1"]


def test_of_a_baseline_all_is_told(tmp_path):
  made = finished.make(tmp_path / "baseline-seed0", 39.0)
  config, done = config_lib.load(made), made.read_summary()
  said = [sweeping._said(Point(name, 0), config, made.path, done) for name in ("baseline", "l0")]
  assert ["dev loss" in text for text in said] == [True, False]


def test_a_start_that_was_trained_on_since_its_points_began_is_told(training, tmp_path):
  start = finished.make(tmp_path / "a", 39.0)
  (start.checkpoints / "5").mkdir(parents=True)
  mine = finished.wanted(tmp_path / "x", baselines=[str(start.path)], heads=["5"], methods=["l0"])
  sweeping.sweep(mine)
  done = start.read_summary()
  start.finish(dataclasses.replace(done, step=200, dev_loss=2.0), finished.gates())
  sweeping.sweep(mine)  # nothing has begun
  point = points.point_config(mine.config, Point("control", 0), str(start.path))
  config_lib.save(point, Workdir(tmp_path / "x" / "control-seed0"))
  planning.plan(mine)
  start.finish(done, finished.gates())
  with pytest.raises(UserError, match="/a was trained on, or made again, since control-seed0 st"):
    planning.plan(mine)


def test_what_was_trained_from_scratch_has_the_heads_that_are_found_now(training, tmp_path):
  start, point = str(tmp_path / "a"), Point("scratch", 0, "12")
  finished.make(tmp_path / "a", 39.0)
  mine = finished.wanted(tmp_path / "x", baselines=[start], heads=["12"], methods=["l0", "scratch"])
  found = Workdir(tmp_path / "x" / "l0-12-seed0")
  for heads, told in ((finished.gates(1, 4, 7), []), (finished.gates(7, 4, 1), [point.name])):
    finished.make(found.path, 39.0, heads, gates__kind="concrete", init_from=start)
    runs, _ = sweeping._runs(mine, [point])
    if not told:
      config_lib.save(runs[tmp_path / "x" / point.name][1], Workdir(tmp_path / "x" / point.name))
    failed = sweeping._train_all(runs, 1, Stop())
    assert list(failed) == told
  assert "has other heads than l0-12-seed0, which was made again: rem" in str(failed[point.name])


def test_what_has_begun_keeps_its_heads_where_scores_are_measured_anew(tmp_path, monkeypatch):
  finished.make(tmp_path / "a", 39.0)
  mine = finished.wanted(tmp_path, baselines=[str(tmp_path / "a")])
  monkeypatch.setattr(sweeping, "load", lambda *_: None)
  scores = iter([finished.gates(1, 4, 7), finished.gates(7, 4, 1)])
  monkeypatch.setattr(sweeping.importance, "scores", lambda *_: next(scores))
  point, own = Point("lrp", 0, "12"), Workdir(tmp_path / "lrp-12-seed0")
  config = sweeping._config(mine, point, None, own)
  config_lib.save(inherit.inherit(config, own), own)
  (tmp_path / "importance-lrp-seed0.json").unlink()
  assert sweeping._config(mine, point, None, own).gates == config.gates


def test_baselines_may_have_other_sizes(tmp_path, monkeypatch):
  three = {name: [[1.0] * 4] * 3 for name in finished.gates()}
  finished.make(tmp_path / "two", 39.0)
  finished.make(tmp_path / "three", 39.0, three, model__layers=3)
  mine = finished.wanted(
    tmp_path, baselines=[str(tmp_path / name) for name in ("two", "three")], seeds=2
  )
  monkeypatch.setattr(sweeping, "load", lambda *_: None)
  monkeypatch.setattr(sweeping.importance, "scores", lambda *_: three)
  chosen = sweeping._heads(mine, Point("lrp", 1, "50%"))
  assert [sum(map(sum, layers)) for layers in chosen.values()] == [0, 6, 12]


def test_scores_are_measured_once_and_anew_where_their_file_is_damaged(tmp_path, monkeypatch):
  finished.make(tmp_path / "a", 39.0)
  sweep = finished.wanted(tmp_path, baselines=[str(tmp_path / "a")])
  monkeypatch.setattr(sweeping, "load", lambda *_: None)
  measured = []
  scores = lambda *_: measured.append(1) or finished.gates(1, 4, 7)
  monkeypatch.setattr(sweeping.importance, "scores", scores)
  path, point = tmp_path / "importance-lrp-seed0.json", Point("lrp", 0, "5")
  chosen = sweeping._heads(sweep, point)
  assert sweeping._heads(sweep, point) == chosen and len(measured) == 1
  known = json.loads(path.read_text())
  one_layer = {name: rows[:1] for name, rows in finished.gates().items()}
  for count, damage in enumerate(
    ("[]", "{", "{}", *(json.dumps(known | {"scores": x}) for x in ({}, one_layer, "x"))), 2
  ):
    path.write_text(damage)
    assert sweeping._heads(sweep, point) == chosen and len(measured) == count
    assert json.loads(path.read_text()) == known
  start = Workdir(tmp_path / "a")
  start.finish(dataclasses.replace(start.read_summary(), step=200), finished.gates())
  assert sweeping._heads(sweep, point) == chosen and len(measured) == count + 1
