"""Tests of headprune.analysis.measured.positional: synthetic attention with known answers."""

import types

import numpy as np
import pytest

from headprune.analysis import pointing
from headprune.analysis.measured import positional
from headprune.errors import UserError
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

SEGMENT = np.array([[1] * 6 + [0]])  # five tokens, EOS, padding
WORDS = pointing.words(SEGMENT)


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_a_head_that_looks_at_one_relative_position(offset):
  targets = np.clip(np.arange(7) + offset, 0, 6)
  attn = subjects.one_head(subjects.pointing(targets, 7))
  hits_1RNH, cases_1R = positional.count(attn, SEGMENT, WORDS, range(-2, 3))
  # Where the sentence has no such position a token does not count; EOS is a position.
  assert cases_1R.tolist() == [[3, 4, 5, 5, 4]]
  assert pointing.share(hits_1RNH, cases_1R)[0, offset + 2, 0, 0] == 1.0


def test_the_share_at_each_position():
  targets = [0, 0, 1, 2, 4, 0, 0]  # three of the four tokens that have a neighbour look one back
  attn = subjects.one_head(subjects.pointing(targets, 7))
  counts = positional.count(attn, SEGMENT, WORDS, (-1, 0, 1))
  assert pointing.share(*counts)[0, :, 0, 0].tolist() == [0.75, 0.4, 0.0]


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
  assert [(kind.name, kind.type) for kind in found.kinds] == [
    ("positional", "enc_self"), ("positional", "dec_self"),
  ]  # fmt: skip
  assert "90%" in found.kinds[0].rule
  assert "87.5%" in positional.measure(subject, 0.875, 5).kinds[0].rule
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


def test_the_decoder_counts_from_the_token_that_a_step_reads():
  # Targets of 4 words, 2 words and none: a row has a step more than words, the first reads nothing.
  targets = [[3, 4, 5, 6, 1], [3, 4, 1], [1]]
  itself, one_back = lambda t, src, tgt: t, lambda t, src, tgt: max(t - 1, 0)
  start = lambda t, src, tgt: 0
  ahead = lambda q, src, tgt: min(q + 1, len(src) - 1)
  subject = subjects.both_sides(
    [[3, 1], [3, 4, 1], [1]],
    targets,
    {
      "enc_self": ([ahead], [1.0]),
      "dec_self": ([one_back, itself, start, itself], [0.5, 1.0, 1.0, 0.0]),
    },
  )
  found = positional.measure(subject, 0.9, 2)
  assert [(f.name, f.type, f.heads, f.strength) for f in found.functions] == [
    ("position +1", "enc_self", ((0, 0),), 1.0),
    ("position -1", "dec_self", ((0, 0),), 1.0),
    ("position +0", "dec_self", ((0, 1),), 1.0),
  ]
  shares = {score.key: score.values for score in found.scores}
  # Six steps read a word. All six have a step before them, four have two.
  assert shares["position--1"]["dec_self"] == [[1.0, 0.0, 2 / 6, 0.0]]
  assert shares["position--2"]["dec_self"] == [[0.0, 0.0, 2 / 4, 0.0]]
  assert shares["position-+1"] == {"enc_self": [[1.0]]}, "no step looks ahead"
  decoder = found.evidence[1]
  assert decoder.cases_ER.tolist() == [[3, 4, 4], [1, 2, 2], [0, 0, 0]], "in the text's order"
  assert decoder.hits_ERNH[:, 1, 0].tolist() == [[4, 0, 1, 0], [2, 0, 1, 0], [0, 0, 0, 0]]


def test_there_must_be_a_neighbour():
  with pytest.raises(UserError, match="--max-offset 0 must be at least 1"):
    positional.prepare(None, types.SimpleNamespace(max_offset=0, positional=0.9))
