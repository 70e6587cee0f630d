"""Tests of headprune.analysis.functions: synthetic attention with known answers."""

import numpy as np
import pytest

from headprune.analysis import conllu, functions


def pointing(targets, memories, weight=0.9):
  """attn_QM: `weight` on each query's target, the rest spread evenly."""
  attn_QM = np.full((len(targets), memories), (1 - weight) / (memories - 1), np.float32)
  attn_QM[np.arange(len(targets)), targets] = weight
  return attn_QM


def one_head(attn_QM):
  return attn_QM[None, None, None]  # [N, B, H, Q, M]


WORDS = np.array([[True] * 5 + [False] * 2])  # five tokens, EOS, padding


def test_confidence_is_the_mean_of_the_largest_weights_without_eos():
  attn = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]], np.float32)
  word_BS = np.array([[True, True, False]])
  total_NH, count = functions.confidence(one_head(attn), word_BS, word_BS)
  assert count == 2
  np.testing.assert_allclose(total_NH / count, [[(0.5 + 0.1) / 2]], rtol=1e-6)


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_a_head_that_looks_at_one_relative_position(offset):
  targets = np.clip(np.arange(7) + offset, 0, 6)
  counts = functions.positional(one_head(pointing(targets, 7)), WORDS, 2)
  share_ONH = functions.share(counts)
  # Where the sentence has no such position a token does not count; EOS is a position.
  assert counts[1].tolist() == [3, 4, 5, 5, 4]
  assert share_ONH[offset + 2, 0, 0] == 1.0
  names = functions.label(share_ONH, {}, {}, np.zeros((1, 1)), functions.Thresholds())
  assert names == [[[f"position {offset:+d}"]]]


def test_positional_needs_its_share():
  targets = [0, 0, 1, 2, 4, 0, 0]  # three of the four tokens that have a neighbour look one back
  share_ONH = functions.share(functions.positional(one_head(pointing(targets, 7)), WORDS, 1))
  assert share_ONH[:, 0, 0].tolist() == [0.75, 0.4, 0.0]
  label = lambda limit: functions.label(
    share_ONH, {}, {}, np.zeros((1, 1)), functions.Thresholds(positional=limit)
  )
  assert label(0.75) == [[["position -1"]]] and label(0.76) == [[[]]]


def test_an_offset_that_few_tokens_have_is_no_position():
  assert functions.common(np.array([2, 4, 5, 6, 5, 4, 2])).tolist() == [False, *[True] * 5, False]


def test_rare_words():
  rank_V = np.arange(10)  # id 9 is the least frequent
  ids = np.array([[3, 9, 4, 8, 2, 1, 1]])
  on_rarest, on_second = pointing([1] * 7, 7), pointing([3] * 7, 7)
  both = np.stack([on_rarest, on_second])[None, None]
  hits, cases = functions.rare(both, ids, WORDS, rank_V, top=5)
  assert cases == 5
  assert functions.share((hits, cases)).tolist() == [[[1.0, 0.0]], [[1.0, 1.0]]]
  assert functions.rare(both, ids, WORDS, rank_V, top=10)[1] == 0


def test_rare_words_skip_eos_and_count_every_occurrence():
  ids = np.array([[9, 3, 9, 4, 4, 1, 1]])
  attn = pointing([5] * 7, 7)  # all on EOS
  attn[:, 2] += 0.05  # the second occurrence of the rarest comes next
  hits, cases = functions.rare(one_head(attn), ids, WORDS, np.arange(10), top=0)
  assert hits[0, 0, 0] == cases == 5


def test_ranks_by_frequency():
  assert functions.ranks([[4, 4, 2], [4, 2, 3]], 5).tolist() == [3, 4, 1, 2, 0]


# 0 saw -> nsubj 1, obj 4; 4 <- amod 2, amod 3
SENTENCE = conllu.Sentence(
  "saw I big red dogs",
  [(0, 3), (4, 5), (6, 9), (10, 13), (14, 18)],
  [-1, 0, 4, 4, 0],
  ["root", "nsubj", "amod", "amod", "obj"],
)
ONE_PIECE_EACH = [[0], [1], [2], [3], [4]]


def syntactic_shares(targets):
  cases = functions.cases(SENTENCE, range(5), ("nsubj", "obj", "amod"))
  top = functions.pointed_units(pointing(targets, 6)[None, None], ONE_PIECE_EACH)
  counts = functions.syntactic(top, cases)
  return {name: float(functions.share(count)[0, 0]) for name, count in counts.items()}


def test_a_head_that_follows_edges_has_accuracy_one():
  up = syntactic_shares([5, 0, 4, 4, 0, 5])  # each word looks at its governor
  assert up["nsubj dep→head"] == up["amod dep→head"] == up["obj dep→head"] == 1.0
  assert up["nsubj head→dep"] == up["amod head→dep"] == up["obj head→dep"] == 0.0
  down = syntactic_shares([1, 5, 5, 5, 3, 5])
  assert down["nsubj head→dep"] == 1.0 and down["obj head→dep"] == 0.0
  assert down["amod head→dep"] == 1.0  # one of two adjectives is right


def test_one_case_for_each_word_and_relation():
  cases = functions.cases(SENTENCE, range(5), ("amod",))
  assert functions.Case("amod head→dep", 4, (2, 3)) in cases
  assert len(cases) == 3


def test_relations_inside_a_unit_or_without_pieces_are_left_out():
  merged = functions.cases(SENTENCE, [0, 0, 1, -1, 2], ("nsubj", "amod"))
  assert merged == [
    functions.Case("amod head→dep", 2, (1,)),
    functions.Case("amod dep→head", 1, (2,)),
  ]


def test_pieces_sum_to_words():
  # A word of two pieces with 0.3 each beats one piece with 0.4; its own pieces are averaged.
  attn = np.array([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8], [0.5, 0.0, 0.5]], np.float32)
  top = functions.pointed_units(attn[None, None], [[0, 1], [2]])
  assert top.tolist() == [[[1, 0]]]  # (0.6 + 0.2) / 2 < (0.4 + 0.8) / 2; 0.5 == 0.5, the first


def test_baseline_is_the_most_frequent_offset():
  cases = functions.cases(SENTENCE, range(5), ("nsubj", "amod"))
  found = functions.baselines([cases, cases])
  assert found["nsubj dep→head"] == (-1, 1.0)
  assert found["amod dep→head"] == (1, 0.5)


def test_syntactic_is_ten_points_above_its_baseline():
  offset_ONH, rare_NH = np.zeros((3, 1, 3)), np.array([[0.0, 0.0, 0.5]])
  names = functions.label(
    offset_ONH,
    {"obj head→dep": np.array([[0.51, 0.49, 0.9]])},
    {"obj head→dep": (2, 0.41)},
    rare_NH,
    functions.Thresholds(),
  )
  assert names == [[["obj head→dep"], [], ["obj head→dep", "rare words"]]]


def test_counts_add_up():
  total = functions.add({"a": (1, 2)}, {"a": (3, 4), "b": (5, 6)})
  assert total == {"a": (4, 6), "b": (5, 6)}
