"""Tests of headprune.curve.rows: what a folder becomes, and which folders become nothing."""

import csv
import dataclasses
import json
import os

from ml_collections import ConfigDict
import pytest

from headprune.curve import aggregate, rows
from headprune.errors import UserError
from headprune.files import write_json
from headprune.runs.summary import Summary
from tests.curve import runs

ENCODER = {"gates__types": ("enc_self",), "init_from": "runs/baseline"}


@pytest.mark.parametrize(
  "kind, chosen_by, init_from, loss, method",
  [
    ("none", "", "", "cross-entropy", "baseline"),
    ("none", "", "runs/baseline", "cross-entropy", "control"),
    ("none", "", "runs/baseline", "mrt", "mrt"),
    ("concrete", "", "runs/baseline", "mrt", "l0"),
    ("topk", "", "runs/baseline", "cross-entropy", "topk"),
    ("fixed", "", "runs/baseline", "cross-entropy", "fixed"),
    ("fixed", "lrp", "runs/baseline", "cross-entropy", "lrp"),
    ("fixed", "lrp", "", "cross-entropy", "scratch"),
    ("fixed", "onepass", "runs/trunk", "cross-entropy", "onepass"),
  ],
)
def test_methods(kind, chosen_by, init_from, loss, method):
  gates, train = {"kind": kind, "chosen_by": chosen_by}, {"loss": loss}
  config = ConfigDict({"gates": gates, "init_from": init_from, "train": train})
  assert rows.method(config) == method


def test_a_run_with_a_target(tmp_path):
  learned = {"gates__kind": "concrete", "l0__target_heads": "33%", "seed": 7}
  runs.make(tmp_path / "a", 39.5, runs.gates(enc_self=2), **ENCODER, **learned)
  (row,) = rows.rows([tmp_path / "a"])
  assert (row.method, row.tuned, row.types, row.seed) == ("l0", True, ("enc_self",), 7)
  assert row.wanted == 3, "33% of 8, rounded up"
  assert (row.open, row.coef) == (2, None)
  assert row.counts == {"enc_self": [2, 0], "dec_self": [4, 4], "dec_enc": [4, 4]}
  assert (row.dev_bleu, row.test_bleu, row.dev_loss) == (40.5, 39.5, 2.5)
  assert (row.dev_chrf, row.test_chrf) == (50.5, 49.5)
  assert (row.seconds, row.step, row.init_from) == (60.0, 100, "runs/baseline")
  assert row.run == str(tmp_path / "a") and row.heads == runs.gates(enc_self=2)


def test_without_a_target_heads_have_a_cost(tmp_path):
  learned = {"gates__kind": "concrete", "l0__coef": 0.5}
  runs.make(tmp_path / "a", 39.5, runs.gates(enc_self=2), **ENCODER, **learned)
  (row,) = rows.rows([tmp_path / "a"])
  assert (row.wanted, row.coef, row.label) == (None, 0.5, "l0, by cost")


def test_fixed_gates_are_wanted_as_they_are_and_may_be_known_before_training(tmp_path):
  fixed = {"gates__kind": "fixed", "gates__chosen_by": "random"}
  first = {"dev_bleu": 12.5, "test_bleu": 11.5, "test_chrf": 30.0}
  runs.make(tmp_path / "a", 39.5, runs.gates(enc_self=2), first, **ENCODER, **fixed)
  before, after = rows.rows([tmp_path / "a"])
  assert (before.tuned, before.label) == (False, "random, untuned")
  assert (before.dev_bleu, before.test_bleu, before.dev_loss) == (12.5, 11.5, None)
  assert (before.dev_chrf, before.test_chrf) == (None, 30.0)
  assert (before.seconds, before.step, before.wanted) == (0.0, 0, 2)
  changed = (
    "tuned", "dev_bleu", "test_bleu", "dev_chrf", "test_chrf", "dev_loss", "seconds", "step",
  )  # fmt: skip
  same = dataclasses.replace(before, **{name: getattr(after, name) for name in changed})
  assert same == after and after.tuned and after.label == "random"


def test_new_parameters_and_learned_gates_are_not_told_before_training(tmp_path):
  first = {"dev_bleu": 0.5}
  runs.make(tmp_path / "scratch", 39.5, None, first, gates__kind="fixed")
  runs.make(tmp_path / "l0", 39.5, None, first, gates__kind="concrete")
  late = {"gates__kind": "fixed", "init_from": "runs/baseline"}
  runs.make(tmp_path / "no-bleu", 39.5, None, {"dev_loss": 0.5}, **late)
  runs.make(tmp_path / "late", 39.5, None, {"step": 50, "dev_bleu": 0.5}, **late)
  assert [row.tuned for row in rows.rows(sorted(tmp_path.iterdir()))] == [True] * 4


