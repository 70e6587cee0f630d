"""Tests of headprune.analysis.evidence: functions, and their shares in resampled sentences."""

import numpy as np
import pytest

from headprune.analysis import evidence
from headprune.analysis.evidence import ERROR_RATE, Evidence
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

# Three sentences with 4, 4 and 2 cases of two things; one layer with two heads.
HITS_ERNH = np.array([[[[4, 0]], [[0, 4]]], [[[4, 1]], [[0, 3]]], [[[0, 0]], [[2, 0]]]])
CASES_ER = np.array([[4, 4], [4, 4], [2, 2]])
EVERYTHING = np.ones((1, 3), int)


def make(**changes):
  fields = dict(
    kind="k", type="enc_self", names=("a", "b"), hits_ERNH=HITS_ERNH, cases_ER=CASES_ER, limit=0.5
  )
  return Evidence(**(fields | changes))


def subject(gates=(1.0, 1.0)):
  return subjects.encoder([[3, 1]], [lambda q, ids: 0] * 2, list(gates))


def test_shares_of_the_sentences_as_they_are_and_of_others():
  assert make().shares(EVERYTHING).tolist() == [[[[0.8, 0.1]], [[0.2, 0.7]]]]
  twice_the_last = make().shares(np.array([[1, 0, 2]]))
  assert twice_the_last.tolist() == [[[[0.5, 0.0]], [[0.5, 0.5]]]]
  assert make().everything.tolist() == EVERYTHING.tolist()


def test_heads_that_pass():
  passing = lambda **changes: make(**changes).passing(EVERYTHING)[0, :, 0].tolist()
  assert passing() == [[True, False], [False, True]]
  assert passing(limit=0.8) == [[True, False], [False, False]], "exactly the limit is enough"
  assert passing(limit=0.1) == [[True, True], [True, True]]
  assert passing(limit=0.1, one_each=True) == [[True, False], [False, True]]
  half_allowed = {"allowed_R": np.array([False, True])}
  assert passing(limit=0.1, **half_allowed) == [[False, False], [True, True]]
  assert passing(limit=0.1, one_each=True, **half_allowed) == [[False, False], [True, True]]
  assert passing(limit=0.0, cases_ER=CASES_ER * [1, 0]) == [[True, True], [False, False]]


def test_what_a_head_could_do():
  assert make().usable_R.tolist() == [True, True]
  assert make(cases_ER=CASES_ER * [1, 0]).usable_R.tolist() == [True, False]
  assert make(allowed_R=np.array([False, True])).usable_R.tolist() == [False, True]
  neither = make(cases_ER=CASES_ER * [1, 0], allowed_R=np.array([False, True]))
  assert neither.usable_R.tolist() == [False, False]


def test_a_baseline_is_resampled_too():
  beating = make(baseline_ER=np.array([[0, 3], [0, 3], [0, 0]]), limit=0.1)
  assert beating.baselines(EVERYTHING).tolist() == [[0.0, 0.6]]
  assert beating.passing(EVERYTHING)[0, 1, 0].tolist() == [False, True]  # 0.7 - 0.6 - 0.1
  last_alone = np.array([[0, 0, 1]])
  assert beating.passing(last_alone)[0, 1, 0].tolist() == [True, False]  # 1 and 0 against 0


def test_functions_of_open_heads():
  first, second = evidence.functions(subject(), make(limit=0.1))
  assert (first.kind, first.name, first.type, first.measure) == ("k", "a", "enc_self", "share")
  assert (first.heads, first.strength, first.baseline) == (((0, 0), (0, 1)), 0.8, None)
  assert (second.name, second.strength) == ("b", 0.7)
  closed = evidence.functions(
    subject((0.0, 1.0)), make(baseline_ER=CASES_ER * [0, 1] // 2, limit=0.2)
  )
  assert [(f.name, f.heads, f.baseline) for f in closed] == [("b", ((0, 1),), 0.5)]


def test_things_of_one_name_are_one_function():
  (found,) = evidence.functions(subject(), make(names=("a", "a"), measure=ERROR_RATE))
  assert found.heads == ((0, 0), (0, 1)) and found.strength == pytest.approx(0.2)
  assert make(names=("a", "a")).strongest("a", [(0, 1)]) == (1, 0, 1)


def test_resamples_are_drawn_by_seed_and_text():
  weights_YE = make().weights(500, 0)
  assert weights_YE.shape == (500, 3) and set(weights_YE.sum(1)) == {3}
  assert abs(weights_YE.mean(0) - 1).max() < 0.15
  assert make(limit=0.1).weights(500, 0).tolist() == weights_YE.tolist()
  assert make(text="other").weights(500, 0).tolist() != weights_YE.tolist()
  assert make().weights(500, 1).tolist() != weights_YE.tolist()


def test_counts_stand_in_the_texts_order():
  lengths = [5, 2, 7, 3, 4]
  whole = subjects.encoder([[3] * n + [1] for n in lengths], [lambda q, ids: 0], [1.0])
  count = lambda batch: [batch["src_segment_BS"].sum(1) - 1, batch["src_BS"][:, :2]]
  found, ids = evidence.over_sentences(whole, count)
  assert found.tolist() == lengths and ids.tolist() == [[3, 3]] * 5
