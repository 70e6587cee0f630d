"""Tests of headprune.curve.aggregate: means, deviations and paired differences, by hand."""

import dataclasses

import pytest

from headprune.curve import aggregate
from headprune.curve import rows as rows_lib
from headprune.curve.aggregate import Spread
from headprune.curve.rows import Row
from tests.curve import runs


def row(method="l0", seed=0, bleu=39.0, **changes):
  types, heads = ("enc_self", "dec_self", "dec_enc"), runs.gates(4, 4, 4)
  quality = bleu, bleu, bleu, bleu, 2.5
  given = Row(method, True, types, seed, 12, None, heads, *quality, 60.0, 100, "run", "base")
  return dataclasses.replace(given, **changes)


def test_spread_is_of_the_sample():
  assert aggregate.spread([38.0, None, 39.0, 41.5]) == Spread(39.5, pytest.approx(1.8027756), 3)
  assert aggregate.spread([38.0]) == Spread(38.0, None, 1)
  assert aggregate.spread([None]) is None


def test_points_of_the_sweep(sweep):
  found = aggregate.aggregate(sweep)
  assert [(p.label, p.kept, len(p.rows)) for p in found] == [
    ("baseline", 24, 2), ("control", 24, 2), ("l0", 12, 2), ("l0", 6, 2),
    ("gradient", 12, 2), ("gradient, untuned", 12, 2), ("scratch", 12, 1),
  ]  # fmt: skip
  learned = found[2]
  # 39 and 40.5; the controls have 39.5 and 40.5.
  assert learned.bleu["test"] == Spread(39.75, pytest.approx(1.0606602), 2)
  assert learned.bleu["dev"].mean == 40.75
  assert learned.change["test"] == Spread(-0.25, pytest.approx(0.3535534), 2)
  assert found[5].change["test"] == Spread(-20.0, pytest.approx(0.7071068), 2)
  assert found[6].change["test"] == Spread(-2.5, None, 1)
  assert found[0].change["test"] is None and found[1].change["test"] is None


def test_heads_of_a_point(sweep):
  found = aggregate.aggregate(sweep)[3]
  assert found.open == (6, 7)
  assert found.by_type == {"enc_self": 1.5, "dec_self": 1.0, "dec_enc": 4.0}
  assert found.layers == {"enc_self": [1.5, 0.0], "dec_self": [1.0, 0.0], "dec_enc": [4.0, 0.0]}


def test_differences_are_paired_by_seed():
  rows = [
    row("control", 0, 40.0), row("control", 2, 50.0), row("control", 5, 0.0),
    row(seed=0, bleu=39.0), row(seed=1, bleu=10.0), row(seed=2, bleu=47.0),
  ]  # fmt: skip
  _, learned = aggregate.aggregate(rows)
  assert learned.bleu["test"].n == 3
  assert learned.change["test"] == Spread(-2.0, pytest.approx(1.4142136), 2)


def test_one_seed_counts_once():
  """ "12" and "50%" may be as many heads."""
  rows = [row(seed=seed, bleu=bleu, run=str(bleu)) for seed, bleu in
          ((0, 30.0), (0, 40.0), (1, 32.0), (1, 42.0))]  # fmt: skip
  found = [point.bleu["test"] for point in aggregate.aggregate(rows)]
  assert [(spread.mean, spread.n) for spread in found] == [(31.0, 2), (41.0, 2)]


def test_as_many_heads_in_each_layer_are_a_line_of_their_own():
  by_layer = {"form": "by layer", "setting": (2,)}
  found = [row("gradient", 1, 38.0, **by_layer), row("gradient", bleu=39.0), row("l0")]
  found.append(row("gradient", bleu=30.0, **by_layer))
  (group,) = aggregate.groups(found)
  assert list(group.lines) == ["l0", "gradient", "gradient, by layer"]
  (layers,) = group.lines["gradient, by layer"]
  assert (layers.kept, layers.bleu["test"].mean, len(layers.rows)) == (12, 34.0, 2)


def test_a_control_is_measured_on_the_same_text_in_the_same_way(tmp_path):
  own = {"init_from": "base", "gates__kind": "fixed"}
  runs.make(tmp_path / "a", 39.5, init_from="base")
  runs.make(tmp_path / "b", 39.0, **own, train__batch_tokens=64)
  runs.make(tmp_path / "c", 20.0, **own, eval__tokenize="13a")
  runs.make(tmp_path / "d", 20.0, **own, data__text__test_src="x", data__text__test_tgt="y")
  rows = rows_lib.rows(tmp_path / name for name in "abcd")
  assert [aggregate.control_bleu(row, rows, "test") for row in rows] == [None, 39.5, None, None]