def test_folders_that_are_left_out_are_named(tmp_path, capsys):
  runs.make(tmp_path / "done", 39.5)
  runs.make(tmp_path / "going", 39.5).summary.unlink()
  compact = runs.make(tmp_path / "small", 39.5)
  write_json(compact.summary, Summary("compact", "runs/done", "last").to_json())
  converted = runs.make(tmp_path / "taken", 39.5)
  write_json(converted.summary, Summary("converted").to_json())
  runs.make(tmp_path / "stem", 39.5, gates__kind="concrete", gates__chosen_by="trunk")
  (tmp_path / "tables").mkdir()
  (tmp_path / "curve.csv").write_text("a file is no folder\n")
  same = [str(tmp_path / "done"), os.path.relpath(tmp_path / "done")]
  found = rows.rows([*sorted(tmp_path.iterdir()), *same])
  assert [row.run for row in found] == [str(tmp_path / "done")], "once"
  assert capsys.readouterr().err.splitlines() == [
    f"note: {tmp_path}/going is not finished: left out",
    f"note: {tmp_path}/small was cut out of runs/done, not trained: left out",
    f"note: {tmp_path}/stem is a trunk, whose 1:00 of training serve all onepass runs of its seed "
    "together: left out",
    f"note: {tmp_path}/tables is not a run, or has not begun (there is no config.json): left out",
    f"note: {tmp_path}/taken was converted from another model, not trained: left out",
  ]
  with pytest.raises(UserError, match="elsewhere: no such folder"):
    rows.rows([tmp_path / "elsewhere"])


@pytest.mark.parametrize(
  "name, content, message",
  [
    ("config.json", "{", "config.json: not JSON"),
    ("summary.json", "{}", "summary.json: damaged"),
    ("heads.json", "[]", "heads.json: damaged"),
    ("heads.json", '{"enc_self": []}', "heads.json: damaged .*its types are not enc_self, "),
    (
      "heads.json",
      json.dumps(runs.gates() | {"dec_enc": [[1.0]]}),
      "heads.json.dec_enc has 1 layers; the model has 2",
    ),
  ],
)
def test_damaged_files(tmp_path, name, content, message):
  runs.make(tmp_path, 39.5)
  (tmp_path / name).write_text(content)
  with pytest.raises(UserError, match=message):
    rows.rows([tmp_path])


def test_a_damaged_first_row_costs_the_numbers_before_training(tmp_path, capsys):
  fixed = {"gates__kind": "fixed", "init_from": "runs/baseline"}
  runs.make(tmp_path, 39.5, None, {"dev_bleu": 1.0, "test_bleu": "high"}, **fixed)
  assert [row.tuned for row in rows.rows([tmp_path])] == [True]
  assert "metrics.jsonl, line 1 is damaged" in capsys.readouterr().err


def test_names_are_as_short_as_they_can_be(tmp_path):
  for name in ("a/one", "b/one"):
    runs.make(tmp_path / name, 39.5)
  found = rows.rows([tmp_path / "a/one", tmp_path / "b/one"])
  assert list(rows.names(found).values()) == ["a/one", "b/one"]
  assert rows.names(found[:1]) == {str(tmp_path / "a/one"): "one"}
  assert rows.names([]) == {}


def test_csv(tmp_path):
  fixed = {"gates__kind": "fixed", "gates__chosen_by": "a, b", "init_from": "runs/baseline"}
  first = {"dev_bleu": 12.123456}
  runs.make(tmp_path / "a", 39.5, runs.gates(2, 3, 4), first, **fixed)
  found = rows.rows([tmp_path / "a"])
  folder, types = tmp_path / "a", "enc_self+dec_self+dec_enc"
  assert rows.to_csv(found) == (
    "method,tuned,types,seed,wanted,coef,open,enc_self,dec_self,dec_enc,"
    "dev_bleu,test_bleu,dev_chrf,test_chrf,dev_loss,seconds,run\n"
    f'"a, b",false,{types},0,9,,9,2,3,4,12.1235,,,,,0.0,{folder}\n'
    f'"a, b",true,{types},0,9,,9,2,3,4,40.5,39.5,50.5,49.5,2.5,60.0,{folder}\n'
  )
  tested = rows.to_csv(found, {(str(folder), True): 0.123456}).splitlines()
  assert tested[0].endswith(",run,p")
  assert tested[1].endswith("/a,") and tested[2].endswith("/a,0.1235")


def test_a_small_price_of_heads_is_not_rounded_in_csv(tmp_path):
  runs.make(tmp_path / "a", 39.5, gates__kind="concrete", l0__coef=2e-5)
  (line,) = csv.DictReader(rows.to_csv(rows.rows([tmp_path / "a"])).splitlines())
  assert float(line["coef"]) == 2e-5


