"""How many heads to keep, as text."""

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.nn import gates
from headprune.runs import defaults, targets
from tests import tiny

MODEL = tiny.uneven()  # enc_self=(2, 0, 3), dec_self=(3, 0), dec_enc=(0, 2)
TYPES = ("enc_self", "dec_enc")


@pytest.mark.parametrize(
  "text, groups, wanted",
  [
    ("6", [(0, 0, 0), (0, 0)], [6]),
    ("enc_self 4, dec_enc 1", [(0, 0, 0), (1, 1)], [4, 1]),
    ("dec_enc 0,enc_self 5", [(1, 1, 1), (0, 0)], [0, 5]),
    ("50%", [(0, 0, 0), (0, 0)], [4]),
    ("100%", [(0, 0, 0), (0, 0)], [7]),
    ("enc_self 33% a layer, dec_enc 50%", [(0, 1, 2), (3, 3)], [1, 0, 1, 1]),
    ("1 a layer", [(0, 1, 2), (3, 4)], [1, 0, 1, 0, 1]),
    ("enc_self 2 a  layer, dec_enc 1", [(0, 1, 2), (3, 3)], [2, 0, 2, 1]),
  ],
)
def test_forms(text, groups, wanted):
  found, found_wanted = targets.parse(text, TYPES, MODEL)
  assert dict(found) == dict(zip(TYPES, groups)) and found_wanted.tolist() == wanted


@pytest.mark.parametrize(
  "text, message",
  [
    ("six", "'six': give \"16\""),
    ("-1", "'-1': give"),
    ("4,", "'4,': give"),
    ("enc_self 1", "name each of config.gates.types once, enc_self, dec_enc"),
    ("enc_self 1, enc_self 1, dec_enc 1", "once"),
    ("enc_self 1, dec_enc 1, dec_self 1", "once"),
    ("1, 2", "once"),
    ("8", "8 of 7 enc_self, dec_enc heads$"),
    ("enc_self 1, dec_enc 3", "3 of 2 dec_enc heads$"),
    ("101%", "101% of 7 enc_self"),
    ("4 a layer", "4 of 3 enc_self, dec_enc heads in a layer"),
  ],
)
def test_mistakes(text, message):
  with pytest.raises(UserError, match=message):
    targets.parse(text, TYPES, MODEL)
  with pytest.raises(UserError, match=f"^config.gates.chosen_for='{text}'"):
    targets.parse(text, TYPES, MODEL, "gates.chosen_for")


@pytest.mark.parametrize(
  "text, reads",
  [("0", False), ("0%", False), ("0 a layer", False), ("dec_enc 0,enc_self 5", False),
   ("1", True), ("dec_enc 1 a layer, enc_self 0", True)],
)  # fmt: skip
def test_some_head_is_to_read_the_source(text, reads):
  if reads:
    targets.check_reads_source(text, TYPES, MODEL)
    return
  with pytest.raises(
    UserError, match=f"config.l0.target_heads='{text}' closes all heads of dec_en"
  ):
    targets.check_reads_source(text, TYPES, MODEL)


def test_heads_that_do_not_read_the_source_may_all_go():
  targets.check_reads_source("0", ("enc_self", "dec_self"), MODEL)
  targets.check_reads_source("enc_self 5, dec_enc 0", TYPES, tiny.uneven(dec_enc=(0, 0)))


def test_a_top_k_is_tested_with_its_likeliest_heads_and_other_gates_as_expected():
  config = defaults.config("concrete", "cldr")
  config.gates.types, config.l0.target_heads = TYPES, "3"
  rng, shapes = np.random.default_rng(0), MODEL.gate_shapes
  log_alphas = {name: rng.normal(size=shapes[name]).astype(np.float32) for name in TYPES}
  there = {name: gates.present(heads, shapes[name][1]) for name, heads in MODEL.heads.items()}
  learned, found = targets.as_tested(config, MODEL, there, log_alphas)
  assert learned is log_alphas
  for name in TYPES:
    np.testing.assert_allclose(found[name], gates.expected(log_alphas[name]) * there[name])
  np.testing.assert_array_equal(found["dec_self"], there["dec_self"])
  config.gates.kind = "topk"
  learned, found = targets.as_tested(config, MODEL, there, log_alphas)
  assert {x for name in TYPES for x in np.ravel(found[name])} == {0.0, 1.0}
  assert sum(found[name].sum() for name in TYPES) == 3
  best = sorted((a, n) for n in TYPES for a in log_alphas[n][there[n] > 0])[-3:]
  for name in TYPES:
    kept = sorted(log_alphas[name][np.asarray(found[name]) > 0])
    assert kept == [a for a, n in best if n == name]
