"""Tests of headprune.analysis.edges: cases, baselines, and heads that beat them."""

import argparse
import dataclasses

import numpy as np
import pytest

from headprune.analysis import edges, evidence
from headprune.analysis.edges import Case, Counts, Edge, Rule
from headprune.errors import UserError
from tests.analysis import subjects
from tests.analysis.parses import SENTENCE


def test_one_case_for_each_word_and_relation():
  cases = edges.find_cases(SENTENCE, range(5), ("amod",))
  assert Case(Edge("amod", True), 4, (2, 3)) in cases
  assert len(cases) == 3


def test_relations_inside_a_unit_or_without_pieces_are_left_out():
  merged = edges.find_cases(SENTENCE, [0, 0, 1, -1, 2], ("nsubj", "amod"))
  assert merged == [Case(Edge("amod", True), 2, (1,)), Case(Edge("amod", False), 1, (2,))]


def test_pieces_sum_to_words():
  # A word of two pieces with 0.3 each beats one piece with 0.4; its own pieces are averaged.
  attn = np.array([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8], [0.5, 0.0, 0.5]], np.float32)
  top = edges.pointed_units(attn[None, None], [[0, 1], [2]])
  assert top.tolist() == [[[1, 0]]]  # (0.6 + 0.2) / 2 < (0.4 + 0.8) / 2; 0.5 == 0.5, the first


def test_counts_of_each_sentence_and_the_most_frequent_offset():
  whole = edges.find_cases(SENTENCE, range(5), ("nsubj", "amod"))
  part = [case for case in whole if case.query == 2]  # the first adjective alone
  up = np.array([[[1, 0, 4, 4, 0]]])  # where the words of a sentence look; [N, H, U]
  found = edges.count([whole, part, []], [(1, up), (0, up), (2, up[..., :0])], (1, 1))
  names = list(found.offsets)
  assert names == sorted(names) and len(names) == 4
  nsubj, amod = names.index(Edge("nsubj", False)), names.index(Edge("amod", False))
  hits_ER = found.hits_ERNH[..., 0, 0]
  assert hits_ER[:, nsubj].tolist() == [1, 0, 0] and found.offsets[names[nsubj]] == -1
  assert hits_ER[:, amod].tolist() == found.cases_ER[:, amod].tolist() == [2, 1, 0]
  # +2 from the first adjective, twice; +1 from the second, once.
  assert found.offsets[names[amod]] == 2 and found.baseline_ER[:, amod].tolist() == [1, 1, 0]
  assert found.offsets[Edge("amod", True)] == -1, "of two equally frequent ones the nearer"


RULE = Rule(relations=("obj",), limit=0.1, min_cases=100)
OBJ, AMOD = Edge("obj", True), Edge("amod", True)


def test_a_rule_and_its_settings_from_options():
  options = argparse.Namespace(relations="obj,, amod", syntactic=0.2, min_cases=7)
  rule = edges.rule_of(options, text="other")
  assert rule == Rule(relations=("obj", "amod"), limit=0.2, min_cases=7, text="other")
  own = {"relations": "obj,amod", "syntactic": 0.2, "min_cases": 7}
  assert edges.settings(rule, 3, "x") == own | {"parsed_sentences": 3, "conllu": "x"}
  target = edges.settings(edges.rule_of(options, type="dec_self"), 3, "x")
  assert list(target)[0] == "target_relations" and target["target_conllu"] == "x"
  options.syntactic = 2.0
  with pytest.raises(UserError, match="--syntactic 2 is a share"):
    edges.rule_of(options)


def counts(hits_NH, *others):
  """Of obj 100 cases, of which the offset is right in 20; `others` are hits_NH of 50 of amod."""
  cases_1R, baseline_1R = (np.array([row[: 1 + len(others)]]) for row in ([100, 50], [20, 25]))
  offsets = dict.fromkeys((OBJ, AMOD)[: 1 + len(others)], 2)
  return Counts(offsets, np.array([[hits_NH, *others]]), cases_1R, baseline_1R)


