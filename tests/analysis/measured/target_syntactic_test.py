"""Tests of headprune.analysis.measured.target_syntactic: synthetic attention with known answers."""

import dataclasses
import types

import pytest

from headprune.analysis import conllu
from headprune.analysis.edges import Case, Edge, Rule
from headprune.analysis.measured import positional, target_syntactic
from headprune.errors import UserError
from tests.analysis import subjects
from tests.analysis.parses import SENTENCE

pytestmark = pytest.mark.usefixtures("small_batches")

WORDS = ("saw", "I", "big", "red", "dogs")
IDS = [3, 4, 5, 6, 7, 1]
RULE = Rule(
  relations=("nsubj", "obj", "amod"), limit=0.1, min_cases=1, type="dec_self",
  text="text", excluded="the start",
)  # fmt: skip

# Step t reads word t - 1. The governors of I and dogs are saw, which step 1 reads; big and red are
# to the left of theirs, so the noun looks back at red, and they have nothing to look at.
UP = lambda t, src, tgt: {2: 1, 5: 1}.get(t, 0)
DOWN = lambda t, src, tgt: {5: 4}.get(t, t)


def of(rule, gates=(1.0,), pairs=2):
  return subjects.both_sides(
    [[3, 1]] * pairs, [IDS] * pairs, {"dec_self": ([rule] * len(gates), gates)}, WORDS
  )


def test_steps_follow_relations_to_the_left():
  share = lambda rule: {
    f.title: f.values["dec_self"][0][0]
    for f in target_syntactic.measure(of(rule), [SENTENCE] * 2, RULE).scores
  }
  assert share(UP) == {"amod head→dep": 0.0, "nsubj dep→head": 1.0, "obj dep→head": 1.0}
  assert share(DOWN) == {"amod head→dep": 1.0, "nsubj dep→head": 0.0, "obj dep→head": 0.0}


def test_only_answers_to_the_left_count():
  edge = Edge("amod", True)
  cases = [Case(edge, 2, (0, 1, 3)), Case(edge, 1, (2, 4)), Case(edge, 0, (0,))]
  assert target_syntactic.to_the_left(cases) == [Case(edge, 2, (0, 1))]


def test_the_baseline_is_that_of_the_same_cases():
  # An adjective on either side of b: to the right of their words, +1, there is nothing to count.
  cases = [1, -1, 1, 2], ["amod", "root", "amod", "nmod"]
  parsed = conllu.Sentence("a b c d", [(0, 1), (2, 3), (4, 5), (6, 7)], *cases)
  subject = subjects.both_sides(
    [[3, 1]], [[3, 4, 5, 6, 1]], {"dec_self": ([lambda t, src, tgt: 0], [1.0])}, tuple("abcd")
  )
  found = target_syntactic.count(subject, [parsed], ("amod", "nmod"))
  sums = found.offsets.values(), found.cases_ER.sum(0), found.baseline_ER.sum(0)
  offsets = dict(zip(map(str, found.offsets), zip(*sums)))
  # b looks back at a; c, and d, back at their governors.
  assert offsets == {
    "amod head→dep": (-1, 1, 1), "amod dep→head": (-1, 1, 1), "nmod dep→head": (-1, 1, 1),
  }  # fmt: skip


def test_a_sentence_that_was_not_parsed_has_no_case():
  found = target_syntactic.measure(of(UP, (0.5, 0.0), pairs=3), [None, SENTENCE, None], RULE)
  (told,) = found.evidence
  assert told.cases_ER.sum(1).tolist() == [0, 3, 0], "in the text's order"
  assert found.notes[0] == "The target's syntax is that of 1 of 3 sentences."
  rule = dataclasses.replace(RULE, limit=0.0)
  found = target_syntactic.measure(of(UP, (0.5, 0.0)), [SENTENCE] * 2, rule)
  assert [(f.name, f.type, f.heads) for f in found.functions] == [
    (f"{name} dep→head", "dec_self", ((0, 0),)) for name in ("nsubj", "obj")
  ]


def test_parses_are_found_by_their_text():
  lines = ["Saw I big red dogs", "nothing like it", "saw Ibigred  dogs"]
  first, nothing, last = target_syntactic.match(lines, iter([SENTENCE, SENTENCE]))
  assert nothing is None and (first.text, first.spans) == (lines[0], SENTENCE.spans)
  assert last.spans == [(0, 3), (4, 5), (5, 8), (8, 11), (13, 17)]
  assert last.relations == SENTENCE.relations


def test_the_option(tmp_path):
  row = "{}\t{}\t_\t_\t_\t_\t{}\t{}\t_\t_"
  rows = [row.format(i, *item) for i, item in enumerate((("saw", 0, "root"), ("I", 1, "nsubj")), 1)]
  (tmp_path / "parsed").write_text("\n".join(rows))
  options = types.SimpleNamespace(
    target_conllu=[str(tmp_path / "parsed")], relations="nsubj,obj", syntactic=0.0, min_cases=1
  )
  back = lambda t, src, tgt: max(t - 1, 0)
  subject = subjects.both_sides(
    [[3, 1]] * 2, [[3, 4, 1], [4, 1]], {"dec_self": ([back], [1.0])}, WORDS
  )
  plan = target_syntactic.prepare(subject, options)
  assert plan.settings == {
    "target_relations": "nsubj,obj", "target_syntactic": 0.0, "target_min_cases": 1,
    "target_parsed_sentences": 1, "target_conllu": plan.settings["target_conllu"],
  }  # fmt: skip
  (tmp_path / "other").write_text("\n".join(rows).replace("nsubj", "obj"))
  other = types.SimpleNamespace(**vars(options) | {"target_conllu": [str(tmp_path / "other")]})
  other_sum = target_syntactic.prepare(subject, other).settings["target_conllu"]
  assert other_sum != plan.settings["target_conllu"]
  found = plan.measure(subject)
  (function,) = found.functions
  assert (function.name, function.strength, function.baseline) == ("nsubj dep→head", 1.0, 1.0)
  (told,), (_, decoder) = found.evidence, positional.measure(subject, 0.9, 1).evidence
  assert told.weights(9, 0) is decoder.weights(9, 0), "the same sentences are drawn"
  other = subjects.both_sides([[3, 1]], [[5, 1]], {}, WORDS)
  with pytest.raises(UserError, match="--target-conllu .*parsed: no sentence is a line of"):
    target_syntactic.prepare(other, options)
  assert target_syntactic.prepare(subject, types.SimpleNamespace(target_conllu=None)) is None
