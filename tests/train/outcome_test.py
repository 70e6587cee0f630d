"""The closing table names what a run was before where both are measured on the same text."""

import dataclasses
import shutil

import pytest

from headprune.files import write_json
from headprune.runs import config as config_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.train import outcome
from tests import small_run

DONE = Summary("trained", step=5, ends_at=(5, 0), dev_bleu=91.5, dev_loss=0.25, signature="nrefs:1")


@pytest.fixture
def start(tmp_path):
  """A run that others start from, with a config like theirs."""
  small_run.make(tmp_path / "start", init_from="nowhere", data__text__dev_src="dev.a")
  workdir = Workdir(tmp_path / "start")
  before = dataclasses.replace(DONE, dev_bleu=92.0, dev_loss=0.2)
  write_json(workdir.summary, before.to_json())
  (workdir.checkpoints / "0").rename(workdir.checkpoints / "5")
  return workdir


def _lines(start, **fields) -> list[str]:
  config = config_lib.load(start).unlock()
  config.update_from_flattened_dict({"init_from": str(start.path)} | fields)
  return outcome.table(config, start, DONE).split("\n")


def test_a_run_on_the_same_text_is_compared(start):
  lines = _lines(start, **{"data.text.train_src": "other.a"})
  assert lines[0].split() == ["dev", "BLEU", "92.00", "->", "91.50"]
  assert lines[1].split()[2:5] == ["0.2000", "->", "0.2500"]
  assert lines[-1].startswith(f"  files       {start.path}: ") and "not compared" not in lines[-2]


def test_a_start_from_another_checkpoint_is_not(start):
  lines = _lines(start, **{"init_checkpoint": "best"})
  assert lines[0].split() == ["dev", "BLEU", "91.50"] and "->" not in "".join(lines)


def test_checkpoints_that_are_gone_are_told(start):
  assert not any("its checkpoints are gone" in line for line in _lines(start))
  (start.checkpoints / "5").rename(start.checkpoints / "4")
  assert "note        summary.json is of checkpoint 5, but the newest here" in _lines(start)[-2]
  shutil.rmtree(start.checkpoints)
  assert _lines(start)[-2].startswith("  note        its checkpoints are gone: restore them, or")


def test_a_run_on_other_text_is_not(start):
  lines = _lines(start, **{"data.text.dev_src": "other.a"})
  assert lines[0].split() == ["dev", "BLEU", "91.50"] and "->" not in "".join(lines)
  assert lines[-2] == f"  note        {start.path} may have other dev and test text: not compared"
  write_json(start.summary, Summary("converted", "model.npz").to_json())
  assert "note" not in "".join(_lines(start, **{"data.text.dev_src": "other.a"}))


def test_a_loss_of_other_dev_pairs_is_not_compared(start):
  lines = _lines(start, **{"data.row_length": 15})
  assert lines[0].split() == ["dev", "BLEU", "92.00", "->", "91.50"]
  assert [line.split()[:3] for line in lines[1:3]] == [
    ["dev", "loss", "0.2500"], ["perplexity", "1.28"],
  ]  # fmt: skip
  assert lines[-2] == (
    f"  note        the dev loss of {start.path} is of other rows or tokens "
    "(config.data.row_length, config.tokenizer): not compared"
  )


def test_a_run_from_scratch_is_compared_with_none(start):
  assert "->" not in "".join(_lines(start, init_from=""))
