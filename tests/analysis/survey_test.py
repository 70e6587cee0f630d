"""Tests of headprune.analysis.survey: one list of analyses, which all that they say comes from."""

import argparse
import dataclasses
import functools
import sys
import types

import numpy as np
import pytest

from headprune import analyze
from headprune.analysis import plug, result, subject, survey
from headprune.analysis.evidence import Counted
from headprune.analysis.report import page as report_page
from headprune.analysis.result import Column, Findings, Function, Kind, Score, Table
from headprune.runs.run import Run
from tests import small_run
from tests.analysis.page import Page

TEXT = ["the dog saw a cat", "a big red dog", "a cat"], ["a cat saw", "the dog", "dog"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return small_run.make(tmp_path_factory.mktemp("runs") / "run")


def _add_options(add):
  add("--width", type=float, default=2.0)


def _measure(width, whole):
  values = whole.as_lists({"dec_self": np.array([[width, 0.0], [1.0, 0.0]])})
  heads = whole.find_heads("dec_self", np.array([[True, True], [False, False]]))
  return Findings(
    scores=(Score("breadth", "breadth of heads", "how broad they are", values),),
    kinds=(Kind("broad", "dec_self", f"a breadth of at least {width}"),),
    functions=(Function("broad", "breadth", "dec_self", heads, "breadth", 0.5),),
    tables=(Table("Broad heads", "the broadest", (Column("head", "head"),), (((0, 0),),)),),
    numbers={"breadth": width},
    notes=("Breadth was measured.",),
  )


# A new analysis: these three functions would be its file.
BREADTH = types.SimpleNamespace(
  __name__="headprune.analysis.breadth_of",
  add_options=_add_options,
  prepare=lambda whole, options: plug.Plan(
    functools.partial(_measure, options.width), {"width": options.width}
  ),
)


def test_an_analysis_is_one_file_and_one_entry_in_the_list(run, monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(survey, "ANALYSES", (BREADTH,))
  for name, lines in zip("st", TEXT):
    (tmp_path / name).write_text("\n".join(lines))
  arguments = ["--text", str(tmp_path / "s"), str(tmp_path / "t"), "--width", "3"]
  monkeypatch.setattr(sys, "argv", ["analyze", "--workdir", str(run.workdir.path), *arguments])
  analyze.main()  # the command takes its option, and prints what it found
  printed = capsys.readouterr().out
  assert (
    "breadth            1.1: breadth 50%\n" in printed and "note: Breadth was measured." in printed
  )
  assert "Decoder self-attention: 1 broad (1 by chance), 1 unknown." in printed
  found = result.read(run.workdir)
  assert found.score("breadth").values == {"dec_self": [[3.0, 0.0], [1.0, 0.0]]}
  text = found.settings.pop("text")  # which one, not all of it
  assert len(text) == 8 and found.settings == {"sentences": 3, "width": 3.0}
  assert found.numbers == {"breadth": 3.0}
  page = Page(run.workdir.report.read_text(encoding="utf-8"))
  for text in ("Breadth of heads", "how broad they are", "Broad heads", "a breadth of at least 3"):
    assert text in page.text
  assert [["head"], ["1.1"]] in page.tables
  assert (run.workdir.figures / "breadth.svg").is_file()
  assert (run.workdir.figures / "functions.svg").is_file()


def test_options_are_the_commands():
  options = survey.options(lrp_sentences=0)
  assert options.lrp_sentences == 0 and options.sentences == 1000 and options.conllu is None
  with pytest.raises(TypeError, match="no such option: lrp_sentence; there are text, "):
    survey.options(lrp_sentence=0)


def test_no_two_analyses_share_an_option_or_a_setting(run):
  parser = argparse.ArgumentParser()
  survey.add_options(parser.add_argument)  # raises if they share an option
  whole = subject.encode(run, *TEXT)
  plans = survey.prepare(whole, survey.options())
  names = [name for plan in plans for name in plan.settings]
  assert sorted(set(names)) == sorted(names) == [
    "frequencies", "idle", "max_offset", "positional", "rare", "rare_top",
  ]  # fmt: skip


def test_functions_are_the_analyses_that_count_them(run):
  assert survey.ANALYSES[-len(survey.FUNCTIONS) :] == survey.FUNCTIONS
  whole, options = subject.encode(run, *TEXT), survey.options(lrp_sentences=1)
  plans = survey.prepare_some(whole, options, survey.FUNCTIONS)
  assert [plan.name for plan in plans] == ["positional", "rare words", "idle"]
  assert all(isinstance(part, Counted) and part.kinds for part in survey.find(whole, plans))
  others = [analysis for analysis in survey.ANALYSES if analysis not in survey.FUNCTIONS]
  rest = survey.find(whole, survey.prepare_some(whole, options, others))
  assert len(rest) == 5 and not any(part.kinds for part in rest)


def test_options_of_some_analyses_alone(run):
  parser = argparse.ArgumentParser()
  survey.add_some_options(parser.add_argument, [BREADTH])
  options = parser.parse_args([])
  assert vars(options) == {"text": None, "sentences": 1000, "width": 2.0}
  (plan,) = survey.prepare_some(subject.encode(run, *TEXT), options, [BREADTH])
  assert (plan.name, plan.settings) == ("breadth of", {"width": 2.0})


def test_differences_between_settings():
  assert survey.differences({"a": 1, "b": "x"}, {"a": 1, "b": "x"}) == ""
  changed = survey.differences({"a": 1, "b": "x"}, {"b": "y", "a": 1, "c": 0.5})
  assert changed == "b x -> y; c None -> 0.5"


def test_progress_counts_every_sentence_of_every_analysis(run, tmp_path, monkeypatch):
  def bleu(self, sources, references, progress):
    progress(len(sources))
    return 0.0, ""

  monkeypatch.setattr(Run, "bleu", bleu)  # translating takes long
  (tmp_path / "links").write_text("0-0\n" * 3)
  (tmp_path / "parsed").write_text("1\tcat\t_\t_\t_\t_\t0\troot\t_\t_\n")
  done, stages = [], []
  whole = dataclasses.replace(subject.encode(run, *TEXT), progress=done.append)
  options = survey.options(
    lrp_sentences=1, bleu_sentences=2, alignments=str(tmp_path / "links"),
    conllu=[str(tmp_path / "parsed")], chance=1, resamples=0,
  )  # fmt: skip
  plans = survey.prepare(whole, options)
  survey.measure(whole, plans, options, lambda name, count: stages.append((name, count, sum(done))))
  counts = {name.split(",")[0]: count for name, count, _ in stages}
  assert [name for name, *_ in stages[:2]] == ["closing, 1 of 11", "gradient, 2 of 11"]
  assert counts["relevance"] == 1 and counts["bleu loss"] == 2 * (
    1 + 6
  )  # one head is open in each layer
  assert counts["syntactic"] == 1 and counts["rare words"] == 3
  assert counts["chance"] == 4 * 3 + 1 and stages[-1][0] == "chance, 1 of 1"
  ends = [*(before for *_, before in stages[1:]), sum(done)]
  for (name, count, before), end in zip(stages, ends):
    assert end - before == count, name


def test_everything_about_a_run(run):
  whole = subject.encode(run, *TEXT)
  found = survey.survey(whole, survey.options(rare_top=0, lrp_sentences=1, resamples=0))
  assert found.run == "run" and found.sentences == 3
  assert found.heads["enc_self"][0][1] == 0.0 < found.heads["enc_self"][0][0] < 1.0
  keys = [score.key for score in found.scores]
  assert keys[:6] == ["loss", "gradient", "relevance", "gate", "p_open", "confidence"]
  kinds = [(kind.name, kind.type) for kind in found.kinds]
  assert kinds[:3] == [
    ("positional", "enc_self"), ("positional", "dec_self"), ("rare words", "enc_self"),
  ]  # fmt: skip
  assert [kind for kind, _ in kinds[3:]] == ["idle"] * 3, "behind all others"
  own = np.mean(np.concatenate(run.score(*TEXT)))
  np.testing.assert_allclose(found.numbers["loss"], own, rtol=1e-5)
  assert found.numbers["rare_word_cases"] == 5 + 4 + 2
  assert found.score("loss").values["enc_self"][0][1] == 0.0  # closed already
  assert report_page.page(found)
