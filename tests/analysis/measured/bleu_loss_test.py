"""Tests of headprune.analysis.measured.bleu_loss."""

import numpy as np

from headprune.analysis import subject
from headprune.analysis.measured import bleu_loss
from headprune.runs.run import Run
from tests import small_run


def test_bleu_lost_by_closing_a_head(tmp_path, monkeypatch):
  run, seen = small_run.make(tmp_path / "run"), []

  def bleu(self, sources, references, progress):  # the sum of all gates
    seen.append((sources, references))
    progress(len(sources))
    return sum(float(g.sum()) for g in self.gates().values()), ""

  monkeypatch.setattr(Run, "bleu", bleu)
  whole = subject.encode(run, ["a cat", "a dog", "cat"], ["the cat", "the dog", "dog"])
  (score,) = bleu_loss.measure(whole, 2).scores
  assert score.meaning.endswith("closed, on 2 of the sentence pairs"), "the report has three"
  for name, gate_NH in run.gates().items():  # with that BLEU, closing a head loses its gate
    np.testing.assert_allclose(score.values[name], gate_NH, rtol=1e-5)
    assert score.values[name][0][1] == 0.0  # closed already
  assert seen == [(["a cat", "a dog"], ["the cat", "the dog"])] * (1 + 6)
