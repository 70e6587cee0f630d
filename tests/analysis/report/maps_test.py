"""Tests of headprune.analysis.report.maps."""

import pathlib
import shutil
import subprocess

import pytest

from headprune.analysis.report import maps
from tests import small_run
from tests.analysis.page import Page
from tests.analysis.results import RESULT


def test_what_one_can_choose():
  text = "two dogs bark bark bark bark bark bark bark bark bark bark"
  found = maps.Maps((text, "b"), ["a"], ["b"], {})
  page = Page(maps.section(RESULT, [found]))
  assert f"{text[:47]}…" in page.text
  assert "encoder self-attention, 2 open" in page.text and "cross-attention, 2 open" in page.text
  assert "that looks is named by the piece that it is about to write; one" in page.text
  assert "is looked at, in decoder self-attention, by the piece that it has read." in page.text
  assert "Matrix" in page.text and "Lines" in page.text and page.files == ["attention-map.svg"]
  assert maps.section(RESULT, []) == ""


def test_sentences_in_any_script_can_be_told_apart():
  lines = "中文句子" * 20, "日本語の文" * 10
  page = maps.section(RESULT, [maps.Maps((line, "b"), ["a"], ["b"], {}) for line in lines])
  assert all(f">{line[:47]}…</option>" in page for line in lines)
  assert page.count(' dir="auto">') == 4, "to choose one of two, and both sides of the chosen one"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_an_arrow_between_letters_from_right_to_left_points_where_it_should():
  call = 'drawMatrix(["א"], ["ב"], [[51]]); console.log(told.textContent)'
  assert _run(call) == "\u2068א\u2069 → \u2068ב\u2069: 0.20\n"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_names_have_the_room_that_they_take_in_bold():
  call = 'console.log(pen.font, longest(["a", "cat"]))'
  assert _run(call) == "bold 12px system-ui, sans-serif 42\n"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_numbers_stay_readable_on_the_strongest_cell():
  call = """drawMatrix(["a"], ["b"], [[255]]);
console.log(made.filter(item => item.class === "cell").map(item => item["fill-opacity"]))"""
  assert _run(call) == "[ 0.62 ]\n"


def _run(call):
  """What a script prints that may call maps.js in a page where a letter takes 10 pixels."""
  script = pathlib.Path(maps.__file__).with_name("maps.js").read_text(encoding="utf-8")
  page = """const told = {clientWidth: 500}, pick = () => told, made = [];
const document = {createElement: () => ({getContext: () => (
  {measureText: name => ({width: 10 * name.length})})})};
const make = (tag, attributes) => {
  made.push(attributes);
  return {addEventListener: (name, call) => call(), classList: {toggle() {}}};
};"""
  command = ["node", "-e", f"{page}{script}\n{call}"]
  return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def test_attention_maps_of_a_run(tmp_path):
  run = small_run.make(tmp_path / "run", model__heads__dec_self=(1, 2))
  (found,) = maps.attention_maps(run, [("a cat", "the dog saw")])
  assert found.text == ("a cat", "the dog saw")
  assert found.source == ["a", "cat", "_EOS_"] and len(found.target) == 4
  assert [len(layer) for layer in found.weights["dec_self"]] == [1, 2]
  (attn,) = run.attention(["a cat"], ["the dog saw"])
  weights = attn.weights["dec_enc"][1, 0] * 255
  assert pytest.approx(weights, abs=0.5) == found.weights["dec_enc"][1][0]
  assert maps.attention_maps(run, []) == []
