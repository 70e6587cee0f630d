"""Tests of headprune.curve.figures: what is drawn, not how it looks."""

import dataclasses
import shutil

import numpy as np
import pytest

from headprune.analysis import result as result_lib
from headprune.curve import aggregate, figures, rows
from headprune.runs import stored
from headprune.runs.workdir import Workdir
from tests.analysis.results import RESULT
from tests.curve import runs


def line(axes, label):
  (found,) = [found for found in axes.lines if found.get_label() == label]
  return np.array(found.get_xydata()).tolist()


def marks(axes):
  """Points of single runs, in the order of the methods."""
  return [found.get_xydata().tolist() for found in axes.lines if found.get_linestyle() == "None"]


def test_which_figures_there_are(sweep):
  assert list(figures.draw(sweep)) == ["bleu", "types", "layers"]
  encoder = [dataclasses.replace(row, types=("enc_self",)) for row in sweep if row.wanted]
  both = figures.draw([*sweep, *encoder])
  assert list(both) == ["bleu", "types", "layers", "bleu-2", "layers-2"]
  assert figures.draw([row for row in sweep if row.method == "baseline"]) == {}
  assert list(figures.draw([row for row in sweep if row.method == "scratch"])) == ["bleu"]


def test_models_of_other_sizes_have_figures_of_their_own(tmp_path):
  for layers in (2, 3):
    heads = {name: [[1.0] * 2 + [0.0] * 2] * layers for name in runs.gates()}
    learned = {"gates__kind": "concrete", "l0__target_heads": "50%", "model__layers": layers}
    runs.make(tmp_path / str(layers), 39.0, heads, **learned)
  drawn = figures.draw(rows.rows(sorted(tmp_path.iterdir())))
  assert list(drawn) == ["bleu", "types", "layers", "bleu-2", "types-2", "layers-2"]
  assert drawn["bleu-2"].axes[0].get_xlabel() == "heads kept of 36"


def test_bleu_against_heads(sweep):
  trained, changes, before = figures.draw(sweep)["bleu"].axes
  assert line(trained, "l0") == [[12, 39.75], [6, 38.5]]
  assert line(trained, "scratch") == [[12, 37.0]]
  assert marks(trained)[0] == [[12, 39.0], [12, 40.5], [6, 38.0], [7, 39.0]]
  assert [y for _, y in line(trained, "control")] == [40.0, 40.0]
  low, high = (band.get_y() for band in trained.patches)  # baseline, control
  assert low == pytest.approx(39.5 - 0.5**0.5) and high == pytest.approx(40 - 0.5**0.5)
  assert trained.get_ylabel() == "test BLEU" and trained.get_xlabel() == "heads kept of 24"
  assert line(changes, "l0") == [[0.5, -0.25], [0.25, -1.5]]
  assert line(changes, "Voita et al. 2019, WMT")[0] == [1.0, 0.0]
  assert line(before, "gradient, untuned") == [[12, 20.0]]
  assert "before any training" in before.get_xlabel()


def test_a_method_is_drawn_alike_in_all_panels(sweep):
  trained, changes, _ = figures.draw(sweep)["bleu"].axes
  styles = lambda axes: {
    found.get_label(): (found.get_color(), found.get_linestyle(), found.get_marker())
    for found in axes.lines
    if found.get_label() in ("l0", "gradient", "scratch")
  }
  assert styles(trained) == styles(changes) and len(set(styles(trained).values())) == 3


def test_without_controls_there_is_one_panel(sweep):
  learned = [row for row in sweep if row.method == "l0"]
  assert len(figures.draw(learned)["bleu"].axes) == 1


def test_heads_by_type(sweep):
  learned, gradient = figures.draw(sweep)["types"].axes
  assert [learned.get_title(), gradient.get_title()] == ["l0", "gradient"]
  assert line(learned, "encoder self-attention") == [[12, 1], [6.5, 1.5]]
  assert line(learned, "cross-attention") == [[12, 7], [6.5, 4]]
  assert line(gradient, "decoder self-attention") == [[12, 4]]
  # 14 of 48 encoder heads when 75 of 144 are left: here of 8 and 24.
  assert line(learned, "Voita et al. 2019, WMT")[1] == pytest.approx([24 * 75 / 144, 8 * 14 / 48])


def test_the_papers_share_of_three_types_is_not_drawn_beside_two(sweep):
  two = [dataclasses.replace(row, types=("dec_self", "dec_enc")) for row in sweep if row.wanted]
  learned, _ = figures.draw(two)["types"].axes
  assert not any("Voita" in str(found.get_label()) for found in learned.lines)