def test_what_others_start_from_is_a_baseline_however_it_was_trained(tmp_path):
  tuned = str(tmp_path / "tuned")
  runs.make(tmp_path / "tuned", 38.0, init_from="runs/opus")
  runs.make(tmp_path / "control", 40.0, init_from=tuned)
  found = rows.rows([tmp_path / "tuned", tmp_path / "control"])
  assert [row.method for row in found] == ["baseline", "control"]


def test_a_control_that_others_start_from_stays_a_control(tmp_path):
  runs.make(tmp_path / "a", 40.0, init_from="runs/opus")
  learned = {"gates__kind": "concrete", "l0__target_heads": "6"}
  runs.make(tmp_path / "b", 38.0, init_from="runs/opus", **learned)
  runs.make(tmp_path / "c", 41.0, init_from=str(tmp_path / "a"))
  found = rows.rows(sorted(tmp_path.iterdir()))
  assert [row.method for row in found] == ["control", "l0", "control"]
  assert aggregate.control_bleu(found[1], found, "test") == 40.0


def test_runs_of_one_setting_differ_in_seed_and_start_alone(tmp_path):
  learned = {"gates__kind": "concrete", "init_from": "runs/baseline"}
  for name, fields in {
    "a": {"l0__target_heads": "25%"},
    "b": {"l0__target_heads": "6", "seed": 1, "init_from": "runs/other", "train__keep": 9},
    "c": {"l0__target_heads": "enc_self 2, dec_self 2, dec_enc 2"},
    "d": {"l0__target_heads": "6", "optim__gates_factor": 40.0},
    "e": {"l0__per_head": 0.01},
    "f": {"l0__per_head": 0.1},
    "g": {"l0__target_heads": "6", "train__steps": 999},
    "h": {"l0__target_heads": "6", "train__patience": 3},
    "i": {"l0__target_heads": "6", "seed": 2, "data__text__dir": os.getcwd()},
  }.items():
    runs.make(tmp_path / name, 39.0, runs.gates(2, 2, 2), **learned | fields)
  a, b, c, d, e, f, g, h, i = rows.rows(sorted(tmp_path.iterdir()))
  assert a.setting == b.setting == i.setting
  assert len({row.setting for row in (a, c, d, e, f, g, h)}) == 7
  assert [row.wanted for row in (a, b, c, d)] == [6] * 4
  assert (e.coef, f.coef) == (pytest.approx(0.06), pytest.approx(0.6))  # of six modules
  assert [row.label for row in (a, d, c, e)] == [
    "l0, optim.gates_factor 1.0, train.patience 0, train.steps 500",
    "l0, optim.gates_factor 40.0, train.patience 0, train.steps 500",
    "l0, by type", "l0, by cost",
  ]  # fmt: skip


def test_runs_of_one_setting_have_baselines_that_differ_in_their_seed_alone(tmp_path):
  for seed, steps in ((0, 100), (1, 100), (2, 900)):
    base = str(tmp_path / f"base-{seed}")
    runs.make(tmp_path / f"base-{seed}", 39.0, seed=seed, train__steps=steps)
    for name, kind in (("control", "none"), ("l0", "concrete")):
      runs.make(tmp_path / f"{name}-{seed}", 39.0, seed=seed, init_from=base, gates__kind=kind)
  early = {"init_from": base, "gates__kind": "concrete", "init_checkpoint": "500"}
  runs.make(tmp_path / "l0-early", 39.0, seed=3, **early)
  found = aggregate.aggregate(rows.rows(sorted(tmp_path.iterdir())))
  assert [(setting.label, len(setting.rows)) for setting in found] == [
    ("baseline, train.steps 100", 2), ("baseline, train.steps 900", 1),
    ("control, init_from.train.steps 100", 2), ("control, init_from.train.steps 900", 1),
    ("l0, by cost, init_checkpoint 500, init_from.train.steps 900", 1),
    ("l0, by cost, init_checkpoint last, init_from.train.steps 100", 2),
    ("l0, by cost, init_checkpoint last, init_from.train.steps 900", 1),
  ]  # fmt: skip


def test_attention_types_may_stand_in_any_order(tmp_path):
  learned = {"gates__kind": "concrete", "l0__target_heads": "4"}
  for seed, types in enumerate((("enc_self", "dec_enc"), ("dec_enc", "enc_self"))):
    runs.make(tmp_path / str(seed), 39.0, seed=seed, gates__types=types, **learned)
  (setting,) = aggregate.aggregate(rows.rows(sorted(tmp_path.iterdir())))
  assert (setting.types, setting.label) == (("enc_self", "dec_enc"), "l0")


