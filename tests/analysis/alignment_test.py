"""Tests of headprune.analysis.alignment."""

import numpy as np
import pytest

from headprune.analysis import alignment
from headprune.errors import UserError


def test_pharaoh_format(tmp_path):
  path = tmp_path / "links"
  path.write_text("0-1 2p0\n\n1?1\n")
  assert alignment.read(path) == [
    ({(0, 1)}, {(0, 1), (2, 0)}),
    (set(), set()),
    (set(), {(1, 1)}),
  ]
  path.write_text("0-1\n0:1\n")
  with pytest.raises(UserError, match="links, line 2: '0:1'"):
    alignment.read(path)


def test_words_stand_between_spaces():
  assert alignment.word_spans("a  man, ") == [(0, 1), (3, 7)]


@pytest.mark.parametrize("shift", [0, 1])
def test_the_known_alignment_has_no_error(shift):
  # Two source words of 2 + 1 pieces, two target words of 1 + 2 pieces; crossing links.
  src_units, tgt_units = [[0, 1], [2]], [[0], [1, 2]]
  attn_TS = np.full((5, 4), 0.1, np.float32)
  for t, s in ((0, 2), (1, 0), (2, 1)):
    attn_TS[t + shift, s] = 0.7
  top = alignment.aligned(attn_TS[None, None], src_units, tgt_units, shift)
  assert top.tolist() == [[[1, 0]]]
  right = {(1, 0), (0, 1)}
  counts = alignment.count_links(top, [0, 1], [0, 1], (right, right))
  assert alignment.error_rate(counts).tolist() == [[0.0]]
  wrong = {(0, 0), (1, 1)}
  counts = alignment.count_links(top, [0, 1], [0, 1], (wrong, wrong))
  assert alignment.error_rate(counts).tolist() == [[1.0]]


def test_error_rate_counts_possible_links():
  top = np.array([[[0, 1, 1]]])  # links 0-0, 1-1, 1-2
  sure, possible = {(0, 0), (0, 1)}, {(0, 0), (0, 1), (1, 2)}
  counts = alignment.count_links(top, [0, 1], [0, 1, 2], (sure, possible))
  assert counts[:, 0, 0].tolist() == [1, 2, 3, 2]
  np.testing.assert_allclose(alignment.error_rate(counts), [[1 - 3 / 5]])


def test_words_without_pieces_have_no_links():
  top = np.array([[[0]]])
  counts = alignment.count_links(top, [0, -1], [0], ({(1, 0), (5, 0)}, {(0, 0)}))
  assert counts[:, 0, 0].tolist() == [0, 1, 1, 0]
