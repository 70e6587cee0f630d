"""Tests of headprune.analysis.measured.alignment."""

import types

import numpy as np
import pytest

from headprune.analysis import subject
from headprune.analysis.measured import alignment
from headprune.errors import UserError
from tests import small_run

pytestmark = pytest.mark.usefixtures("small_batches")


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


@pytest.mark.parametrize("shift", [0, 1])
def test_the_known_alignment_has_no_error(shift):
  # Two source words of 2 + 1 pieces, two target words of 1 + 2 pieces; crossing links.
  src_units, tgt_units = [[0, 1], [2]], [[0], [1, 2]]
  attn_TS = np.full((5, 4), 0.1, np.float32)
  for t, s in ((0, 2), (1, 0), (2, 1)):
    attn_TS[t + shift, s] = 0.7
  top = alignment.align(attn_TS[None, None], src_units, tgt_units, shift)
  assert top.tolist() == [[[1, 0]]]
  right = {(1, 0), (0, 1)}
  hits, cases = alignment.count_links(top, [0, 1], [0, 1], (right, right))
  assert hits.tolist() == [[4]] and cases == 4, "all are sure, and possible too"
  wrong = {(0, 0), (1, 1)}
  hits, cases = alignment.count_links(top, [0, 1], [0, 1], (wrong, wrong))
  assert hits.tolist() == [[0]] and cases == 4


def test_error_rate_counts_possible_links():
  top = np.array([[[0, 1, 1]]])  # links 0-0, 1-1, 1-2
  sure, possible = {(0, 0), (0, 1)}, {(0, 0), (0, 1), (1, 2)}
  hits, cases = alignment.count_links(top, [0, 1], [0, 1, 2], (sure, possible))
  assert hits.tolist() == [[1 + 2]] and cases == 3 + 2


def test_words_without_pieces_have_no_links():
  top = np.array([[[0]]])
  hits, cases = alignment.count_links(top, [0, -1], [0], ({(1, 0)}, {(0, 0)}))
  assert hits.tolist() == [[1]] and cases == 1


PAIRS = ["a big dog", "the cat"], ["the cat saw", "a dog"]
LINKS = [({(0, 0), (1, 2)}, {(0, 0), (1, 2), (2, 1)}), ({(1, 1)}, {(1, 1)})]


def brute_force(run, shift):
  """Error rate of each head where every word is one piece."""
  counts = np.zeros((4, 2, 2))
  for found, (sure, possible) in zip(run.attention(*PAIRS), LINKS):
    attn = found.weights["dec_enc"][..., :-1]  # without the source's EOS
    for t in range(len(found.target) - 1):
      for n, h in np.ndindex(2, 2):
        link = int(attn[n, h, t + shift].argmax()), t
        counts[:, n, h] += link in sure, link in possible, 1, 0
    counts[3] += len(sure)
  return 1 - (counts[0] + counts[1]) / (counts[2] + counts[3])


def test_error_rates_of_a_run(tmp_path):
  run = small_run.make(tmp_path / "run")
  whole = subject.encode(run, *PAIRS)
  found = alignment.measure(whole, LINKS, 1.0)
  writing, reading = (score.values["dec_enc"] for score in found.scores)
  np.testing.assert_allclose(writing, brute_force(run, 0))
  np.testing.assert_allclose(reading, brute_force(run, 1))
  assert np.ptp(writing) > 0, "if all were equal, mixing heads up would not show"
  best_NH = np.minimum(writing, reading)
  (function,) = found.functions
  assert function.heads == ((0, 0), (1, 0))  # the others are closed
  assert (function.measure, function.strength) == ("error rate", best_NH[:, 0].min())
  limit = function.strength  # of one head or of both
  (function,) = alignment.measure(whole, LINKS, limit).functions
  assert function.heads == tuple((n, 0) for n in range(2) if best_NH[n, 0] <= limit)
  assert alignment.measure(whole, LINKS, limit - 1e-9).functions == ()


@pytest.mark.parametrize("pair", [("\t", "the"), ("the", "\u00a0"), ("\u0085", "\t")])
def test_a_line_of_pieces_without_a_word_counts_nothing(tmp_path, pair):
  run = small_run.make(tmp_path / "run")
  lines = [[one, *rest] for one, rest in zip(pair, PAIRS)]
  whole = subject.encode(run, *lines)
  assert len(whole.text) == 3
  hits, cases = alignment.count(whole, [({(0, 0)}, {(0, 0)}), *LINKS])
  assert not hits[0].any() and not cases[0].any()
  np.testing.assert_array_equal(cases[1:], [[3 + 2] * 2, [2 + 1] * 2])


def test_there_must_be_links_for_all_lines(tmp_path):
  run = small_run.make(tmp_path / "run")
  whole = subject.encode(run, ["", *PAIRS[0]], ["", *PAIRS[1]])  # the first line is left out
  (tmp_path / "links").write_text("\n0-0 1-2 2p1\n1-1\n")
  options = types.SimpleNamespace(alignments=str(tmp_path / "links"), aligning=0.5)
  plan = alignment.prepare(whole, options)
  assert plan.settings.keys() == {"aligning", "alignments"}
  for links, same in (
    ("9-9\n2p1 1-2 0-0\n1-1\n", True),  # the first line is not used, nor the links' order
    ("\n0-0 1-2 2-1\n1-1\n", False),
    ("\n0-0 1-2\n1-1\n", False),
    ("\n1-1\n0-0\n", False),
  ):
    (tmp_path / "others").write_text(links)
    others = types.SimpleNamespace(alignments=str(tmp_path / "others"), aligning=0.5)
    assert (alignment.prepare(whole, others).settings == plan.settings) == same
  np.testing.assert_allclose(
    plan.measure(whole).scores[0].values["dec_enc"],
    brute_force(run, 0),
    err_msg="links of other lines",
  )
  (tmp_path / "links").write_text("0-0\n1-1\n")
  with pytest.raises(UserError, match="links has 2 lines for 3 sentence pairs"):
    alignment.prepare(whole, options)
  (tmp_path / "links").write_text("0-0\n\n\n")  # the first line is not used
  with pytest.raises(UserError, match="links: no link for any of the sentence pairs"):
    alignment.prepare(whole, options)
  for link in ("3-0", "1p3"):  # of three words a side
    (tmp_path / "links").write_text(f"9-9\n0-0 {link}\n1-1\n")
    with pytest.raises(UserError, match=f"links, line 2: {link.replace('p', '-')} is outside of"):
      alignment.prepare(whole, options)
  options = types.SimpleNamespace(alignments=None, aligning=0.5, text=None)
  assert alignment.prepare(whole, options) is None
