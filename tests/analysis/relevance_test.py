"""Tests of headprune.analysis.relevance."""

import numpy as np

from headprune.analysis import relevance, subject
from headprune.analysis.lrp import propagate
from tests import small_run


def test_pairs_in_few_widths():
  sources, targets = [[5, 1], [3] * 16 + [1]], [[4, 4, 1], [1]]
  first, second = relevance.one_by_one(sources, targets)
  assert first["src_BS"].shape == first["tgt_BT"].shape == (1, 16)
  assert second["src_BS"].shape == second["tgt_BT"].shape == (1, 32)
  assert second["src_segment_BS"].sum() == 17 and first["tgt_BT"][0, :3].tolist() == [4, 4, 1]


def test_only_the_first_sentences_are_measured(tmp_path):
  run = small_run.make(tmp_path / "run")
  whole = subject.encode(run, ["a cat", "a big dog saw"], ["the cat saw", "the dog"])
  (score,) = relevance.measure(whole, 1, "alpha-beta").scores
  batches = relevance.one_by_one(whole.source_ids[:1], whole.target_ids[:1])
  share = propagate.relevance(run.translator, batches)
  for name, share_NH in share.items():
    np.testing.assert_allclose(score.values[name], share_NH, rtol=1e-6)
    # The second head of each layer is closed, so that the first has it all.
    np.testing.assert_allclose(share_NH, [[1.0, 0.0]] * 2, rtol=1e-4)
