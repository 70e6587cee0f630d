"""Tests of headprune.curve.structures."""

from headprune.curve import rows, structures
from tests.curve import runs


def test_structures_of_the_sweep(sweep):
  found = structures.structures(sweep)
  assert list(found) == ["gradient-12-0", "gradient-12-1", "l0-12-0", "l0-12-1", "l0-6-0", "l0-6-1",
                         "scratch-12-0"]  # fmt: skip
  assert found["l0-6-1"] == {
    "enc_self": [[1, 1, 0, 0], [0, 0, 0, 0]],
    "dec_self": [[1, 0, 0, 0], [0, 0, 0, 0]],
    "dec_enc": [[1, 1, 1, 1], [0, 0, 0, 0]],
  }


def test_gates_between_0_and_1_are_open(tmp_path):
  heads = runs.gates() | {"enc_self": [[0.5, 0.0, 1.0, 0.0], [0.0] * 4]}
  runs.make(tmp_path, 39.0, heads, gates__kind="concrete")
  (found,) = structures.structures(rows.rows([tmp_path])).values()
  assert found["enc_self"] == [[1, 0, 1, 0], [0, 0, 0, 0]]
