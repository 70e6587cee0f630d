"""Losses that are not finite, and the pairs that they came from."""

import numpy as np
import pytest

from headprune.runs.workdir import Workdir
from headprune.text import encoding, packing, special, whitespace
from headprune.train import divergence

WORDS = whitespace.Whitespace((*special.RESERVED, *"abcdef"))


@pytest.mark.parametrize(
  "loss, norm, finite", [(1.0, 2.0, True), (np.nan, 1.0, False), (1.0, np.inf, False)]
)
def test_loss_and_gradient_must_be_finite(loss, norm, finite):
  good = {"objective": np.float32(1), "grad_norm": np.float32(1)}
  assert divergence.finite([good, {"objective": loss, "grad_norm": norm}]) == finite
  assert divergence.finite([])


def test_all_pairs_of_the_batch_are_written(tmp_path):
  sides = ["a b", "c", "d"], ["e", "f f f", "a"]
  pairs, _ = encoding.encode(*sides, (WORDS, WORDS), 8)
  (batch,) = packing.eval_batches(pairs, 2, 8, 2)
  error = divergence.describe(Workdir(tmp_path), (WORDS, WORDS), 7, batch)
  path = tmp_path / "diverged.txt"
  assert sorted(path.read_text().splitlines()) == sorted(map("\t".join, zip(*sides)))
  assert f"at step 7; there is no checkpoint, the pairs of that step are in {path}" in str(error)
