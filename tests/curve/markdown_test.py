"""Tests of headprune.curve.markdown: the text, word for word."""

import dataclasses

import pytest

from headprune.curve.markdown import markdown, signed
from headprune.curve.rows import rows
from tests.curve import runs

SWEEP = """\
Test BLEU with all heads. Baseline: 39.5 ± 0.7 (2 seeds). \
Control, trained on as long without gates: 40.0 ± 0.7 (2 seeds).

Test BLEU by heads kept of 24 (all attention types): mean ± standard deviation, in brackets the \
mean difference to the control of the same seed; 2 seeds unless n is given.

| heads | l0 | gradient | gradient, untuned | scratch |
| --- | --- | --- | --- | --- |
| 12 | 39.8 ± 1.1 (-0.2) | 39.0 ± 0.7 (-1.0) | 20.0 ± 1.4 (-20.0) | 37.0 (-2.5), n=1 |
| 6 | 38.5 ± 0.7 (-1.5) |  |  |  |

Open heads, means: encoder self-attention / decoder self-attention / cross-attention.

| heads | l0 | gradient | scratch |
| --- | --- | --- | --- |
| 12 | 1.0 / 4.0 / 7.0 | 4.0 / 4.0 / 4.0 | 1.0 / 4.0 / 7.0 |
| 6 | 1.5 / 1.0 / 4.0 |  |  |

Wanted count hit in 3 of 4 runs that learned what to keep.
"""


def test_the_whole_text(sweep):
  assert markdown(sweep) == SWEEP


def test_a_difference_of_fewer_seeds_says_so(sweep):
  left = [row for row in sweep if (row.method, row.seed) != ("control", 1)]
  assert "| 6 | 38.5 ± 0.7 (-1.5, n=1) |" in markdown(left)


def test_significance_is_a_table_of_its_own(sweep):
  p = {(row.run, row.tuned): 0.01 + 0.1 * row.seed for row in sweep if row.wanted == 12}
  text = markdown(sweep, p)
  assert "p < 0.05" in text and "| 12 | 1 of 2 | 1 of 2 | 1 of 2 | 1 of 1 |" in text


def test_one_attention_type_and_no_control(tmp_path):
  fields = {"gates__types": ("enc_self",), "init_from": "b", "gates__kind": "fixed"}
  runs.make(tmp_path, 39.5, runs.gates(enc_self=2), **fields)
  text = markdown(rows([tmp_path]))
  assert "kept of 8 (encoder self-attention)" in text and "Open heads" not in text
  assert "| 2 | 39.5 |" in text and "1 seed unless" in text and "Wanted" not in text


def test_texts_that_differ_are_named(tmp_path):
  for tokenize in ("13a", "zh"):
    fields = {"gates__kind": "fixed", "eval__tokenize": tokenize}
    runs.make(tmp_path / tokenize, 39.5, runs.gates(2, 2, 2), **fields)
  text = markdown(rows(sorted(tmp_path.iterdir())))
  for tokenize in ("13a", "zh"):
    assert f"Test BLEU with all heads (tokenize {tokenize})." in text
    assert f"kept of 24 (all attention types; tokenize {tokenize}):" in text


def test_runs_that_differ_in_a_field_have_columns_of_their_own(tmp_path):
  for number, pattern in enumerate(("a|b", ".*")):
    own = {"init_from": "base", "optim__rules": ((pattern, 1.0),)}
    runs.make(tmp_path / f"control-{number}", 40.0 + number, **own)
    own |= {"gates__kind": "fixed", "gates__chosen_by": "lrp"}
    runs.make(tmp_path / f"lrp-{number}", 39.0, runs.gates(2, 2, 2), **own)
  text = markdown(rows(sorted(tmp_path.iterdir())))
  assert "gates, optim.rules (('a|b', 1.0),): 40.0 (1 seed)." in text
  assert r"| heads | lrp, optim.rules (('.*', 1.0),) | lrp, optim.rules (('a\|b', 1.0),) |" in text
  assert "| 6 | 39.0 (-2.0) | 39.0 (-1.0) |" in text


def test_costs_that_keep_as_many_heads_share_a_cell(sweep):
  row = next(row for row in sweep if row.method == "l0")
  same = [dataclasses.replace(row, wanted=None, coef=coef, test_bleu=coef) for coef in (1.0, 2.0)]
  assert "| 12 | 1.0; 2.0 |" in markdown(same)


def test_models_of_minimum_risk_are_no_controls(tmp_path):
  for name, loss in (("a", "cross-entropy"), ("b", "mrt")):
    runs.make(tmp_path / name, 39.5, init_from="c", train__loss=loss)
  assert "gates: 39.5 (1 seed). Minimum risk training without gates: 39.5 (1 seed)." in markdown(
    rows([tmp_path / "a", tmp_path / "b"])
  )


def test_only_a_baseline(tmp_path):
  runs.make(tmp_path, 39.5)
  assert markdown(rows([tmp_path])) == ("Test BLEU with all heads. Baseline: 39.5 (1 seed).\n")


@pytest.mark.parametrize(
  "value, text", [(-0.04, "0.0"), (0.04, "0.0"), (-0.06, "-0.1"), (2, "+2.0")]
)
def test_differences(value, text):
  assert signed(value) == text