def test_syntactic_is_ten_points_above_its_baseline():
  subject = subjects.encoder([], [lambda q, ids: 0] * 4, [1.0, 1.0, 0.5, 0.0])
  found = counts([[30, 29, 90, 100]])  # 0.3 - 0.2 - 0.1 < 0, in floating point
  (function,) = evidence.functions(subject, edges.gather(found, RULE))
  assert function.heads == ((0, 0), (0, 2))  # exactly ten points count; a closed head does not
  assert (function.name, function.strength, function.baseline) == ("obj head→dep", 0.9, 0.2)
  assert (function.kind, function.type, function.measure) == ("syntactic", "enc_self", "accuracy")
  rare = dataclasses.replace(RULE, min_cases=101)
  assert evidence.functions(subject, edges.gather(found, rare)) == ()


def test_what_the_report_says():
  subject = subjects.encoder([], [lambda q, ids: 0] * 2, [1.0, 1.0])
  found = counts([[40, 50]], [[0, 1]])
  rule = dataclasses.replace(RULE, relations=("obj", "amod", "iobj"))
  told = edges.findings(subject, found, rule, ["Parsed."])
  assert [score.key for score in told.scores] == ["obj-head-to-dep", "amod-head-to-dep"]
  assert told.scores[0].values == {"enc_self": [[0.4, 0.5]]}
  (table,) = told.tables
  assert table.rows[0] == ("obj head→dep", 100, 0.5, 0.2, 0.3, 2, (0, 1))
  assert [c.name for c in table.columns][-2:] == ["offset", "head"]
  assert told.notes == ("Parsed.", "There is no case of iobj in the parsed source sentences.")
  assert "at least 12.5 points above" in str(dataclasses.replace(rule, limit=0.125))
  assert "at least 10 points above" in told.kinds[0].rule and "100 cases" in told.kinds[0].rule
  nothing = edges.findings(subject, edges.count([], [], (1, 2)), rule, [])
  assert nothing.functions == nothing.tables == ()
  (empty,) = nothing.evidence
  assert (empty.kind, empty.type, empty.usable_R.tolist()) == ("syntactic", "enc_self", [])
  assert empty.passing(empty.weights(3, 0)).shape == (3, 0, 1, 2)


def test_edges_with_too_few_cases_are_told():
  subject = subjects.encoder([], [lambda q, ids: 0], [1.0])
  rule = dataclasses.replace(RULE, min_cases=101)
  told = edges.findings(subject, counts([[90]]), rule, ["Parsed."])
  assert told.notes == ("Parsed.", "No relation of the source has 101 cases (--min-cases).")


def test_the_decoders_findings_are_told_apart():
  subject = subjects.both_sides([], [], {"dec_self": ([lambda t, src, tgt: 0], [1.0])})
  rule = dataclasses.replace(RULE, type="dec_self", text="other", excluded="the start")
  rule = dataclasses.replace(rule, relations=("obj", "iobj"))
  told = edges.findings(subject, counts([[90]]), rule, [])
  assert told.notes == ("There is no case of iobj in the parsed target sentences.",)
  assert [f.type for f in told.functions] == [told.kinds[0].type] == ["dec_self"]
  assert told.scores[0].key == "target-obj-head-to-dep"
  assert told.scores[0].values == {"dec_self": [[0.9]]}
  assert told.kinds[0].rule.startswith("to words further left, at least 10 points")
  assert told.tables[0].title == "Syntactic relations in the decoder"
  assert told.evidence[0].text == "other"


def test_no_best_head_where_none_is_open():
  tables = lambda hits_NH, gates: (
    edges.findings(
      subjects.encoder([], [lambda q, ids: 0] * len(gates), gates), counts(hits_NH), RULE, []
    ).tables
  )
  assert tables([[90]], [0.0]) == ()
  (table,) = tables([[10, 90]], [1.0, 0.0])
  assert table.rows[0][2] == pytest.approx(0.1) and table.rows[0][6] == (0, 0), "closed is better"


def test_subtypes_are_fit_for_file_names():
  assert Edge("nsubj:pass", True).key == "nsubj-pass-head-to-dep"
