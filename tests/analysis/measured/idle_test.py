"""Tests of headprune.analysis.measured.idle: synthetic attention with known answers."""

import types

import numpy as np
import pytest

from headprune.analysis.measured import idle
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

WORDS = ("dog", ".", ",", "cat")
DOG, STOP, COMMA, CAT = 3, 4, 5, 6
SOURCES = [[DOG, STOP, 1], [CAT, COMMA, DOG, STOP, 1], [DOG, 1]]
TARGETS = [[CAT, STOP, 1], [DOG, 1], [DOG, COMMA, CAT, 1]]
END = lambda q, src, tgt: len(src) - 1
START = lambda q, src, tgt: 0
SECOND = lambda q, src, tgt: 1


def subject(**heads):
  return subjects.both_sides(SOURCES, TARGETS, heads, WORDS)


def measure(whole, limit=0.9):
  return idle.prepare(whole, types.SimpleNamespace(idle=limit)).measure(whole)


def test_heads_that_look_at_the_end_are_idle():
  found = measure(
    subject(enc_self=([END, SECOND, END], [1.0, 1.0, 0.0]), dec_enc=([START, END], [1.0, 0.5]))
  )
  assert [(f.kind, f.name, f.type, f.heads, f.strength) for f in found.functions] == [
    ("idle", "idle on EOS", "enc_self", ((0, 0),), 1.0),
    ("idle", "idle on the start", "dec_self", ((0, 0), (0, 1)), 1.0),
    ("idle", "idle on EOS", "dec_enc", ((0, 1),), 1.0),
  ]
  ends = {score.key: score.values for score in found.scores}
  # Position 1 is the last sentence's EOS, which has one word of all seven.
  assert ends["on-EOS"]["enc_self"] == [[1.0, 1 / 7, 1.0]]
  assert ends["on-EOS"]["dec_enc"] == [[0.0, 1.0]] and list(ends["on-the-start"]) == ["dec_self"]
  assert {(kind.name, kind.type) for kind in found.kinds} == {
    ("idle", name) for name in ("enc_self", "dec_self", "dec_enc")
  }
  assert not any(kind.useful for kind in found.kinds)


def test_heads_that_look_at_punctuation():
  step_two = lambda t, src, tgt: min(t, 2)  # reads the stop, nothing (EOS) or the comma
  scores = measure(
    subject(enc_self=([SECOND], [1.0]), dec_self=([step_two], [1.0]), dec_enc=([SECOND], [1.0]))
  ).scores
  marks = {score.key: score.values for score in scores}["on-punctuation"]
  # The second word is punctuation in two sources: those of 2 + 4 of 7 words, 2 + 1 of 6 in targets.
  assert marks["enc_self"] == [[6 / 7]] and marks["dec_enc"] == [[3 / 6]]
  # Six steps read a word: step 2 the stop, step 2 and 3 look at the comma.
  assert marks["dec_self"] == [[3 / 6]]


def test_a_head_needs_its_share():
  half = lambda q, src, tgt: len(src) - 1 if len(src) == 5 else 0
  assert measure(subject(enc_self=([half], [1.0])), 4 / 7).functions[0].type == "enc_self"
  assert measure(subject(enc_self=([half], [1.0])), 4 / 7 + 1e-9).functions[0].type == "dec_self"
  plan = idle.prepare(subject(), types.SimpleNamespace(idle=0.8))
  assert plan.settings == {"idle": 0.8}


def test_the_start_and_the_padding_are_no_words():
  batch = {
    "src_BS": np.array([[DOG, STOP, 1, 0]]), "src_segment_BS": np.array([[1, 1, 1, 0]]),
    "tgt_BT": np.array([[STOP, CAT, 1, 0]]), "tgt_segment_BT": np.array([[1, 1, 1, 0]]),
  }  # fmt: skip
  mark_V = np.array([True, True, True, False, True, False, False])  # as if EOS were a mark
  rows = {
    name: [x_1X[0].astype(int).tolist() for x_1X in masks]
    for name, masks in idle.places(batch, mark_V, mark_V).items()
  }
  assert rows == {  # who looks, the end or start, punctuation
    "enc_self": [[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]],
    "dec_self": [[0, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]],
    "dec_enc": [[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]],
  }


@pytest.mark.parametrize("piece, answer", [
  (".", True), ("\u2581,", True), ("...", True), ("«", True), ("\u2581", False), ("", False),
  ("a.", False), ("+", False), ("_EOS_", False), ("€", False), ("—", True),
])  # fmt: skip
def test_punctuation_is_unicodes(piece, answer):
  assert idle.is_punctuation(piece) == answer