def test_a_control_of_the_same_types_goes_first():
  encoder = {"types": ("enc_self",)}
  rows = [row("control", run="all"), row("control", run="encoder", **encoder)]
  assert aggregate.control_of(row(**encoder), rows).run == "encoder"
  assert aggregate.control_of(row(), rows).run == "all"
  assert aggregate.control_of(row(types=("dec_enc",)), rows).run == "all", "any of the seed"
  assert aggregate.control_of(row(seed=1), rows) is None
  assert aggregate.control_of(row("baseline"), rows) is None


def test_runs_without_bleu_count_where_they_can():
  rows = [row("control"), row(bleu=38.0, test_bleu=None)]
  assert aggregate.common_split(rows) == "dev" and aggregate.common_split(rows[:1]) == "test"
  (group,) = aggregate.groups(rows)
  (found,) = group.settings
  assert group.split == "dev" and found.change == {"dev": Spread(-1.0, None, 1), "test": None}


def test_groups_by_attention_types(sweep):
  (group,) = aggregate.groups(sweep)
  assert (group.total, group.split) == (24, "test")
  assert list(group.lines) == ["l0", "gradient", "gradient, untuned", "scratch"]
  assert [(s.method, s.bleu["test"].mean) for s in group.unpruned] == [
    ("baseline", 39.5), ("control", 40.0),
  ]  # fmt: skip
  encoder = row(types=("enc_self",), wanted=4, size=sweep[0].size, measured=sweep[0].measured)
  first, second = aggregate.groups([*sweep, encoder])
  assert first == dataclasses.replace(group, unpruned=first.unpruned)
  assert second.total == 8 and [setting.kept for setting in second.settings] == [4]
  assert second.unpruned == group.unpruned, "controls of any types"
  (alone,) = aggregate.groups([row("baseline")])
  assert alone.settings == () and alone.total == 24


def test_models_of_other_sizes_have_groups_of_their_own(tmp_path):
  for layers in (2, 3, 4):
    heads = {name: [[1.0] * 4] * layers for name in runs.gates()}
    own = {"init_from": str(tmp_path / f"{layers}-base"), "model__layers": layers}
    runs.make(tmp_path / f"{layers}-base", 30.0 + layers, heads, model__layers=layers)
    if layers < 4:
      few = {name: [[1.0, 0.0, 0.0, 0.0]] * layers for name in heads}
      learned = {"gates__kind": "concrete", "l0__target_heads": "25%"}
      runs.make(tmp_path / f"{layers}-l0", 29.0, few, **learned, **own)
  groups = aggregate.groups(rows_lib.rows(sorted(tmp_path.iterdir())))
  assert [group.total for group in groups] == [24, 36, 48]
  assert [[s.kept for s in group.settings] for group in groups] == [[6], [9], []]
  assert [[s.bleu["test"].mean for s in group.unpruned] for group in groups] == [[32], [33], [34]]


def test_models_of_other_texts_have_groups_of_their_own(tmp_path):
  for locale, bleu in (("de", 60.0), ("ru", 70.0)):
    own = {"data__kind": "corpus", "data__corpus__kind": "cldr", "data__corpus__locale": locale}
    base = own | {"init_from": str(tmp_path / f"{locale}-base")}
    runs.make(tmp_path / f"{locale}-base", bleu, **own)
    few, learned = runs.gates(2, 2, 2), {"gates__kind": "concrete", "l0__target_heads": "25%"}
    runs.make(tmp_path / f"{locale}-l0", bleu - 1.0, few, **learned, **base)
  groups = aggregate.groups(rows_lib.rows(sorted(tmp_path.iterdir())))
  assert [group.text for group in groups] == ["locale de", "locale ru"]
  assert [[s.bleu["test"].mean for s in group.settings] for group in groups] == [[59], [69]]
  assert [[s.bleu["test"].mean for s in group.unpruned] for group in groups] == [[60], [70]]


def test_dev_bleu_is_of_one_text_whether_there_is_a_test_set_or_not(tmp_path):
  own = {"data__text__dev_src": "x", "data__text__dev_tgt": "y"}
  test = {"data__text__test_src": "z", "data__text__test_tgt": "z"}
  runs.make(tmp_path / "base", 39.0, **own, **test)
  learned = {"gates__kind": "concrete", "l0__target_heads": "25%"}
  runs.make(tmp_path / "l0", 38.0, **learned, **own)
  found = rows_lib.rows([tmp_path / "base", tmp_path / "l0"])
  found[1] = dataclasses.replace(found[1], test_bleu=None)
  (group,) = aggregate.groups(found)
  assert (group.split, group.text, len(group.unpruned)) == ("dev", "", 1)