def test_heads_by_layer(sweep):
  panels = figures.draw(sweep)["layers"].axes
  assert len(panels) == 6 and panels[2].get_title() == "l0: cross-attention"
  assert line(panels[2], "layer 1") == [[12, 4], [6.5, 4]]
  assert line(panels[2], "layer 2") == [[12, 3], [6.5, 0]]


def analyse(path, **changes):
  result_lib.write(Workdir.at(path), dataclasses.replace(RESULT, **changes))


def test_settings_of_as_many_heads_have_bars_of_their_own(tmp_path):
  for name, wanted in (("12", "12"), ("two-a-layer", "2 a layer")):
    learned = {"gates__kind": "concrete", "l0__target_heads": wanted, "init_from": "nowhere"}
    runs.make(tmp_path / name, 39.0, runs.gates(4, 4, 4), **learned)
    analyse(tmp_path / name)
  (group,) = aggregate.groups(rows.rows(sorted(tmp_path.iterdir())))
  axes, _ = figures.functions_retained(group).axes
  assert [label.get_text() for label in axes.get_xticklabels()] == [
    "2\nl0\n12", "2\nl0, by layer\n12",
  ]  # fmt: skip


def test_a_model_with_all_heads_is_named_by_those_of_the_types_that_others_lose(tmp_path):
  runs.make(tmp_path / "baseline", 39.0)
  encoder = {"gates__kind": "concrete", "gates__types": ("enc_self",), "l0__target_heads": "3"}
  runs.make(tmp_path / "l0", 38.0, runs.gates(3), init_from=str(tmp_path / "baseline"), **encoder)
  for name in ("baseline", "l0"):
    analyse(tmp_path / name)
  (group,) = aggregate.groups(rows.rows(sorted(tmp_path.iterdir())))
  axes, _ = figures.functions_retained(group).axes
  assert [label.get_text() for label in axes.get_xticklabels()] == ["2\nbaseline\n8", "2\nl0\n3"]


def test_functions_of_analysed_runs(tmp_path, capsys, monkeypatch):
  found = rows.rows(runs.sweep(tmp_path))
  at = lambda name: tmp_path / name
  analyse(at("control-1"))
  analyse(at("l0-12-0"), functions=())
  analyse(at("l0-12-1"))  # one bar for both seeds
  analyse(at("gradient-12-0"), functions=())  # as it was trained on: no bar of before
  analyse(at("scratch-12-0"), settings={"sentences": 7}, run="odd")
  axes, _ = figures.draw(found)["functions"].axes
  assert [label.get_text() for label in axes.get_xticklabels()] == [
    "2\ncontrol\n24", "2\nl0\n12", "2\ngradient\n12",
  ]  # fmt: skip
  assert [bar.get_height() for bar in axes.patches] == [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 2]
  assert "odd was analysed otherwise" in capsys.readouterr().err
  analyse(at("control-1"), checkpoint="best", run="early")  # nor is control-0 analysed
  analyse(at("l0-12-0"), checkpoint="50", run="half")
  axes, _ = figures.draw(found)["functions"].axes
  names = [label.get_text() for label in axes.get_xticklabels()]
  assert names == ["2\nl0\n12", "2\ngradient\n12"]
  assert [bar.get_height() for bar in axes.patches[:2]] == [1, 0], "of l0-12-1"
  told = capsys.readouterr().err
  assert "note: early was analysed at checkpoint best, not the last one: no bar of" in told
  assert "note: half was analysed at checkpoint 50, not the last one: no bar of" in told
  monkeypatch.setattr(stored, "last_step", lambda workdir: 800)
  analyse(at("l0-12-0"), step=600, run="long ago")
  names = [label.get_text() for label in figures.draw(found)["functions"].axes[0].get_xticklabels()]
  assert names == ["2\nl0\n12", "2\ngradient\n12"], "of l0-12-1"
  assert "note: long ago was analysed at step 600, and trained on since" in capsys.readouterr().err
  for name in ("control-1", "l0-12-0", "l0-12-1", "gradient-12-0", "scratch-12-0"):
    analyse(at(name), kinds=(), functions=())
  assert "functions" not in figures.draw(found), "no kinds, no bars"
  shutil.rmtree(at("scratch-12-0"))
  (group,) = aggregate.groups(found)
  assert figures.functions_retained(group) is None
