"""Tests of headprune.contributions: the command on small runs, from workdirs to page."""

import json
import os
import shutil
import sys
import zlib

import numpy as np
import pytest

from headprune import contributions
from headprune.errors import UserError
from headprune.runs import checkpoint
from headprune.runs.workdir import Workdir
from tests import small_run, tiny

LINES = [f"{a} dog saw {b} cat" for a in ("the", "a") for b in ("the", "red", "big")] + ["cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A text, and two runs: `run`, whose dev data it is, with two checkpoints, and `dense`."""
  folder = tmp_path_factory.mktemp("runs")
  (folder / "text").write_text("".join(f"{line}\n" for line in LINES))
  fields = {f"data__text__dev_{side}": str(folder / "text") for side in ("src", "tgt")}
  run = small_run.make(folder / "run", model__precision="bfloat16", **fields)
  params = {"model": tiny.random_params(run.translator.config, 11), "gates": run.log_alphas}
  checkpoint.save_params(Workdir(folder / "run"), params, 10)
  small_run.make(folder / "dense", gates__kind="none", gates__types=())
  return folder


def command(monkeypatch, *arguments):
  monkeypatch.setattr(sys, "argv", ["contributions", *map(str, arguments)])
  contributions.main()


def test_the_whole_command(folder, monkeypatch, capsys):
  runs = folder / "run", folder / "dense"
  command(monkeypatch, "--workdir", *runs, "--prefix", "reference,random", "--sentences", 4)
  workdir = Workdir(folder / "run")
  found = json.loads(workdir.contributions.read_text())
  assert (found["pairs"], found["source_length"], found["target_length"]) == (7, 6, 6)
  names = [(line["run"], line["prefix"], line["sentences"]) for line in found["lines"]]
  assert names == [
    (run, prefix, 4) for run in ("run", "dense") for prefix in ("reference", "random")
  ]
  for line in found["lines"]:
    curve = line["source_curve"]
    assert curve["first"] == 2 and len(curve["mean"]) == 5
    assert all(0 < low <= mean <= high < 1 for low, mean, high in
               zip(curve["low"], curve["mean"], curve["high"]))  # fmt: skip
    assert np.mean(line["total_curve"]["mean"]) == pytest.approx(1)
    assert line["source"]["mean"] == pytest.approx(np.mean(curve["mean"]))
  means = [line["source"]["mean"] for line in found["lines"]]
  assert found["lines"][2]["change"]["mean"] == pytest.approx(means[2] - means[0])
  assert means[0] != means[1], "another prefix"
  assert (workdir.figures / "contributions.svg").is_file()
  assert not (workdir.figures / "contributions-steps.svg").exists()
  assert "Source and target contributions" in workdir.contributions_page.read_text()
  printed = capsys.readouterr().out
  assert "Sentences of 6 source and 6 target tokens, EOS included, of a text of 7 pairs." in printed
  assert printed.count("reference") == 2 and str(workdir.contributions_page) in printed


def test_checkpoints_side_by_side(folder, monkeypatch):
  loaded, load = [], contributions.load
  monkeypatch.setattr(contributions, "load", lambda *of: loaded.append(of[1]) or load(*of))
  text = "--text", folder / "text", folder / "text"
  command(monkeypatch, "--workdir", folder / "run", "--checkpoints", "all", *text)
  workdir = Workdir(folder / "run")
  found = json.loads(workdir.contributions.read_text())["lines"]
  assert [line["checkpoint"] for line in found] == ["0", "10"] == loaded, "each is loaded once"
  assert found[0]["source"]["mean"] != found[1]["source"]["mean"]
  steps = workdir.figures / "contributions-steps.svg"
  assert steps.is_file()
  command(monkeypatch, "--workdir", folder / "run", "--checkpoints", "10", *text)
  assert not steps.exists(), "it is of another call"


def test_resamples_and_seed_are_those_of_the_command(folder, monkeypatch):
  def lines(*arguments):
    command(monkeypatch, "--workdir", folder / "run", "--sentences", 4, *arguments)
    found = json.loads(Workdir(folder / "run").contributions.read_text())
    return (found["resamples"], found["seed"]), found["lines"]

  settings, (own, other) = lines("--prefix", "reference,random", "--seed", 3, "--resamples", 50)
  assert settings == (50, 3)
  settings, (bare,) = lines("--resamples", 0)
  assert settings == (0, 0) and bare["source"]["low"] is None is bare["source_curve"]["high"][0]
  assert bare["source"]["mean"] == own["source"]["mean"] < own["source"]["high"]
  _, (_, first) = lines("--prefix", "reference,random", "--resamples", 0)
  assert first["source"]["mean"] != other["source"]["mean"], "random prefixes have the seed too"


def test_own_prefixes_are_the_translations(folder, monkeypatch):
  # "cat" becomes one word.
  command(monkeypatch, "--workdir", folder / "run", "--prefix", "own", "--length", 2, 2)
  (line,) = json.loads(Workdir(folder / "run").contributions.read_text())["lines"]
  assert (line["prefix"], line["sentences"]) == ("own", 1)
  assert len(line["source_curve"]["mean"]) == 1


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--sentences", 0], "--sentences 0 must be at least 1"),
    (["--resamples", -1], "--resamples -1 must be at least 0"),
    (["--seed", -1], "--seed -1 must be at least 0"),
    (["--resamples", 0, "--seed", 1], "--seed has no effect without --resamples or --prefix rand"),
    (["--length", 1, 5], "--length 1 5: both must be at least 2"),
    (["--prefix", "own,model"], "'model' is not one: reference, own, random"),
    (["--checkpoints", "5"], "'5' is not one of .*run: last, best, 0, 10"),
    (["--text", "missing.a", "missing.b"], "missing.a: no such file"),
  ],
)
def test_a_mistake_is_one_line(folder, monkeypatch, arguments, message):
  with pytest.raises(UserError, match=message):
    command(monkeypatch, "--workdir", folder / "run", *arguments)


