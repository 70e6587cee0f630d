"""Tests of headprune.analysis.measured.gate_values."""

import numpy as np

from headprune.analysis import subject
from headprune.analysis.measured import gate_values
from headprune.nn import gates
from tests import small_run


def test_gates_and_the_probability_that_they_are_open(tmp_path):
  run = small_run.make(tmp_path / "run", gates__types=("dec_enc",))
  text = ["a cat"], ["a dog"]
  gate, p_open = gate_values.measure(subject.encode(run, *text)).scores
  assert (gate.key, p_open.key) == ("gate", "p_open")
  np.testing.assert_array_equal(gate.values["dec_enc"], run.gates()["dec_enc"])
  np.testing.assert_allclose(
    p_open.values["dec_enc"], gates.p_open(np.float32([[0.5, -3.0]] * 2)), rtol=1e-6
  )
  assert "end of training" not in p_open.meaning  # it may be of another checkpoint
  assert p_open.values["enc_self"] == [[1.0, 1.0]] * 2  # not learned, and open
  for kind, fields in (("topk", {"l0__target_heads": "50%"}), ("none", {"gates__types": ()})):
    other = small_run.make(tmp_path / kind, gates__kind=kind, **fields)
    assert [s.key for s in gate_values.measure(subject.encode(other, *text)).scores] == ["gate"]
