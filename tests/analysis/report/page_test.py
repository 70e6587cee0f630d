"""Tests of headprune.analysis.report.page: the parts together, and that they need nothing else."""

import dataclasses
import re
import urllib.parse

from headprune.analysis.report import maps as maps_lib
from headprune.analysis.report import page as page_lib
from headprune.analysis.report import pruning, quality
from headprune.analysis.result import Column, Table
from headprune.runs.summary import Summary
from tests.analysis.page import Page
from tests.analysis.results import CLOSED, GATES, RESULT

MAPS = maps_lib.Maps(
  ("</script> & b", "b"),
  ["</script>", "_EOS_"],
  ["b", "_EOS_"],
  {
    "enc_self": [[[[0, 255], [255, 0]]] * 2, [[[0, 255], [255, 0]]]],
    "dec_self": [[], [[[255, 0], [0, 255]]]],
    "dec_enc": [[[[255, 0], [0, 255]]], [[[255, 0], [0, 255]]]],
  },
)
HISTORY = pruning.History(
  [10, 20], {"enc_self": [[[255, 128], [0]], [[255, 0], [51]]]}, b"GIF", "concrete"
)


def everything(result=RESULT, before=(), **changes):
  qualities = [quality.Quality("a<b", Summary("trained", dev_bleu=30.0), GATES)]
  parts = {"qualities": qualities, "history": HISTORY, "maps": [MAPS]} | changes
  return page_lib.page(result, before, **parts)


def test_parts_in_order_with_links_to_each():
  page = Page(everything())
  sections = [name for name in page.ids if "#" + name in page.addresses]
  assert sections == [
    "overview", "pruning", "functions", "maps", "importance", "shares", "relations", "heads",
    "agreement",
  ]  # fmt: skip
  links = [address for address in page.addresses if address.startswith("#")]
  assert links == ["#" + name for name in sections]
  assert page.tables[0][1] == ["dev BLEU", "30.00"], "before everything else"
  assert "before" in Page(everything(RESULT, [RESULT])).ids
  spaced = dataclasses.replace(
    RESULT, tables=(dataclasses.replace(RESULT.tables[0], title="A (b)"),)
  )
  assert '<a href="#a-b">a b</a>' in everything(spaced)


def test_wherever_a_run_is_named_so_is_another_checkpoint_than_the_last():
  last = dataclasses.replace(RESULT, run="pruned", checkpoint="250")
  page = everything(last, [dataclasses.replace(RESULT, run="dense", checkpoint="best")])
  page = urllib.parse.unquote(page)  # of the CSV files
  assert "<title>Heads of pruned, checkpoint 250</title>" in page
  assert "<h1>Heads of pruned, checkpoint 250</h1>" in page
  for name, found in (("pruned", "pruned, checkpoint 250"), ("dense", "dense, checkpoint best")):
    assert page.count(name) == page.count(found) > 4


def test_parts_that_a_run_does_not_have_are_left_out():
  page = Page(page_lib.page(dataclasses.replace(RESULT, correlations=(), tables=(), scores=())))
  assert [name for name in page.ids if "#" + name in page.addresses] == [
    "overview", "functions", "heads",
  ]  # fmt: skip
  assert page.data["history"] is None and page.data["maps"] == []


def test_the_data_of_the_scripts_cannot_end_their_element():
  text = everything()
  assert text.count("</script>") == 2
  data = Page(text).data
  assert data["maps"] == [vars(MAPS) | {"text": list(MAPS.text)}] and data["gates"] == GATES
  assert data["labels"] == {
    "enc_self 0 0": ["position -1"],
    "enc_self 1 0": ["obj head→dep", "rare words"],
    "dec_enc 0 0": ["word alignment"],
  }
  assert data["history"] == {
    "steps": [10, 20], "gates": HISTORY.gates, "kind": "concrete",
  }  # fmt: skip


def test_the_page_needs_nothing_else():
  text = everything()
  outside = [address for address in Page(text).addresses if not address.startswith("#")]
  assert {address.partition(";")[0] for address in outside} == {"data:image/gif", "data:text/csv"}
  assert not re.findall(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", text)
  assert "$" not in text, "all places are filled"


def test_letters_can_be_read_on_the_colours_of_kinds():
  found = re.findall(r"--(\w+): (#\w{6})", everything())
  for colors in (dict(reversed(found)), dict(found)):  # light, then dark, as they are told
    page = _luminance(colors["page"])
    for name in ("unknown", *(f"c{i}" for i in range(8))):
      low, high = sorted((page, _luminance(colors[name])))
      assert (high + 0.05) / (low + 0.05) > 4.45, name  # 4.5 suits all text, says WCAG


def _luminance(color):
  """Relative, of WCAG 2."""
  shares = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
  linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_names_of_thumbnails_stay_in_a_line_or_6_10_reads_6_1():
  text = everything()
  assert "white-space: nowrap" in re.search(r"\.layer button {([^}]*)}", text)[1]
  assert ".layer .shut canvas {" in text and ".layer .shut {" not in text, "the name stays readable"


def test_every_element_that_the_scripts_ask_for_is_there():
  text = everything()
  page = Page(text)
  asked = set(re.findall(r'pick\("(\w+)"\)', text)) | {"sentence", "type"}
  assert len(asked) > 10 and asked <= set(page.ids)
  for name in ("panel", "cursor", "grid"):
    assert f'class="{name}"' in text, name


def test_of_a_type_without_heads_no_empty_figure_can_be_saved():
  text = everything()
  assert '<figure data-svg="attention-map"><div id="map"' in text
  assert 'pick("map").parentElement.hidden = !weights;' in text


def test_a_head_can_be_clicked_where_there_are_maps():
  places = [place for grid in Page(everything()).grids for place in grid.places if place]
  assert places[:6] == [
    "enc_self 0 0", "enc_self 0 1", "enc_self 1 0", "dec_self 1 0", "dec_enc 0 0", "dec_enc 1 0",
  ]  # fmt: skip
  assert not [g for g in Page(everything(maps=[])).grids if any(g.places)]
  dense = dataclasses.replace(RESULT, run="dense")
  twice = Page(everything(RESULT, [dense]))
  assert {bool(g.places[0]) for g in twice.grids if "dense" in g.title} == {False}


def test_tables_and_figures_are_files_of_different_names():
  files = Page(everything(RESULT, [RESULT])).files
  assert {"functions.csv", "relations.csv", "open-heads.csv", "confidence.svg"} <= set(files)
  names = [name for name in files if "functions.svg" not in name]
  assert len(set(names)) == len(names)


def test_a_run_without_open_heads_folds_what_is_empty():
  empty = Table("Found", "Nothing", (Column("x"),), ())
  closed = dataclasses.replace(RESULT, heads=CLOSED, functions=(), tables=(empty,))
  page = Page(everything(closed))
  reasons = [summary for summary, _ in page.folded]
  assert "No head is open." in reasons and "Closed heads: 6" in reasons
  assert reasons.count("Encoder self-attention: no head is open in a<b") == 2
  assert "Nothing was found." in reasons
  assert any(reason.startswith("No open head passes a threshold.") for reason in reasons)
