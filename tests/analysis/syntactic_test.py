"""Tests of headprune.analysis.syntactic: synthetic attention with known answers."""

import types

import numpy as np
import pytest

from headprune.analysis import conllu, syntactic
from headprune.analysis.syntactic import Case, Counts, Edge
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

# 0 saw -> nsubj 1, obj 4; 4 <- amod 2, amod 3
SENTENCE = conllu.Sentence(
  "saw I big red dogs",
  [(0, 3), (4, 5), (6, 9), (10, 13), (14, 18)],
  [-1, 0, 4, 4, 0],
  ["root", "nsubj", "amod", "amod", "obj"],
)
ONE_PIECE_EACH = [[0], [1], [2], [3], [4]]
UP = lambda q, ids: [5, 0, 4, 4, 0, 5][q]  # each word looks at its governor
DOWN = lambda q, ids: [1, 5, 5, 5, 3, 5][q]


def accuracies(rule, sentences=3):
  """Edge as text -> accuracy of a head that looks where `rule` says."""
  subject = subjects.encoder([], [rule], [1.0])
  nothing = conllu.Sentence("", [], [], [])
  parsed = [*[SENTENCE] * sentences, nothing]
  found = syntactic.count(subject, parsed, ("nsubj", "obj", "amod"))
  assert all(
    counts.cases == sentences * (1 + (str(e) == "amod dep→head")) for e, counts in found.items()
  )
  return {str(edge): float(counts.accuracy_NH[0, 0]) for edge, counts in found.items()}


def test_a_head_that_follows_edges_has_accuracy_one():
  up = accuracies(UP)
  assert up["nsubj dep→head"] == up["amod dep→head"] == up["obj dep→head"] == 1.0
  assert up["nsubj head→dep"] == up["amod head→dep"] == up["obj head→dep"] == 0.0
  down = accuracies(DOWN)
  assert down["nsubj head→dep"] == 1.0 and down["obj head→dep"] == 0.0
  assert down["amod head→dep"] == 1.0  # one of two adjectives is right


def test_one_case_for_each_word_and_relation():
  cases = syntactic.find_cases(SENTENCE, range(5), ("amod",))
  assert Case(Edge("amod", True), 4, (2, 3)) in cases
  assert len(cases) == 3


def test_relations_inside_a_unit_or_without_pieces_are_left_out():
  merged = syntactic.find_cases(SENTENCE, [0, 0, 1, -1, 2], ("nsubj", "amod"))
  assert merged == [Case(Edge("amod", True), 2, (1,)), Case(Edge("amod", False), 1, (2,))]


def test_pieces_sum_to_words():
  # A word of two pieces with 0.3 each beats one piece with 0.4; its own pieces are averaged.
  attn = np.array([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8], [0.5, 0.0, 0.5]], np.float32)
  top = syntactic.pointed_units(attn[None, None], [[0, 1], [2]])
  assert top.tolist() == [[[1, 0]]]  # (0.6 + 0.2) / 2 < (0.4 + 0.8) / 2; 0.5 == 0.5, the first


def test_baseline_is_the_most_frequent_offset():
  cases = syntactic.find_cases(SENTENCE, range(5), ("nsubj", "amod"))
  found = syntactic.baselines(cases + cases)
  assert found[Edge("nsubj", False)] == (-1, 1.0)
  assert found[Edge("amod", False)] == (1, 0.5)


def test_syntactic_is_ten_points_above_its_baseline():
  subject = subjects.encoder([], [UP] * 4, [1.0, 1.0, 0.5, 0.0])
  hits_NH = np.array([[30, 29, 90, 100]])
  edge = Edge("obj", True)
  found = {edge: Counts(hits_NH, 100, 2, 0.2)}  # 0.3 - 0.2 - 0.1 < 0, in floating point
  (function,) = syntactic.find(subject, found, 0.1, 100)
  assert function.heads == ((0, 0), (0, 2))  # exactly ten points count; a closed head does not
  assert (function.name, function.strength, function.baseline) == ("obj head→dep", 0.9, 0.2)
  assert syntactic.find(subject, found, 0.1, 101) == [], "too few cases"


def test_what_the_report_says(tmp_path):
  subject = subjects.encoder([], [UP, DOWN], [1.0, 1.0])
  found = syntactic.measure(subject, [SENTENCE] * 3, ("obj", "iobj"), 0.0, 3)
  assert [score.key for score in found.scores] == ["obj-dep-to-head", "obj-head-to-dep"]
  assert found.scores[0].values == {"enc_self": [[1.0, 0.0]]}
  assert [(f.name, f.heads) for f in found.functions] == [("obj dep→head", ((0, 0),))]
  (table,) = found.tables
  assert table.rows[0] == ("obj dep→head", 3, 1.0, 1.0, 0.0, -4, (0, 0))
  assert [c.name for c in table.columns][-2:] == ["offset", "head"]
  assert found.notes == (
    "Syntax is that of 3 parsed sentences.",
    "There is no case of iobj in the parsed sentences.",
  )


def test_no_best_head_where_none_is_open():
  subject = subjects.encoder([], [UP], [0.0])
  assert syntactic.measure(subject, [SENTENCE], ("obj",), 0.1, 1).tables == ()
  subject = subjects.encoder([], [DOWN, UP], [1.0, 0.0])
  (table,) = syntactic.measure(subject, [SENTENCE], ("obj",), 0.1, 1).tables
  assert table.rows[0][2] == 0.0 and table.rows[0][6] == (0, 0), "the closed head is better"


def test_subtypes_are_fit_for_file_names():
  assert Edge("nsubj:pass", True).key == "nsubj-pass-head-to-dep"


def test_sentences_are_read_as_the_vocabulary_wants_them(tmp_path):
  rows = ["1\tdo\t_\t_\t_\t_\t0\troot\t_\tSpaceAfter=No", "2\tnt\t_\t_\t_\t_\t1\tadvmod\t_\t_"]
  (tmp_path / "parsed").write_text("\n".join(rows))
  (tmp_path / "others").write_text("\n\n".join(["\n".join(rows)] * 2))
  options = types.SimpleNamespace(
    conllu=[str(tmp_path / "parsed"), str(tmp_path / "others")],  # three in all
    sentences=2,
    relations="advmod,,obj",
    syntactic=0.2,
    min_cases=5,
  )
  subject = subjects.encoder([], [lambda q, ids: 0], [1.0], words=("do", "nt"))
  plan = syntactic.prepare(subject, options)
  assert plan.settings == {
    "relations": "advmod,obj", "syntactic": 0.2, "min_cases": 5, "parsed_sentences": 2,
  }  # fmt: skip
  up = plan.measure().scores[0]
  assert (up.title, up.values) == (
    "advmod dep→head",
    {"enc_self": [[1.0]]},
  )  # two words, two pieces
  assert syntactic.prepare(subject, types.SimpleNamespace(conllu=None, text=["a"])) is None
