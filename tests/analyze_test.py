"""Tests of headprune.analyze: the command on a small run, from workdir to report."""

import argparse
import dataclasses
import json
import os
import shutil
import sys

import numpy as np
import pytest

from headprune import analyze
from headprune.analysis import result, subject, survey
from headprune.analysis.measured import positional, rare_words
from headprune.errors import UserError
from headprune.prune.cut import cut
from headprune.runs import stored
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from tests import small_run
from tests.analysis.page import Page
from tests.analysis.results import RESULT

ARTICLES = "the a red".split()
LINES = [f"{a} dog saw {b} cat big" for a in ARTICLES for b in ("the", "red", "big", "a")]
CONLLU = """1\tthe\t_\t_\t_\t_\t2\tdet\t_\t_
2\tdog\t_\t_\t_\t_\t3\tnsubj\t_\t_
3\tsaw\t_\t_\t_\t_\t0\troot\t_\t_
4\tred\t_\t_\t_\t_\t5\tamod\t_\t_
5\tcat\t_\t_\t_\t_\t3\tobj\t_\t_
6\tbig\t_\t_\t_\t_\t3\tpunct\t_\t_
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """The texts, and `run`: a run with gates, whose data they are."""
  folder = tmp_path_factory.mktemp("runs")
  for name in ("src", "tgt"):
    (folder / name).write_text("\n".join(LINES) + "\n")
  (folder / "parsed.conllu").write_text(CONLLU)
  (folder / "links").write_text("0-0 1-1\n" * len(LINES))
  fields = {
    f"data__text__{split}_{side}": str(folder / side)
    for split in ("train", "dev")
    for side in ("src", "tgt")
  }
  start = small_run.make(folder / "start", **fields).workdir
  start.finish(Summary("trained", dev_bleu=30.0), start.read_heads())
  run = small_run.make(
    folder / "run", model__precision="bfloat16", init_from=str(folder / "start"), **fields
  )
  run.workdir.finish(Summary("trained", dev_bleu=29.5, test_bleu=28.0), run.workdir.read_heads())
  gates = {n: a_NH.tolist() for n, a_NH in run.log_alphas.items()}
  rows = [json.dumps({"step": s, "log_alpha": gates}) + "\n" for s in (1, 2)]
  (folder / "run" / "metrics.jsonl").write_text("".join(rows))
  return folder


def command(monkeypatch, workdir, *arguments):
  monkeypatch.setattr(sys, "argv", ["analyze", "--workdir", str(workdir), *map(str, arguments)])
  analyze.main()


def test_the_whole_command(folder, monkeypatch, capsys):
  command(
    monkeypatch, folder / "run", "--conllu", folder / "parsed.conllu", "--alignments",
    folder / "links", "--rare-top", 0, "--lrp-sentences", 4, "--bleu-sentences", 4, "--aligning", 1,
    "--relations", "obj,amod,iobj", "--target-conllu", folder / "parsed.conllu", "--idle", 1,
  )  # fmt: skip
  workdir = Workdir(folder / "run")
  found = result.read(workdir)
  assert found.sentences == 12 and found.settings["parsed_sentences"] == 1
  assert found.numbers["rare_word_cases"] == 72
  assert [[gate > 0 for gate in row] for row in found.heads["enc_self"]] == [[True, False]] * 2
  importances = [score.key for score in found.scores if score.kind == "importance"]
  assert importances == [
    "loss", "gradient", "relevance", "bleu", "gate", "p_open", "confidence",
    "alignment-error-writing", "alignment-error-reading",
  ]  # fmt: skip
  assert found.score("loss").values["enc_self"][0][1] == 0.0  # closed already
  relevance = found.score("relevance").values["dec_enc"]
  np.testing.assert_allclose(np.sum(relevance, axis=1), 1.0, rtol=1e-3)
  assert 1 / 7 < min(found.score("confidence").values["enc_self"][0]) < 1
  sure, syntax, decoder_syntax = found.tables
  assert sure.rows[-1] == ("cross-attention", "with a function", 2, 2, 2, 2.0)
  rows = {row[0]: row for row in syntax.rows}
  assert rows["obj head→dep"][1] == 1 and rows["obj head→dep"][3] == 1.0
  assert rows["obj head→dep"][5] == 2, "two words further"
  assert [row[:2] for row in decoder_syntax.rows] == [("amod head→dep", 1), ("obj dep→head", 1)]
  page = workdir.report.read_text(encoding="utf-8")
  assert "Gates while pruning" in page and '["the","dog","saw","the","cat","big","_EOS_"]' in page
  rows = Page(page).tables[0]
  assert rows[:3] == [
    ["", "start", "run", "change"], ["dev BLEU", "30.00", "29.50", "-0.50"],
    ["test BLEU", "", "28.00", ""],
  ]  # fmt: skip
  assert Page(page).data["history"]["steps"] == [1, 2]
  names = {path.name for path in workdir.figures.iterdir()}
  assert {"confidence.svg", "retained.svg", "functions.svg", "gates.svg", "gates.gif"} <= names
  assert {"position--1.svg", "obj-head-to-dep.svg", "one-of-two-rarest.svg"} <= names
  assert "position--2.svg" not in names
  printed = capsys.readouterr().out
  assert str(workdir.report) in printed
  assert "Cross-attention: 2 aligning (2 by chance), 0 idle (best " in printed
  assert "There is no case of iobj in the parsed source sentences." in printed
  assert "The target's syntax is that of 1 of 12 sentences." in printed


def test_the_history_of_a_top_k_is_that_of_its_test_time_gates(tmp_path):
  run = small_run.make(tmp_path / "run", gates__kind="topk", l0__target_heads="50%")
  row = {"step": 1, "log_alpha": {"enc_self": [[0.5, 0.4]]}, "gates": {"enc_self": [[1.0, 0.0]]}}
  run.workdir.metrics.write_text(json.dumps(row) + "\n")
  history = analyze.draw(run, RESULT, [])
  assert (history.kind, history.gates) == ("topk", {"enc_self": [[[255, 0]]]})


def test_a_summary_is_not_shown_for_heads_of_another_checkpoint(folder):
  subject_ = subject.encode(analyze.load(folder / "run"), LINES, LINES)
  args = argparse.Namespace(
    workdir=str(folder / "run"), before=[str(folder / "start")] * 2, checkpoint="last"
  )
  before = [RESULT, dataclasses.replace(RESULT, checkpoint="best")]
  qualities = analyze._qualities(subject_, args, before)
  found = [(one.run, one.summary and one.summary.dev_bleu) for one in qualities]
  assert found == [("a<b", 30.0), ("a<b, checkpoint best", None), ("run", 29.5)]


def test_the_figure_of_functions_names_the_checkpoint(tmp_path):
  run = small_run.make(tmp_path / "run")
  analyze.draw(run, dataclasses.replace(RESULT, run="x", checkpoint="250"), [])
  assert "x, checkpoint 250" in (run.workdir.figures / "functions.svg").read_text("utf-8")


def test_runs_on_other_text_are_marked(folder, tmp_path):
  small_run.make(tmp_path / "other")
  run = analyze.load(folder / "run")
  paths = [str(folder / "start"), str(tmp_path / "other")]
  args = argparse.Namespace(workdir=str(folder / "run"), before=paths, checkpoint="last")
  found = analyze._qualities(subject.encode(run, LINES, LINES), args, [RESULT, RESULT])
  assert [bool(quality.comparable) for quality in found] == [True, False, True]
  other = Workdir(tmp_path / "other")
  other.finish(Summary("trained", dev_bleu=30.0), other.read_heads())
  for origin, same in zip(paths, (True, False)):
    started = dataclasses.replace(run, config=run.config.copy_and_resolve_references())
    started.config.unlock().init_from = origin
    args = argparse.Namespace(workdir=str(folder / "run"), before=[], checkpoint="last")
    found = analyze._qualities(subject.encode(started, LINES, LINES), args, [])
    assert [bool(quality.comparable) for quality in found] == [same, True]
  started.config.init_checkpoint = "best"
  found = analyze._qualities(subject.encode(started, LINES, LINES), args, [])
  assert [quality.run for quality in found] == ["run"], "a summary is of the last checkpoint"


def test_a_run_that_was_cut_gives_the_same(folder):
  run = subject.encode(analyze.load(folder / "run"), LINES, LINES).run
  small = run.with_translator(cut(run.translator))
  options = survey.options(lrp_sentences=4, chance=0)
  whole, rest = (survey.survey(subject.encode(r, LINES, LINES), options) for r in (run, small))
  np.testing.assert_allclose(rest.numbers["loss"], whole.numbers["loss"], rtol=1e-5)
  for score in ("loss", "gradient", "relevance"):
    for name in run.gates():
      kept = [row[:1] for row in whole.score(score).values[name]]
      np.testing.assert_allclose(rest.score(score).values[name], kept, rtol=2e-3, atol=1e-6)
  assert rest.heads == {name: [[1.0], [1.0]] for name in run.gates()}


def test_a_run_whose_data_are_gone_needs_other_text(folder, monkeypatch, capsys, tmp_path):
  run = small_run.make(tmp_path / "run")
  run.workdir.finish(Summary("trained", dev_bleu=29.5), run.workdir.read_heads())
  with pytest.raises(UserError, match="dev data cannot be read .*give --text SRC TGT"):
    command(monkeypatch, tmp_path / "run")
  text = "--text", folder / "src", folder / "tgt", "--sentences", 8
  brief = "--lrp-sentences", 0, "--maps", 0, "--checkpoint", 0, "--chance", 0
  command(monkeypatch, tmp_path / "run", *text, *brief)
  assert "Words are counted in the analysed text itself" in capsys.readouterr().out
  found = result.read(Workdir(tmp_path / "run"))
  assert found.checkpoint == "0"
  assert found.sentences == 8 and "aligning" not in found.settings
  assert [score.key for score in found.scores if score.key == "relevance"] == []
  page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
  assert "Attention maps" not in page and "Heads of run, checkpoint 0" in page
  assert "dev BLEU" not in page, "the summary tells of the last checkpoint"


def test_before_and_after(folder, monkeypatch, capsys, tmp_path):
  shutil.copytree(folder / "run", tmp_path / "run")
  (tmp_path / "run" / "metrics.jsonl").unlink()  # figures of the gates take long
  (tmp_path / "run" / "stopped" / "3").mkdir(parents=True)  # only training goes on from there
  monkeypatch.setattr(survey, "ANALYSES", (positional, rare_words))
  brief = "--maps", 0, "--chance", 0, "--resamples", 0
  with pytest.raises(UserError, match="no analysis.json; run headprune analyze on it first"):
    command(monkeypatch, tmp_path / "run", "--before", tmp_path / "nowhere", *brief)
  # With a share of nothing at least, all open encoder heads look at rare words.
  command(monkeypatch, tmp_path / "run", "--rare", 0, "--rare-top", 0, *brief)
  earlier = result.read(Workdir(tmp_path / "run"))
  assert [f.heads for f in earlier.functions if f.kind == "rare words"] == [((0, 0), (1, 0))]
  assert earlier.step == 0
  lost = result.Function("positional", "position +4", "enc_self", ((0, 0),), "share", 1.0)
  dense = tmp_path / "dense" / "run"
  dense.mkdir(parents=True)
  result.write(Workdir(dense), dataclasses.replace(earlier, functions=(*earlier.functions, lost)))
  before = "--before", dense
  with monkeypatch.context() as patch:
    patch.setattr(stored, "last_step", lambda workdir: 900 if workdir.path == dense else 0)
    with pytest.raises(UserError, match=r"dense/run was trained on since it was analysed at step"):
      command(monkeypatch, tmp_path / "run", *before, *brief)
  command(monkeypatch, tmp_path / "run", *before, "--rare", 0, "--rare-top", 0, *brief)
  printed = capsys.readouterr().out
  assert "  kept   rare words (encoder self-attention)\n" in printed
  assert "  lost   position +4 (encoder self-attention)\n" in printed
  page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
  shown = Page(page)
  assert f"Heads of {tmp_path.name}/run" in shown.text
  assert "Before and after: dense/run" in shown.text, "both folders are called run"
  assert shown.tables[0][:2] == [
    ["", "dense/run", f"{tmp_path.name}/run", "change"],
    ["dev BLEU", "", "29.50", ""],  # the earlier one has no summary
  ]  # fmt: skip
  assert result.read(Workdir(tmp_path / "run")).run == "run"
  with pytest.raises(UserError, match=r"otherwise \(max_offset 5 -> 3; rare_top 0 -> 7\): analyse"):
    command(monkeypatch, tmp_path / "run", *before, "--rare", 0, "--rare-top", 7, "--max-offset", 3)
  (tmp_path / "other").write_text("\n".join(LINES[::-1]))
  text = "--text", tmp_path / "other", tmp_path / "other"
  with pytest.raises(UserError, match=r"otherwise \(text \w{8} -> \w{8}\): analyse"):
    command(monkeypatch, tmp_path / "run", *before, *text, "--rare", 0, "--rare-top", 0)
  (dense / "analysis.json").write_text("{}")
  with pytest.raises(UserError, match="analysis.json: damaged, or of another version"):
    command(monkeypatch, tmp_path / "run", *before)


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--before", "nowhere"], "--before nowhere: no analysis.json"),
    (["--resamples", -1], "--resamples -1 must be at least 0"),
    (["--lrp-sentences", -1], "--lrp-sentences -1 must be at least 0"),
    (["--bleu-sentences", -1], "--bleu-sentences -1 must be at least 0"),
    (["--maps", -1], "--maps -1 must be at least 0"),
    (["--positional", 90], "--positional 90 is a share, from 0 to 1"),
    (["--idle", "nan"], "--idle nan is a share, from 0 to 1"),
    (["--rare", -1], "--rare -1 is a share, from 0 to 1"),
    (["--alignments", "{}/links", "--aligning", 40], "--aligning 40 is a share"),
    (["--conllu", "missing.conllu"], "missing.conllu: no such file"),
    (["--relations", "obl"], "--relations has no effect without --conllu or --target-conllu"),
    (["--syntactic", 0.2], "--syntactic has no effect without --conllu or --target-conllu"),
    (["--min-cases", 5], "--min-cases has no effect without --conllu or --target-conllu: leave"),
    (["--aligning", 0.4], "--aligning has no effect without --alignments"),
    (
      ["--lrp-sentences", 0, "--lrp-rule", "proportional"],
      "--lrp-rule has no effect without --lrp-sentences",
    ),
    (
      ["--resamples", 0, "--chance", 0, "--seed", 1],
      "--seed has no effect without --resamples or --chance",
    ),
    (["--text", "missing.a", "missing.b"], "missing.a: no such file"),
  ],
)
def test_a_mistake_is_one_line(folder, monkeypatch, arguments, message):
  arguments = [str(a).format(folder) for a in arguments]
  with pytest.raises(UserError, match=message):
    command(monkeypatch, folder / "run", *arguments)


def test_a_run_that_one_may_not_write_to_is_told_before_anything_is_measured(folder, monkeypatch):
  monkeypatch.setattr(survey, "measure", None)
  monkeypatch.setattr(os, "access", lambda *_: False)
  with pytest.raises(UserError, match="run is not a folder that one may write to"):
    command(monkeypatch, folder / "run")
