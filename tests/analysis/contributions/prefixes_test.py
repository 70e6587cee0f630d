"""Tests of headprune.analysis.contributions.prefixes."""

import types

import pytest

from headprune.analysis.contributions import prefixes
from headprune.errors import UserError
from headprune.runs import defaults
from headprune.runs.run import Run
from headprune.translator.queue import Hypothesis

PAIRS = [
  ([3, 4, 1], [5, 1]), ([4, 3, 1], [6, 1]), ([3, 1], [7, 8, 1]), ([5, 4, 1], [5, 1]),
  ([5, 1], [7, 9, 1]), ([3, 4, 1], [4, 4, 4, 1]),
]  # fmt: skip


def run(*translations):
  """A run that translates as told."""

  def search(sources, beam, batch_size, progress):
    assert sources == [[3, 4, 1], [4, 3, 1], [5, 4, 1]] and beam.beams == 4
    progress(len(sources))
    return [[Hypothesis(list(ids), 0.0, 0.0)] for ids in translations]

  workdir = types.SimpleNamespace(path="runs/x")
  translator = types.SimpleNamespace(search=search)
  return Run(workdir, defaults.base(), translator, {}, None, None)


def test_the_most_frequent_lengths():
  assert prefixes.most_frequent(PAIRS) == (3, 2)
  assert prefixes.most_frequent(PAIRS[1:3]) == (2, 3), "of equals the longest target"


def test_reference_takes_the_first_pairs_of_the_lengths():
  assert prefixes.reference(PAIRS, (3, 2), 2) == [PAIRS[0], PAIRS[1]]
  assert prefixes.reference(PAIRS, (3, 2), 9) == [PAIRS[0], PAIRS[1], PAIRS[3]]
  with pytest.raises(UserError, match=r"--length 9 9: no pair .* lengths are 3 2$"):
    prefixes.reference(PAIRS, (9, 9), 2)


def test_random_takes_the_target_of_another_pair():
  found = prefixes.random(PAIRS, (3, 2), 9)
  assert found == [([3, 4, 1], [6, 1]), ([4, 3, 1], [5, 1]), ([5, 4, 1], [6, 1])]
  more = [([3, 1], [i, 1]) for i in range(20, 60)]
  first, again = (prefixes.random(more, (2, 2), 40, seed=0) for _ in "ab")
  assert first == again != prefixes.random(more, (2, 2), 40, seed=1)
  assert all(a[1] != b[1] for a, b in zip(more, first)) and len({b[1][0] for b in first}) > 20
  with pytest.raises(UserError, match="--prefix random: all targets of 2 tokens are the same"):
    prefixes.random([PAIRS[0], PAIRS[3]], (3, 2), 9)


def test_own_takes_translations_of_the_target_length():
  done = []
  model = run([8, 1], [8, 8, 1], [9, 1])
  found = prefixes.own(model, PAIRS, (3, 2), 9, done.append)
  assert found == [([3, 4, 1], [8, 1]), ([5, 4, 1], [9, 1])] and done == [3]
  assert prefixes.own(model, PAIRS, (3, 2), 1, done.append) == found[:1]
  with pytest.raises(UserError, match="runs/x translates no source of 3 .* try --length 3 2"):
    prefixes.own(model, PAIRS, (3, 4), 9, done.append)
  cut_off = run([8, 8], [8, 8], [9, 1])
  assert prefixes.own(cut_off, PAIRS, (3, 2), 9, done.append) == [([5, 4, 1], [9, 1])]
  with pytest.raises(UserError, match="no translation of 3 tokens by runs/x comes to an end"):
    prefixes.own(run([8, 8], [], [9]), PAIRS, (3, 2), 9, done.append)
  with pytest.raises(UserError, match="--length 8 4: no source has 8 tokens"):
    prefixes.own(model, PAIRS, (8, 4), 9, done.append)