def test_a_run_that_one_may_not_write_to_is_told_before_anything_is_measured(folder, monkeypatch):
  monkeypatch.setattr(contributions, "load", None)
  monkeypatch.setattr(os, "access", lambda *_: False)
  with pytest.raises(UserError, match="run is not a folder that one may write to"):
    command(monkeypatch, "--workdir", folder / "run")


def test_a_damaged_checkpoint_is_told_before_anything_is_measured(folder, monkeypatch, tmp_path):
  shutil.copytree(folder / "run", tmp_path / "run")
  (tmp_path / "run" / "checkpoints" / "10" / "params" / "_METADATA").write_text("{}")
  monkeypatch.setattr(contributions, "load", None)
  with pytest.raises(UserError, match="10: damaged (.*); checkpoint 0 is whole"):
    command(monkeypatch, "--workdir", tmp_path / "run", "--checkpoints", "all")


def test_runs_that_cannot_be_used(folder, monkeypatch, tmp_path):
  with pytest.raises(UserError, match="nowhere: not a run"):
    command(monkeypatch, "--workdir", folder / "run", tmp_path / "nowhere")
  shutil.copytree(folder / "dense", tmp_path / "other")
  with pytest.raises(UserError, match="dev data cannot be read .*give --text SRC TGT"):
    command(monkeypatch, "--workdir", tmp_path / "other")
  vocabulary = tmp_path / "other" / "tokenizer" / "src.vocab"
  words = vocabulary.read_text().split("\n")
  vocabulary.write_text("\n".join([*words[:3], *words[4:-1], words[3], ""]))
  meta = vocabulary.with_name("tokenizer.json")
  fields = json.loads(meta.read_text())
  fields["crc32"]["src.vocab"] = zlib.crc32(vocabulary.read_bytes())
  meta.write_text(json.dumps(fields))
  with pytest.raises(UserError, match="other/tokenizer: not the tokenizer that the run was made"):
    command(monkeypatch, "--workdir", folder / "run", tmp_path / "other")
  config = tmp_path / "other" / "config.json"
  fields = json.loads(config.read_text())
  del fields["tokenizer_files"]
  config.write_text(json.dumps(fields))
  with pytest.raises(UserError, match="other and .*run have other tokens for the same text"):
    command(monkeypatch, "--workdir", folder / "run", tmp_path / "other")
