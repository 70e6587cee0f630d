"""Tests of headprune.analysis.positional: synthetic attention with known answers."""

import types

import numpy as np
import pytest

from headprune.analysis import pointing, positional
from headprune.errors import UserError
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

WORDS = np.array([[True] * 5 + [False] * 2])  # five tokens, EOS, padding


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_a_head_that_looks_at_one_relative_position(offset):
  targets = np.clip(np.arange(7) + offset, 0, 6)
  attn = subjects.one_head(subjects.pointing(targets, 7))
  hits_RNH, cases_R = positional.count(attn, WORDS, 2)
  # Where the sentence has no such position a token does not count; EOS is a position.
  assert cases_R.tolist() == [3, 4, 5, 5, 4]
  assert pointing.share(hits_RNH, cases_R)[offset + 2, 0, 0] == 1.0


def test_the_share_at_each_position():
  targets = [0, 0, 1, 2, 4, 0, 0]  # three of the four tokens that have a neighbour look one back
  counts = positional.count(subjects.one_head(subjects.pointing(targets, 7)), WORDS, 1)
  assert pointing.share(*counts)[:, 0, 0].tolist() == [0.75, 0.4, 0.0]


def test_an_offset_that_few_tokens_have_is_no_position():
  assert positional.common(np.array([2, 4, 5, 6, 5, 4, 2])).tolist() == [False, *[True] * 5, False]


LAST_BACK = lambda q, ids: max(q - 1, 0)
SECOND_AHEAD = lambda q, ids: min(q + 2, len(ids) - 1)
FIRST = lambda q, ids: 0
SENTENCES = [[3] * length + [1] for length in (8, 3, 9, 8, 8)]


def test_positional_heads_are_found_and_measured():
  subject = subjects.encoder(
    SENTENCES, [LAST_BACK, SECOND_AHEAD, FIRST, LAST_BACK], [1.0, 0.5, 1.0, 0.0]
  )
  found = positional.measure(subject, 0.9, 5)
  assert [(f.kind, f.name, f.type, f.heads, f.strength) for f in found.functions] == [
    ("positional", "position -1", "enc_self", ((0, 0),), 1.0),  # the fourth head is closed
    ("positional", "position +2", "enc_self", ((0, 1),), 1.0),
  ]
  assert [kind.name for kind in found.kinds] == ["positional"] and "90%" in found.kinds[0].rule
  shares = {score.key: score for score in found.scores}
  assert len(shares) == 11 and shares["position-+2"].values["enc_self"][0][1] == 1.0
  assert {key for key, score in shares.items() if score.drawn} == {
    "position--1", "position-+0", "position-+1",
  }  # fmt: skip


def test_a_head_needs_its_share():
  back_in_long = lambda q, ids: max(q - 1, 0) if len(ids) > 4 else len(ids) - 1
  subject = subjects.encoder(SENTENCES, [back_in_long], [1.0])
  (score,) = [s for s in positional.measure(subject, 0.9, 1).scores if s.key == "position--1"]
  ((share,),) = score.values["enc_self"]
  assert share == (7 + 8 + 7 + 7) / (7 + 2 + 8 + 7 + 7)  # all words but the first
  (function,) = positional.measure(subject, share, 1).functions
  assert function.strength == share and function.heads == ((0, 0),)
  assert positional.measure(subject, share + 1e-9, 1).functions == ()


def test_a_head_has_one_position_at_most():
  two = lambda q, ids: q if q % 3 else max(q - 1, 0)
  (function,) = positional.measure(subjects.encoder(SENTENCES, [two], [1.0]), 0.1, 2).functions
  assert function.name == "position +0"


def test_the_first_word_of_short_sentences_is_no_position():
  # Five back is always the first word of six: but few words have a fifth neighbour.
  five_back = lambda q, ids: max(q - 5, 0)
  subject = subjects.encoder([[3] * 6 + [1]] * 3, [five_back], [1.0])
  found = positional.measure(subject, 0.9, 5)
  (score,) = [s for s in found.scores if s.key == "position--5"]
  assert score.values["enc_self"] == [[1.0]] and found.functions == ()


def test_there_must_be_a_neighbour():
  with pytest.raises(UserError, match="--max-offset 0 must be at least 1"):
    positional.prepare(None, types.SimpleNamespace(max_offset=0, positional=0.9))
