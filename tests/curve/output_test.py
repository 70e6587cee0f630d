"""Tests of headprune.curve.output."""

import json

from headprune.curve import output
from headprune.curve.markdown import markdown
from headprune.curve.rows import to_csv
from headprune.curve.structures import structures


def test_files_of_the_sweep(sweep, tmp_path):
  p = {(row.run, row.tuned): 0.5 for row in sweep}
  folder = tmp_path / "new" / "folder"
  output.write(sweep, folder, p)
  assert sorted(path.name for path in folder.iterdir()) == [
    "bleu.svg", "curve.csv", "curve.html", "curve.md", "layers.svg", "structures.json", "types.svg",
  ]  # fmt: skip
  read = lambda name: (folder / name).read_text(encoding="utf-8")
  assert read("curve.csv") == to_csv(sweep, p) and read("curve.md") == markdown(sweep, p)
  assert json.loads(read("structures.json")) == structures(sweep)
  assert read("bleu.svg").startswith("<?xml") and read("curve.html").startswith("<!doctype html>")
  for name in ("bleu-2", "speed", "own"):
    (folder / f"{name}.svg").write_text("of other runs")
  output.write(sweep[:1], folder)
  assert read("curve.csv") == to_csv(sweep[:1]), "what was there is replaced"
  assert [path.name for path in folder.glob("*.svg")] == ["own.svg"], "one run has no figures"