def test_runs_that_are_called_the_same_are_told_apart_by_what_they_differ_in(tmp_path):
  chosen = {"gates__kind": "fixed", "gates__chosen_by": "lrp", "init_from": "runs/baseline"}
  first = {"dev_bleu": 1.0}
  runs.make(tmp_path / "a", 39.0, runs.gates(2, 2, 2), first, train__steps=10, **chosen)
  runs.make(tmp_path / "b", 39.0, runs.gates(1, 1, 1), first, train__steps=20, seed=1, **chosen)
  learned = {"gates__kind": "concrete", "init_from": "runs/baseline", "train__steps": 30}
  runs.make(tmp_path / "c", 39.0, l0__coef=0.1, **learned)
  runs.make(tmp_path / "d", 39.0, l0__coef=0.2, **learned)
  runs.make(tmp_path / "e", 39.0, l0__coef=0.2, **learned, model__ff_size=16)
  runs.make(tmp_path / "f", 39.0, l0__target_heads="1 a layer", **learned)
  runs.make(tmp_path / "g", 39.0, l0__target_heads="2 a layer", **learned)
  assert [row.label for row in rows.rows(sorted(tmp_path.iterdir()))] == [
    "lrp, train.steps 10, untuned", "lrp, train.steps 10",
    "lrp, train.steps 20, untuned", "lrp, train.steps 20",
    *["l0, by cost"] * 3, *["l0, by layer"] * 2,
  ]  # fmt: skip


def test_a_label_says_of_what_a_number_of_heads_was_wanted(tmp_path):
  chosen = {"gates__kind": "fixed", "gates__chosen_by": "gradient", "init_from": "runs/baseline"}
  for name, amount in (("a", "6"), ("b", "1 a layer"), ("c", ""), ("d", "25%")):
    first = {"dev_bleu": 1.0} if name == "b" else None
    fields = chosen | {"gates__chosen_for": amount}
    runs.make(tmp_path / name, 39.0, runs.gates(2, 2, 2), first, **fields)
  a, before, b, c, d = rows.rows(sorted(tmp_path.iterdir()))
  assert [before.label, b.label] == ["gradient, by layer, untuned", "gradient, by layer"]
  assert a.label == c.label == d.label == "gradient" and a.setting == c.setting == d.setting
  assert b.setting != a.setting
  one = {"gates__types": ("enc_self",), "gates__chosen_for": "enc_self 2"}
  runs.make(tmp_path / "e", 39.0, runs.gates(enc_self=2), **chosen | one)
  assert rows.rows([tmp_path / "e"])[0].label == "gradient", "there is but one type"


def test_a_fork_started_where_its_trunk_did(tmp_path):
  trunk = {"gates__kind": "concrete", "gates__chosen_by": "trunk", "l0__target_heads": "6",
           "train__steps": 70}  # fmt: skip
  start = {"init_from": "runs/baseline", "init_checkpoint": "500"}
  runs.make(tmp_path / "trunk", 39.0, **start, **trunk)
  fork = {"gates__kind": "fixed", "gates__chosen_by": "onepass", "train__steps": 30}
  start = {"init_from": str(tmp_path / "trunk"), "init_checkpoint": "66"}
  runs.make(tmp_path / "fork", 39.0, runs.gates(2), **start, **fork)
  (row,) = rows.rows([tmp_path / "fork"])
  (tmp_path / "trunk").rename(tmp_path / "elsewhere")
  assert (row.init_from, row.init_checkpoint, row.steps) == ("runs/baseline", "500", 100)
  (alone,) = rows.rows([tmp_path / "fork"])
  assert (alone.init_from, alone.steps) == (str(tmp_path / "trunk"), 30)
  (tmp_path / "moved").mkdir()
  (tmp_path / "elsewhere").rename(tmp_path / "moved" / "trunk")
  (tmp_path / "fork").rename(tmp_path / "moved" / "fork")
  (moved,) = rows.rows([tmp_path / "moved" / "fork"])
  assert (moved.init_from, moved.steps) == (row.init_from, row.steps)


def test_models_of_another_width_have_another_size(tmp_path):
  for name, fields in {
    "a": {"model__ff_size": 8}, "b": {"model__ff_size": 8, "model__dec_ff_size": 8},
    "c": {"model__ff_size": 8, "model__model_size": 16}, "d": {"model__ff_size": 16},
    "e": {"model__ff_size": 8, "model__dec_layers": 2},
  }.items():  # fmt: skip
    runs.make(tmp_path / name, 39.0, **fields)
  a, b, c, d, e = (row.size for row in rows.rows(sorted(tmp_path.iterdir())))
  assert a == b == e and len({a, c, d}) == 3
