"""Tests of headprune.analysis.measured.closing."""

import numpy as np

from headprune.analysis import closing as closing_lib
from headprune.analysis.measured import closing
from tests.analysis import subjects


def test_loss_and_increases_are_told(monkeypatch):
  found = 1.5, {"enc_self": np.array([[0.25, -0.5]])}
  monkeypatch.setattr(closing_lib, "closing", lambda translator, batches: found)
  subject = subjects.encoder([[3, 1]], [lambda q, ids: 0] * 2, [1.0, 1.0])
  told = closing.measure(subject)
  (score,) = told.scores
  assert (score.key, score.values) == ("loss", {"enc_self": [[0.25, -0.5]]})
  assert told.numbers == {"loss": 1.5}
  assert told.notes == ("-log p is 1.5000 per target token.",)
