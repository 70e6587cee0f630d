"""Tests of headprune.analysis.result."""

import dataclasses
import json

import pytest

from headprune.analysis import result
from headprune.analysis.result import Kind
from headprune.errors import UserError
from headprune.runs.workdir import Workdir
from tests.analysis.results import RESULT


def test_results_survive_a_file(tmp_path):
  workdir = Workdir(tmp_path)
  result.write(workdir, RESULT)
  assert result.read(workdir) == RESULT
  plain = json.loads((tmp_path / "analysis.json").read_text(encoding="utf-8"))
  assert plain["scores"]["errors"]["values"]["dec_enc"] == [[0.375], [0.625]]
  assert plain["numbers"] == {"loss": 1.5} and plain["run"] == "a<b"


def test_intervals_and_chance_survive_too(tmp_path):
  kinds = (Kind("idle", "enc_self", "", useful=False, interval=(0, 2), chance=0.5),)
  functions = (dataclasses.replace(RESULT.functions[0], interval=(0.5, 0.75)),)
  sure = dataclasses.replace(RESULT, kinds=kinds, functions=functions)
  result.write(Workdir(tmp_path), sure)
  assert result.read(Workdir(tmp_path)) == sure


def change(path, value):
  plain = json.loads(json.dumps(result.to_json(RESULT)))
  inner = plain
  for key in path[:-1]:
    inner = inner[key]
  if value is None:
    del inner[path[-1]]
  else:
    inner[path[-1]] = value
  return plain


@pytest.mark.parametrize(
  "plain",
  [
    [],
    {"run": "an older version's", "scores": {}},
    change(["heads", "enc_self"], None),
    change(["scores", "errors", "values", "dec_enc"], [["x"]]),
    change(["scores", "errors", "kind"], "unheard of"),
    change(["scores", "errors", "unknown"], 1),
    change(["functions", 0, "heads"], [[0]]),
    change(["kinds", 0, "rule"], None),
    change(["kinds", 0, "interval"], None),  # as older versions wrote it
    change(["kinds", 0, "interval"], [1, 2, 3]),
    change(["functions", 0, "interval"], 0.5),
    change(["tables", 0, "rows", 0], ["too short"]),
    change(["tables", 0, "columns", 0, "form"], "unheard of"),
    change(["correlations", 0, "matrix"], 1),
    change(["numbers"], {"loss": "much"}),
  ],
)
def test_a_damaged_file_is_one_line(tmp_path, plain):
  (tmp_path / "analysis.json").write_text(json.dumps(plain))
  with pytest.raises(UserError, match="analysis.json: damaged, or of another version") as caught:
    result.read(Workdir(tmp_path))
  assert "\n" not in str(caught.value)


def test_which_checkpoint_it_is_of(tmp_path):
  workdir, early = Workdir(tmp_path), dataclasses.replace(RESULT, checkpoint="250")
  result.write(workdir, early)
  assert result.read(workdir) == early
  assert early.title == "a<b, checkpoint 250" and RESULT.title == "a<b"
  (tmp_path / "analysis.json").write_text(json.dumps(change(["checkpoint"], None)))
  assert result.read(workdir).checkpoint == "last", "older versions wrote none"


def test_a_run_that_was_trained_on_since(tmp_path):
  workdir, last = Workdir(tmp_path), dataclasses.replace(RESULT, step=600)
  result.write(workdir, last)
  assert result.read(workdir) == last
  assert not result.is_outdated(last, workdir), "without checkpoints nothing is newer"
  (workdir.checkpoints / "600").mkdir(parents=True)
  (workdir.stopped / "700").mkdir(parents=True)  # nothing but training goes on from it
  assert not result.is_outdated(last, workdir)
  (workdir.checkpoints / "800").mkdir()
  assert result.is_outdated(last, workdir)
  assert not result.is_outdated(dataclasses.replace(last, checkpoint="best"), workdir)
  assert not result.is_outdated(RESULT, workdir), "older versions wrote no step"


def test_open_heads_and_scores():
  assert list(RESULT.list_open("enc_self")) == [(0, 0), (1, 0)]
  assert RESULT.score("rarest").heading == "Rarest" and RESULT.score("errors").full is None
  with pytest.raises(KeyError):
    RESULT.score("bleu")
