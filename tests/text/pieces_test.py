"""Which lines a SentencePiece model is trained on; what it is like tests of tokenizers tell."""

import pytest

from headprune.text import pieces


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_the_sample_of_parts_is_that_of_all_lines(monkeypatch, most):
  monkeypatch.setattr(pieces, "_MAX_LINES", most)
  for sizes in ((7, 4), (0, 5), (1, 1), (3, 9)):
    parts = [[(n, i) for i in range(size)] for n, size in enumerate(sizes)]
    whole = parts[0] + parts[1]
    assert pieces._sample(parts) == whole[:: -(-len(whole) // most)]
