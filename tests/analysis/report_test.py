"""Tests of headprune.analysis.report: what the page says, and that it needs nothing else."""

import html.parser
import json
import re

import pytest

from headprune.analysis import report

RESULT = {
  "run": "a<b",
  "options": {
    "limits": {"positional": 0.9, "syntactic": 0.1, "rare": 0.5, "aligning": 0.4, "cases": 50}
  },
  "sentences": {"text": 1000, "parsed": 20},
  "loss": 1.5,
  "heads": {"enc_self": [[1.0, 0.0], [0.5]], "dec_self": [[], [1.0]], "dec_enc": [[1.0], [1.0]]},
  "scores": {
    "confidence": {
      "enc_self": [[0.25, 0.125], [0.75]], "dec_self": [[], [0.5]], "dec_enc": [[1.0], [0.0]],
    },
    "alignment error, writing": {"dec_enc": [[0.375], [0.625]]},
  },
  "encoder": {
    "rarest": [[0.1, 0.9], [0.6]],
    "position -1": [[0.95, 0.0], [0.0]],
    "obj head→dep": [[0.4, 0.99], [0.7]],
  },
  "relations": {"obj head→dep": {"offset": 2, "baseline": 0.41, "cases": 100}},
  "labels": [[["position -1"], []], [["obj head→dep", "rare words"]]],
  "functions": {"position -1": [[0, 0]], "obj head→dep": [[1, 0]], "rare words": [[1, 0]]},
  "kinds": {"positional": 1, "syntactic": 1, "rare words": 0, "unknown": 0},
  "aligning": [[0, 0]],
  "correlations": {"enc_self": {"names": ["confidence", "gate"], "matrix": [[1, -0.5], [-0.5, 1]]}},
  "maps": [
    {
      "source": ["</script>", "_EOS_"], "target": ["b", "_EOS_"],
      "weights": {
        "enc_self": [[[[0, 255], [255, 0]]] * 2, [[[0, 255], [255, 0]]]],
        "dec_self": [[], [[[255, 0], [0, 255]]]],
        "dec_enc": [[[[255, 0], [0, 255]]], [[[255, 0], [0, 255]]]],
      },
    }
  ],
}  # fmt: skip
COMPARED = {
  "before": [{"run": "dense", "kinds": dict.fromkeys(RESULT["kinds"], 7)}],
  "outcomes": [{"function": "position +1", "outcome": "lost", "before": [[0, 9]], "after": []}],
}


class Page(html.parser.HTMLParser):
  """Tables as rows of texts, the other text, and every address in the page."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.rows, self.addresses, self.open = [], [], [], []
    self.text = ""
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.addresses += [value for name, value in attrs if name in ("src", "href")]
    self.open.append(tag)
    if tag == "table":
      self.tables.append([])
    if tag == "tr":
      self.tables[-1].append([])
    if tag in ("td", "th"):
      self.tables[-1][-1].append("")

  def handle_endtag(self, tag):
    while self.open.pop() != tag:
      pass

  def handle_data(self, data):
    if {"td", "th"} & set(self.open):
      self.tables[-1][-1][-1] += data
    elif not {"style", "script"} & set(self.open):
      self.text += data


@pytest.fixture
def page(tmp_path):
  def write(result, pictures=()):
    path = tmp_path / "report.html"
    report.write(result, path, dict(pictures))
    return path.read_text(encoding="utf-8")

  return write


def test_functions_name_their_heads(page):
  parsed = Page(page(RESULT))
  assert parsed.tables[0] == [
    ["function", "heads", "which", "how strong"],
    ["position -1", "1", "1.1", "95%"],
    ["obj head→dep", "1", "2.1", "70%, baseline 41%"],
    ["rare words", "1", "2.1", "60%"],
  ]
  assert "5 of 6 heads open" in parsed.text and "1,000 sentence pairs" in parsed.text
  assert "Heads of a<b" in parsed.text


def test_aligning_heads_if_there_were_alignments(page):
  words = "open cross-attention heads align words"
  assert f"1 of 2 {words} (error rate of at most 40%): 1.1." in Page(page(RESULT)).text
  assert (
    f"0 of 2 {words} (error rate of at most 40%)." in Page(page(RESULT | {"aligning": []})).text
  )
  assert words not in Page(page(RESULT | {"aligning": None})).text


def test_grids_of_where_encoder_heads_look(page):
  parsed = Page(
    page(RESULT | {"encoder": RESULT["encoder"] | {"position -2": [[0.4, 0.3], [0.2]]}})
  )
  assert [["", "1", "2"], ["2", "0.600", ""], ["1", "0.100", "×"]] in parsed.tables
  assert "rarest" in parsed.text and "position -1" in parsed.text
  assert "position -2" not in parsed.text


def test_best_head_of_a_relation_is_open(page):
  tables = Page(page(RESULT)).tables
  assert tables[1][1] == ["obj head→dep", "100", "70.0%", "41.0%", "+29.0", "+2", "2.1"]


def test_grids_and_the_table_of_all_heads(page):
  tables = Page(page(RESULT)).tables
  assert tables[2] == [["", "1", "2"], ["2", "0.750", ""], ["1", "0.250", "×"]]  # layer 1 below
  (everything,) = [t for t in tables if t[0][:2] == ["type", "head"]]
  assert everything[0] == ["type", "head", "confidence", "alignment error, writing", "functions"]
  assert everything[2] == ["encoder self-attention", "1.2", "0.125", "", ""]
  assert everything[3][-1] == "obj head→dep, rare words"
  assert everything[-1] == ["cross-attention", "2.1", "0.000", "0.625", ""]


def test_before_and_after(page):
  assert "Before and after" not in page(RESULT)
  parsed = Page(page(RESULT | COMPARED))
  assert parsed.tables[1][1] == ["position +1", "lost", "1.10", "none"]
  assert parsed.tables[2][1] == ["positional", "7", "1"]


def test_the_page_needs_nothing_else(page):
  text = page(RESULT, {"gates.svg": b"<svg/>", "gates.gif": b"GIF"})
  addresses = Page(text).addresses
  assert len(addresses) == 2 and all(a.startswith("data:image/") for a in addresses)
  assert not re.findall(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_maps_cannot_end_their_script(page):
  text = page(RESULT)
  embedded = re.search(r'<script type="application/json" id="maps">(.*?)</script>', text, re.S)[1]
  assert json.loads(embedded) == {"maps": RESULT["maps"], "gates": RESULT["heads"]}


def test_sentences_are_named_by_their_words(page):
  pieces = ["\u2581tw", "o", "\u2581dogs", *["\u2581bark"] * 20, "_EOS_"]
  named = RESULT | {"maps": [RESULT["maps"][0] | {"source": pieces}]}
  assert ">two dogs bark bark bark bark bark bark bark …</option>" in page(named)


def test_nothing_found(page):
  closed = {"enc_self": [[0.0, 0.0], [0.0]], "dec_self": [[], [0.0]], "dec_enc": [[0.0], [0.0]]}
  nothing = {"functions": {}, "correlations": {}, "maps": []}
  parsed = Page(page(RESULT | nothing | {"heads": closed}))
  assert "0 of 6 heads open" in parsed.text and "No open encoder head" in parsed.text
