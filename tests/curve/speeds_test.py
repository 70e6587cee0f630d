"""The table and figure of measured speeds; measuring itself is in tests/sweep_test.py."""

from types import SimpleNamespace

import pytest

from headprune.curve import figures, rows, speeds
from headprune.curve.speeds import Speed
from headprune.errors import UserError
from headprune.nn.config import TYPES
from tests.curve import runs

FOUND = [
  Speed("c/baseline", 48, 1234.4, 1.0, 1.0, 1.0, 1.0),
  Speed("c/l0-6", 6, 2000.0, 1.62, 1.5, 1.75, 2.125),
]


def test_a_line_for_each_number_of_heads():
  assert speeds.table(FOUND).splitlines()[-2:] == [
    "| 48 | 1,234 | 1.00 (1.00 - 1.00) | 1.00 |",
    "| 6 | 2,000 | 1.62 (1.50 - 1.75) | 2.12 |",
  ]


def test_the_figure_shows_both_lines():
  (axes,) = figures.speed(FOUND).axes
  measured, known = axes.lines[0], axes.lines[-1]
  assert list(measured.get_xdata()) == [48, 6] and list(measured.get_ydata()) == [1.0, 1.62]
  assert list(known.get_ydata()) == [1.0, 2.125]


def test_something_to_compare_with_is_needed(sweep):
  with pytest.raises(UserError, match="--speed compares with a baseline or a control"):
    speeds.measure([row for row in sweep if row.method == "l0"])


def test_heads_of_all_types_count_whichever_a_run_may_lose(tmp_path, monkeypatch):
  own = {"init_from": "base", "gates__kind": "fixed", "gates__types": ("enc_self",)}
  runs.make(tmp_path / "other", 39.5, init_from="base", data__text__test_src="x y")
  runs.make(tmp_path / "a", 39.5, init_from="base")
  runs.make(tmp_path / "b", 39.0, runs.gates(2, 8, 8), **own)
  runs.make(tmp_path / "c", 38.0, runs.gates(2, 0, 0), **own | {"gates__types": TYPES})
  runs.make(tmp_path / "e", 38.0, runs.gates(1, 0, 0), **own, eval__beams=1)
  runs.make(tmp_path / "f", 38.0, runs.gates(1, 1, 0), **own, model__precision="float32")
  runs.make(tmp_path / "g", 38.0, runs.gates(1, 1, 1), **own, data__text__test_src="x")
  small = {name: [[1.0] * 4] for name in TYPES}
  runs.make(tmp_path / "d", 38.0, small, **own | {"gates__types": TYPES, "model__layers": 1})
  model = SimpleNamespace(
    translator=SimpleNamespace(config=None), src_tokenizer=SimpleNamespace(encode=lambda x: [[1]]),
    config=SimpleNamespace(eval=SimpleNamespace(beams=1)),
  )  # fmt: skip
  monkeypatch.setattr(speeds, "load", lambda path: model)
  monkeypatch.setattr(speeds.dataclasses, "replace", lambda run, **changes: run)
  monkeypatch.setattr(speeds, "cut", lambda translator: translator)
  one = {"median": 1.0, "ratio": [1.0, 1.0, 1.0]}
  monkeypatch.setattr(speeds.deployed, "measure", lambda small, *_: [one] * len(small))
  monkeypatch.setattr(speeds.deployed, "test_text", lambda run, count: (["x"], ["x"]))
  monkeypatch.setattr(speeds.cost, "pair_flops", lambda *_: 1.0)
  found = speeds.measure(rows.rows(tmp_path / name for name in ("other", *"abcdefg")))
  assert [(one.run[-1], one.open) for one in found] == [("a", 24), ("b", 18), ("c", 2)]
