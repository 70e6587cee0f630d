"""chrF's numbers, case and signature."""

import pytest

from headprune.text import chrf


def test_it_is_an_f_score_of_characters_in_which_recall_counts_twice():
  # Of "abcd" and "abce": 3 of 4 characters, 2 of 3 pairs, 1 of 2 triples, 0 of 1; none longer.
  score, signature = chrf.score(["abcd"], ["abce"], False)
  assert score == pytest.approx(100 * (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)
  assert signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
  # All that is there is right, half is missing: characters 1 and 1/2, pairs 1 and 1/3.
  recall = (1 / 2 + 1 / 3) / 2
  score, _ = chrf.score(["ab"], ["abcd"], False)
  assert score == pytest.approx(100 * 5 * recall / (4 + recall))


def test_case_counts_unless_it_is_not_to():
  assert chrf.score(["Ein Haus"], ["ein haus"], True)[0] == pytest.approx(100)
  assert chrf.score(["Ein Haus"], ["ein haus"], False)[0] < 80
