"""Tests of headprune.curve.page: what the page says, and that it needs nothing else."""

import json
import re
import urllib.parse

import pytest

from headprune.curve import page, rows
from headprune.curve.markdown import markdown
from tests.analysis.page import Page
from tests.curve import runs


def data(text):
  found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
  return json.loads(found)


def test_what_the_script_draws(sweep):
  found = data(page.page(sweep))
  (group,) = found["groups"]
  assert (group["total"], group["split"]) == (24, "test")
  assert [(line["label"], line["tuned"], line["color"]) for line in group["lines"]] == [
    ("l0", True, 0), ("gradient", True, 1), ("gradient, untuned", False, 1), ("scratch", True, 2),
  ]  # fmt: skip
  learned = group["lines"][0]
  assert learned["means"] == [[12, 39.75], [6, 38.5]]
  assert learned["runs"][-1] == {
    "name": "l0-6-1", "seed": 1, "open": 7, "bleu": 39.0, "change": -1.5, "p": None,
    "heads": runs.gates(2, 1, 4),
  }  # fmt: skip
  control = {"label": "control", "mean": 40.0, "deviation": pytest.approx(0.7071068)}
  assert group["bands"][1] == control
  assert list(found["titles"]) == list(learned["runs"][0]["heads"])


def test_forms_of_a_method_have_colours_of_their_own(tmp_path):
  fields = {"gates__kind": "concrete", "init_from": "baseline"}
  runs.make(tmp_path / "all", 39.0, runs.gates(2, 2, 2), l0__target_heads="6", **fields)
  runs.make(tmp_path / "layers", 38.0, runs.gates(2, 2, 2), l0__target_heads="1 a layer", **fields)
  (group,) = data(page.page(rows.rows([tmp_path / "all", tmp_path / "layers"])))["groups"]
  assert [(line["label"], line["color"]) for line in group["lines"]] == [
    ("l0", 0), ("l0, by layer", 1),
  ]  # fmt: skip


def test_tables(sweep):
  means, single = Page(page.page(sweep)).tables
  assert means[0][:5] == ["method", "may lose heads", "heads", "open", "seeds"]
  assert means[4] == [
    "l0", "all", "6", "6 to 7", "2", "39.500", "0.707", "38.500", "0.707", "-1.50", "-1.50",
  ]  # fmt: skip
  assert means[7][8:] == ["", "-2.50", "-2.50"], "one run has no deviation"
  assert len(single) == 1 + len(sweep) and single[0][-1] == "seconds"
  assert single[1] == [
    "baseline-0", "baseline", "0", "", "24", "8", "8", "8", "40.000", "39.000", "2.500", "60",
  ]  # fmt: skip


def test_open_heads_sort_as_the_numbers_that_they_begin_with(sweep):
  text = page.page(sweep)
  assert "<td>6 to 7</td>" in text and '<th aria-sort="none"><button>open</button>' in text


def test_what_numbers_are_of(sweep):
  assert "BLEU is in percent, loss in nats a token." in Page(page.page(sweep)).text


def test_numbers_beside_the_curve_do_not_reach_its_title(sweep):
  text = page.page(sweep)
  left = int(re.search(r"const left = (\d+)", text)[1])
  assert left - 7 - 35 > 16, "36.25 takes 35 pixels and ends 7 to the left, the title ends at 16"
  assert "min-height" not in text, "no empty room where nothing is chosen yet"


def test_tables_can_be_taken_along(sweep):
  text = page.page(sweep)
  means, single = (urllib.parse.unquote(a).partition(",")[2] for a in Page(text).addresses)
  assert single == rows.to_csv(sweep)
  assert means.splitlines()[4].startswith("l0,all,6,6 to 7,2,39.5,0.7071")
  names = means.splitlines()[0].split(",")
  assert len(set(names)) == len(names), "or whoever reads them by name loses a column"
  assert markdown(sweep).splitlines()[0] in Page(text).text


def test_p_values_are_shown(sweep):
  p = {(sweep[4].run, sweep[4].tuned): 0.0125}
  text = page.page(sweep, p)
  _, single = Page(text).tables
  assert single[0][-1] == "p" and [row[-1] for row in single[4:7]] == ["", "0.013", ""]
  lines = data(text)["groups"][0]["lines"]
  assert [run["p"] for line in lines for run in line["runs"] if run["p"]] == [0.0125]


def test_names_of_runs_and_methods_are_escaped(tmp_path):
  fields = {"gates__kind": "fixed", "gates__chosen_by": "<b>", "init_from": "baseline"}
  runs.make(tmp_path / "</script>" / "x", 39.0, **fields)
  runs.make(tmp_path / "y", 39.0, **fields)
  text = page.page(rows.rows([tmp_path / "</script>" / "x", tmp_path / "y"]))
  assert "<b>" not in text and text.count("</script>") == 2
  assert data(text)["groups"][0]["lines"][0]["runs"][0]["name"] == "</script>/x"
  assert Page(text).tables[1][1][:2] == ["</script>/x", "<b>"]


def test_only_a_baseline_has_tables_alone(tmp_path):
  runs.make(tmp_path, 39.0)
  text = page.page(rows.rows([tmp_path]))
  assert "1 run. " in Page(text).text
  assert "<section" not in text and data(text)["groups"] == [] and len(Page(text).tables) == 2


def test_the_page_needs_nothing_else(sweep):
  text = page.page(sweep)
  assert [a.partition(";")[0] for a in Page(text).addresses] == ["data:text/csv"] * 2
  assert not re.findall(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", text)
  assert "$" not in text, "all places are filled"


def test_every_element_that_the_script_asks_for_is_there(sweep):
  text = page.page(sweep)
  for name in re.findall(r"[\"']\.(\w+)[\"']", text):
    assert f'class="{name}"' in text, name
  assert '<section class="curve" data-group="0">' in text and '"section.curve"' in text
