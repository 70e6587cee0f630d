"""Heads that are chosen once: as many of each group as are wanted, the best of them."""

import functools
import types

import pytest

from headprune.curve import importance
from headprune.nn.config import TYPES
from tests import tiny

MODEL = tiny.even(enc_self=(2, 2), dec_self=(2, 2), dec_enc=(2, 2))
SCORES = {
  "enc_self": [[9.0, 1.0], [2.0, 3.0]],
  "dec_self": [[8.0, 0.0], [7.0, 4.0]],
  "dec_enc": [[5.0, 6.0], [0.5, 0.1]],
}


@pytest.mark.parametrize(
  "target, names, enc_self, dec_self, dec_enc",
  [
    ("4", TYPES, [[1, 0], [0, 0]], [[1, 0], [1, 0]], [[0, 1], [0, 0]]),
    ("25%", TYPES, [[1, 0], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 0]]),
    ("1 a layer", TYPES, [[1, 0], [0, 1]], [[1, 0], [1, 0]], [[0, 1], [1, 0]]),
    (
      "enc_self 0, dec_self 3, dec_enc 1", TYPES,
      [[0, 0], [0, 0]], [[1, 0], [1, 1]], [[0, 1], [0, 0]],
    ),
    ("2", ("enc_self",), [[1, 0], [0, 1]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]),
    ("0", ("dec_enc",), [[1, 1], [1, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]),
  ],
)  # fmt: skip
def test_the_best_of_each_group_stay(target, names, enc_self, dec_self, dec_enc):
  found = importance.choose(SCORES, target, names, MODEL)
  assert found == {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}


def test_of_equals_as_many_stay_as_are_wanted():
  equal = {name: [[1.0, 1.0]] * 2 for name in TYPES}
  found = importance.choose(equal, "5", TYPES, MODEL)
  assert sum(g for layers in found.values() for row in layers for g in row) == 5


def test_random_scores_are_those_of_their_seed():
  run = types.SimpleNamespace(translator=types.SimpleNamespace(config=MODEL))
  scores = functools.partial(importance.scores, run, None, "random")
  found = scores(3)
  assert found == scores(3) != scores(4)
  assert [len(row) for row in found["dec_enc"]] == [2, 2]
