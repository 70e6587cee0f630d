"""Runs on real text, here and in CTranslate2."""

import dataclasses

import pytest

import headprune
from headprune.bench import deployed
from headprune.errors import UserError
from headprune.prune.cut import cut
from headprune.translator.translator import length_limits
from tests import small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("deployed")
  for side in ("src", "tgt"):
    (folder / f"dev.{side}").write_text("the dog saw a cat\na big dog\ncat\n")
  texts = {f"data__text__{split}_{side}": f"dev.{side}"
           for split in ("train", "dev") for side in ("src", "tgt")}  # fmt: skip
  return small_run.make(folder / "run", data__text__dir=str(folder), **texts)


def test_all_programs_translate_the_same_text(run, monkeypatch):
  seconds = [[2.0, 2.0, 4.0], [1.0, 4.0, 1.0], [0.5, 1.0, 1.0], [2.0, 2.0, 4.0]]
  seen = []

  def take_turns(calls, repeats):
    if repeats == 1:  # the engine's threads
      return [0.0] * len(calls), [[float(i)] for i in range(len(calls))]
    seen.extend(call() for call in calls)
    return [0.0] * len(calls), seconds

  monkeypatch.setattr(deployed.timing, "take_turns", take_turns)
  small = run.with_translator(cut(run.translator))
  rows = deployed.measure([run, small], ["ctranslate2"], 2, 100, 3)
  assert [row["program"] for row in rows] == ["headprune float32"] * 2 + [
    "ctranslate2, 1 thread(s)"
  ] * 2
  assert [row["sentences"] for row in rows] == [3] * 4
  assert [row["median"] for row in rows] == [1.5, 3.0, 3.0, 1.5]
  assert [row["ratio"] for row in rows[1:3]] == [[2.0, 0.5, 4.0], [4.0, 2.0, 4.0]]
  assert (
    rows[1]["megabytes"] < rows[0]["megabytes"] and rows[3]["megabytes"] == rows[2]["megabytes"]
  )
  assert seen[0] == run.translate(deployed.test_text(run, 100)[0]) and len(seen[2]) == 3
  assert "4.00 (2.00 - 4.00)" in deployed.table(rows).split("\n")[3]


def test_text_is_the_test_set_else_the_dev_set(run):
  assert deployed.test_text(run, 2)[0] == ["the dog saw a cat", "a big dog"]
  corpus = headprune.runs.defaults.base()
  corpus.data.corpus.update({"train": 20, "dev": 4, "test": 3})
  both = headprune.runs.run.Run(run.workdir, corpus, run.translator, {}, *[run.src_tokenizer] * 2)
  assert len(deployed.test_text(both, 100)[0]) == 3


def test_a_run_whose_text_is_gone_is_named(run):
  config = headprune.runs.defaults.base()  # as of a converted run
  config.data.kind = "text"
  other = dataclasses.replace(run, config=config)
  with pytest.raises(UserError, match="/run: its dev .*dev_src is not set.* a run first"):
    deployed.test_text(other, 3)


def test_long_lines_are_not_cut_off_in_the_engine(run, tmp_path):
  engine = deployed.elsewhere(run, "ctranslate2", tmp_path / "x", 1, ["cat"])
  for words in (100, 200):  # of this model no translation ends
    (line,) = engine.translate(["dog " * words])
    assert len(line.split()) == length_limits(words + 1)[1]


@pytest.mark.parametrize("peer", ["opennmt", "ctranslate2:int3"])
def test_unknown_peers(run, tmp_path, peer):
  with pytest.raises(UserError, match=f"'{peer}' is not one of ctranslate2, ctranslate2:int8"):
    deployed.elsewhere(run, peer, tmp_path / "x", 1, [])
