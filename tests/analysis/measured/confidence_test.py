"""Tests of headprune.analysis.measured.confidence."""

import numpy as np
import pytest

from headprune.analysis import subject
from headprune.analysis.measured import confidence
from tests import small_run
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")


def test_confidence_is_the_mean_of_the_largest_weights_without_eos():
  attn = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]], np.float32)
  word_BS = np.array([[True, True, False]])
  total_NH, count = confidence.total(subjects.one_head(attn), word_BS, word_BS)
  assert count == 2
  np.testing.assert_allclose(total_NH / count, [[(0.5 + 0.1) / 2]], rtol=1e-6)


def test_each_type_has_its_own_queries_and_memory(tmp_path):
  run = small_run.make(tmp_path / "run")
  pairs = ["the dog saw a cat", "a cat"], ["a red cat", "the big dog saw the cat"]
  (score,) = confidence.measure(subject.encode(run, *pairs)).scores
  assert score.key == "confidence" and set(score.values) == {"enc_self", "dec_self", "dec_enc"}
  maps = run.attention(*pairs)
  # EOS is the last row and column, but decoder self-attention's begin with the start.
  kept = {"enc_self": np.s_[..., :-1, :-1], "dec_self": np.s_[..., 1:, :]}
  kept["dec_enc"] = kept["enc_self"]
  for name in score.values:
    largest = np.concatenate([m.weights[name][kept[name]].max(-1) for m in maps], axis=-1)
    np.testing.assert_allclose(score.values[name], largest.mean(-1), rtol=1e-5)
  with pytest.raises(AssertionError):  # the two memories differ, so that mixing them up shows
    np.testing.assert_allclose(score.values["dec_self"], score.values["dec_enc"], rtol=1e-2)
