"""Tests of headprune.analysis.measured.syntactic: synthetic attention with known answers."""

import types

import pytest

from headprune.analysis import conllu, survey
from headprune.analysis.edges import Rule
from headprune.analysis.measured import syntactic
from tests.analysis import subjects
from tests.analysis.parses import SENTENCE

pytestmark = pytest.mark.usefixtures("small_batches")

UP = lambda q, ids: [5, 0, 4, 4, 0, 5][q]  # each word looks at its governor
DOWN = lambda q, ids: [1, 5, 5, 5, 3, 5][q]


def accuracies(rule, sentences=3):
  """Edge as text -> accuracy of a head that looks where `rule` says."""
  subject = subjects.encoder([], [rule], [1.0])
  ids = subject.run.src_tokenizer.encode([SENTENCE.text])[0]
  found = syntactic.count(subject, [(SENTENCE, ids)] * sentences, ("nsubj", "obj", "amod"))
  names = list(map(str, found.offsets))
  assert found.cases_ER.tolist() == [[1 + (name == "amod dep→head") for name in names]] * sentences
  return dict(zip(names, found.hits_ERNH.sum((0, 2, 3)) / found.cases_ER.sum(0)))


def test_a_head_that_follows_edges_has_accuracy_one():
  up = accuracies(UP)
  assert up["nsubj dep→head"] == up["amod dep→head"] == up["obj dep→head"] == 1.0
  assert up["nsubj head→dep"] == up["amod head→dep"] == up["obj head→dep"] == 0.0
  down = accuracies(DOWN)
  assert down["nsubj head→dep"] == 1.0 and down["obj head→dep"] == 0.0
  assert down["amod head→dep"] == 1.0  # one of two adjectives is right


def test_a_head_that_beats_the_baseline_is_found():
  subject = subjects.encoder([], [UP, DOWN], [1.0, 1.0])
  rule = Rule(relations=("obj", "iobj"), limit=0.0, min_cases=3)
  found = syntactic.measure(subject, [SENTENCE] * 3, rule)
  assert [score.key for score in found.scores] == ["obj-dep-to-head", "obj-head-to-dep"]
  assert [(f.name, f.heads) for f in found.functions] == [("obj dep→head", ((0, 0),))]
  assert found.tables[0].rows[0] == ("obj dep→head", 3, 1.0, 1.0, 0.0, -4, (0, 0))
  assert found.notes == (
    "Syntax is that of 3 parsed sentences.",
    "There is no case of iobj in the parsed source sentences.",
  )


def test_the_note_counts_the_sentences_that_fit():
  subject = subjects.encoder([], [UP], [1.0])
  empty = conllu.Sentence("", [], [], [])
  long = conllu.Sentence("a " * 128, [(0, 1)], [-1], ["root"])
  rule = Rule(relations=("obj",), limit=0.0, min_cases=1)
  found = syntactic.measure(subject, [empty, SENTENCE, long], rule)
  assert found.notes == ("Syntax is that of 1 of 3 parsed sentences, those with 1 to 127 tokens.",)
  assert [part.cases_ER.tolist() for part in found.evidence] == [[[1, 1]]]


def test_sentences_are_read_as_the_vocabulary_wants_them(tmp_path):
  rows = ["1\tdo\t_\t_\t_\t_\t0\troot\t_\tSpaceAfter=No", "2\tnt\t_\t_\t_\t_\t1\tadvmod\t_\t_"]
  block = "\n".join(rows)
  (tmp_path / "parsed").write_text("\n\n".join([block] * 3))
  (tmp_path / "others").write_text("\n\n".join([block] * 2))
  options = types.SimpleNamespace(
    conllu=[str(tmp_path / "parsed"), str(tmp_path / "others")],
    sentences=2,
    relations="advmod,,obj",
    syntactic=0.2,
    min_cases=5,
  )
  subject = subjects.encoder([], [lambda q, ids: 0], [1.0], words=("do", "nt"))
  plan = syntactic.prepare(subject, options)
  assert plan.settings == {
    "relations": "advmod,obj", "syntactic": 0.2, "min_cases": 5, "parsed_sentences": 4,
    "conllu": plan.settings["conllu"],
  }  # fmt: skip
  (tmp_path / "parsed").write_text("\n\n".join([block] * 2))
  assert syntactic.prepare(subject, options).settings == plan.settings, "the third is not read"
  (tmp_path / "others").write_text("\n\n".join([block, block.replace("advmod", "obj")]))
  assert syntactic.prepare(subject, options).settings["conllu"] != plan.settings["conllu"]
  up = plan.measure(subject).scores[0]
  assert (up.title, up.values) == (
    "advmod dep→head",
    {"enc_self": [[1.0]]},
  )  # two words, two pieces
  assert syntactic.prepare(subject, survey.options(text=["a"])) is None