def test_hits_count_runs_that_learned_what_to_keep(sweep):
  assert aggregate.hits(sweep) == (3, 4), "seed 1 kept 7 heads for 6"
  assert aggregate.hits([row("gradient"), row(wanted=None, coef=0.5), row("topk")]) == (1, 1)


def test_runs_of_one_cost_stand_together():
  cost = {"wanted": None, "coef": 0.5}
  some, others = runs.gates(2, 3, 4), runs.gates(2, 3, 6)
  rows = [row(heads=some, **cost), row(heads=others, seed=1, **cost), row(wanted=None, coef=0.1)]
  first, second = aggregate.aggregate(rows)
  assert (first.kept, first.open, second.kept, second.open) == (12, (12, 12), 10, (9, 11))
  assert first.label == second.label == "l0, by cost" != row().label
  (group,) = aggregate.groups([*rows, row()])
  assert list(group.lines) == ["l0", "l0, by cost"]


def test_methods_have_one_order():
  names = "other", "scratch", "random", "gradient", "topk", "l0", "control", "baseline"
  found = [setting.method for setting in aggregate.aggregate([row(name) for name in names])]
  assert found == [*reversed(names[1:]), "other"]


def test_a_control_that_started_elsewhere_is_another_ones():
  rows = [
    row("control", bleu=30.0, init_from="other"), row("control", bleu=40.0),
    row(bleu=39.0), row("scratch", bleu=20.0, init_from=""),
  ]  # fmt: skip
  assert aggregate.control_of(rows[2], rows) is rows[1]
  assert aggregate.control_of(rows[3], rows) is None, "there are two, and it started at neither"
  assert aggregate.control_of(rows[3], rows[1:]) is rows[1]
  assert aggregate.control_of(rows[2], rows[:1]) is None, "the only control is not its own"


def test_a_control_was_trained_on_for_as_long_and_with_the_same_loss():
  short, long = row("control", run="short", steps=10), row("control", run="long", steps=20)
  rows = [short, long, row("mrt", run="mrt", steps=20, loss="mrt")]
  assert aggregate.control_of(row(steps=20), rows) is long
  assert aggregate.control_of(row(steps=30), rows) is None
  assert aggregate.control_of(row(steps=20, loss="mrt"), rows) is rows[2]
  assert aggregate.control_of(row("scratch", init_from="", steps=90), rows) is None, "of two"
  assert aggregate.control_of(row("scratch", init_from="", steps=90), rows[1:]) is long
  assert [aggregate.control_of(one, rows) for one in rows] == [None] * 3


def test_a_control_started_from_the_same_checkpoint():
  early = {"init_checkpoint": "500"}
  rows = [row("control", bleu=30.0, **early), row("control", bleu=40.0), row(bleu=39.0)]
  rows += [row(bleu=29.0, **early), row(seed=1, bleu=50.0), row(init_checkpoint="best")]
  assert [aggregate.control_of(one, rows) for one in rows[2:4]] == [rows[1], rows[0]]
  assert aggregate.control_of(rows[5], rows) is None


def test_a_control_is_the_one_most_like_the_row():
  rate = lambda x: (("rate", x), ("size", 8))
  rows = [row("control", run=str(x), setting=rate(x)) for x in (1, 2)]
  assert aggregate.control_of(row(setting=(*rate(2), ("gates", 1))), rows) is rows[1]


def test_unpruned_runs_of_other_settings_stand_apart():
  rows = [
    row("baseline", 0, 90.0, setting=(128,)), row("baseline", 1, 92.0, setting=(128,)),
    row("baseline", 0, 70.0, setting=(32,)), row("mrt", 0, 91.0, setting=(128,)),
  ]  # fmt: skip
  (group,) = aggregate.groups(rows)
  assert [(s.method, s.bleu["test"].mean, len(s.rows)) for s in group.unpruned] == [
    ("baseline", 91.0, 2), ("baseline", 70.0, 1), ("mrt", 91.0, 1),
  ]  # fmt: skip


def test_other_settings_are_no_seeds():
  rows = [row(bleu=39.0, setting=(1,)), row(bleu=37.0, setting=(2,)), row(seed=1, setting=(2,))]
  assert [len(setting.rows) for setting in aggregate.aggregate(rows)] == [1, 2]
