"""Tests of headprune.analysis.measured.relevance."""

import numpy as np
import pytest

from headprune.analysis import subject
from headprune.analysis.lrp import propagate
from headprune.analysis.measured import relevance
from tests import small_run


def test_pairs_in_few_widths():
  pairs = [([5, 1], [4, 4, 1]), ([3] * 16 + [1], [1])]
  done = []
  first, second = relevance.one_by_one(pairs, done.append)
  assert done == [1, 1]
  assert first["src_BS"].shape == first["tgt_BT"].shape == (1, 16)
  assert second["src_BS"].shape == second["tgt_BT"].shape == (1, 32)
  assert second["src_segment_BS"].sum() == 17 and first["tgt_BT"][0, :3].tolist() == [4, 4, 1]


def test_only_the_first_sentences_are_measured(tmp_path):
  run = small_run.make(tmp_path / "run")
  # All heads open: a layer with one open head gives it everything, whatever is measured.
  run = run.with_gates(**{name: np.ones_like(gate_NH) for name, gate_NH in run.gates().items()})
  whole = subject.encode(run, ["a cat", "a big dog saw"], ["the cat saw", "the dog"])
  (score,) = relevance.measure(whole, 1, "alpha-beta").scores
  assert score.meaning.endswith("(LRP), on 1 of the sentence pairs"), "the report has two"
  batches = relevance.one_by_one([(whole.source_ids[0], whole.target_ids[0])], whole.progress)
  share = propagate.relevance(run.translator, batches)
  for name, share_NH in share.items():
    np.testing.assert_allclose(score.values[name], share_NH, rtol=1e-6)
    np.testing.assert_allclose(share_NH.sum(1), 1.0, rtol=1e-4)
  (both,) = relevance.measure(whole, 2, "alpha-beta").scores
  assert both.values != score.values
  with pytest.raises(KeyError, match="no such rule"):
    relevance.measure(whole, 1, "no such rule")
