"""What the corpus "grammar" knows about a run's dev set, and analyses that use it by themselves."""

import dataclasses
import types

import numpy as np
import pytest

from headprune.analysis import annotations, subject, survey
from headprune.analysis.measured import alignment, positional, syntactic
from headprune.runs import defaults
from headprune.text import sources
from tests import small_run

SIZES = {"kind": "grammar", "train": 30, "dev": 6, "test": 2}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
  """A run on the grammar, of which nothing was trained, and its dev set."""
  data = defaults.base().data
  data.corpus.update(SIZES)
  fields = {f"data__corpus__{name}": value for name, value in SIZES.items()}
  run = small_run.make(tmp_path_factory.mktemp("runs") / "run", data__kind="corpus", **fields)
  return subject.encode(run, *sources.read_dev(run.config.data, ""))


def test_the_dev_set_is_known(analysed):
  pairs = annotations.known(analysed, survey.options())
  assert [(pair.source, pair.target) for pair in pairs] == analysed.text and len(pairs) == 6


@pytest.mark.parametrize(
  "changes, text",
  [({"data.corpus.kind": "cldr"}, None), ({"data.kind": "text"}, None), ({}, ["a", "b"])],
)
def test_no_other_text_is(analysed, changes, text):
  config = analysed.run.config.copy_and_resolve_references()
  config.update_from_flattened_dict(changes)
  other = dataclasses.replace(analysed, run=types.SimpleNamespace(config=config))
  assert annotations.known(other, survey.options(text=text)) == []


def test_lines_that_are_not_the_dev_set_are_not_known(analysed):
  lines = [[pair[side] for pair in analysed.text[::-1]] for side in (0, 1)]
  other = subject.encode(analysed.run, *lines)
  assert annotations.known(other, survey.options()) == []
  assert alignment.prepare(other, survey.options()) is None
  longer = subject.encode(analysed.run, *([*side, "a cat"] for side in zip(*analysed.text)))
  assert annotations.known(longer, survey.options()) == []
  shorter = subject.encode(analysed.run, *([*side][:4] for side in zip(*analysed.text)))
  assert len(annotations.known(shorter, survey.options())) == 6


def test_analyses_use_it_and_say_so(analysed):
  options = survey.options()
  syntax, links = syntactic.prepare(analysed, options), alignment.prepare(analysed, options)
  assert syntax.settings["conllu"] == links.settings["alignments"] == "the grammar's own"
  assert syntax.settings["parsed_sentences"] == 6
  pairs = annotations.known(analysed, options)
  cases = sum(row.relation == "nsubj" for pair in pairs for row in pair.rows)
  table = {row[0]: row for row in syntax.measure(analysed).tables[0].rows}
  assert table["nsubj dep→head"][1] == cases
  rates = links.measure(analysed).scores[0].values["dec_enc"]
  assert 0 < np.min(rates) <= np.max(rates) <= 1


def test_parses_of_the_text_are_resampled_with_it(analysed):
  options = survey.options()
  lines = [*zip(*analysed.text)]
  (own,) = syntactic.prepare(analysed, options).measure(analysed).evidence
  (_, decoder) = positional.measure(analysed, 0.9, 1).evidence
  assert own.weights(9, 0) is decoder.weights(9, 0)
  longer = [lines[0], (*lines[1][:5], "a " * subject.MAX_LENGTH)]
  shorter = subject.encode(analysed.run, *longer)  # the last pair is left out, its parse is not
  assert len(shorter.text) == 5
  (own,) = syntactic.prepare(shorter, options).measure(shorter).evidence
  assert (own.text, len(own.cases_ER)) == ("parsed source", 6)


def test_files_come_first(analysed, tmp_path):
  pairs = annotations.known(analysed, survey.options())
  (tmp_path / "a.conllu").write_text(pairs[0].conllu + "\n")
  (tmp_path / "links").write_text("0-0\n" * 6)
  options = survey.options(conllu=[str(tmp_path / "a.conllu")], alignments=str(tmp_path / "links"))
  syntax, links = syntactic.prepare(analysed, options), alignment.prepare(analysed, options)
  assert syntax.settings["parsed_sentences"] == 1 and len(syntax.settings["conllu"]) == 8
  assert len(links.settings["alignments"]) == 8
