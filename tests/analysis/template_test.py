"""Tests of headprune.analysis.template."""

import json

from headprune.analysis import template


def test_pages_share_style_and_scripts(tmp_path):
  (tmp_path / "page.html").write_text("<style>$style</style>$body<script>$scripts</script>")
  (tmp_path / "own.js").write_text("own();")
  text = template.fill(tmp_path / "page.html", [tmp_path / "own.js"], body="<p>$style</p>")
  assert text.startswith("<style>:root {") and "<p>$style</p>" in text
  assert '<script>"use strict";\n' in text and text.endswith("\nown();</script>")
  assert 'querySelectorAll("table.sortable")' in text


def test_json_cannot_end_its_element():
  text = template.script_json({"é": "</script>"})
  assert "<" not in text and "é" in text and json.loads(text) == {"é": "</script>"}
