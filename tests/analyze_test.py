"""Tests of headprune.analyze: the command on a small run, from workdir to report."""

import dataclasses
import json
import pathlib
import sys

from headprune.convert.__main__ import convert_original
import jax
import numpy as np
import pytest

from configs import common
from headprune import (
  analyze,
  checkpoint,
  compact,
  evaluate,
  model,
  proof,
  run,
  sources,
  tokenizer,
)
from headprune import config as config_lib
from headprune.analysis import survey
from headprune.errors import UserError

GOLDEN = pathlib.Path(__file__).parent / "golden"

ARTICLES = "the a one".split()
LINES = [f"{a} dog saw {b} cat ." for a in ARTICLES for b in ("the", "red", "old", "big")]
CONLLU = """1\tthe\t_\t_\t_\t_\t2\tdet\t_\t_
2\tdog\t_\t_\t_\t_\t3\tnsubj\t_\t_
3\tsaw\t_\t_\t_\t_\t0\troot\t_\t_
4\tred\t_\t_\t_\t_\t5\tamod\t_\t_
5\tcat\t_\t_\t_\t_\t3\tobj\t_\t_
6\t.\t_\t_\t_\t_\t3\tpunct\t_\t_
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A run of one layer with gates, one of them closed; random parameters."""
  folder = tmp_path_factory.mktemp("runs") / "small"
  folder.mkdir()
  for name in ("src", "tgt"):
    (folder.parent / name).write_text("\n".join(LINES) + "\n")
  (folder.parent / "parsed.conllu").write_text(CONLLU)
  config = common.base()
  config.model.update({"layers": 1, "model_size": 8, "ff_size": 8, "num_heads": 2})
  config.tokenizer.kind = "whitespace"
  config.gates.kind = "concrete"
  config.data.kind = "text"
  for name in ("train", "dev"):
    for side in ("src", "tgt"):
      config.data.text[f"{name}_{side}"] = str(folder.parent / side)
  config_lib.save(config, folder / "config.json")
  tokenizer.train("whitespace", LINES, LINES, 0, False, False, folder / "tokenizer")
  sizes = config_lib.model_config(
    config.model, *(t.vocab_size for t in tokenizer.load(folder / "tokenizer"))
  )
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  init = jax.jit(lambda key: model.Transformer(sizes).init(key, batch, model.ones(sizes)))
  gates = {name: np.array([[3.0, 0.0]], np.float32) for name in sizes.heads}
  gates["enc_self"][0, 1] = -3.0
  checkpoint.save_params(folder, {"model": init(jax.random.key(0))["params"], "gates": gates})
  rows = [{"step": s, "log_alpha": {n: g.tolist() for n, g in gates.items()}} for s in (1, 2)]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  return folder


def command(monkeypatch, workdir, *arguments):
  monkeypatch.setattr(sys, "argv", ["analyze", "--workdir", str(workdir), *map(str, arguments)])
  analyze.main()


def test_the_whole_command(workdir, monkeypatch, capsys):
  (workdir.parent / "links").write_text("0-0 1-1\n" * len(LINES))
  command(
    monkeypatch, workdir, "--conllu", workdir.parent / "parsed.conllu",
    "--alignments", workdir.parent / "links", "--rare-top", 0, "--lrp-sentences", 4,
    "--bleu-sentences", 4, "--aligning", 1, "--relations", "obj,amod,iobj",
  )  # fmt: skip
  result = json.loads((workdir / "analysis.json").read_text())
  assert result["sentences"] == {"text": 12, "parsed": 1} and result["rare_tokens"] == 72
  assert result["heads"]["enc_self"] == [[1.0, 0.0]]
  scores = result["scores"]
  assert set(scores) == {
    "loss", "gradient", "relevance", "gate", "p_open", "confidence",
    "alignment error, writing", "alignment error, reading", "bleu",
  }  # fmt: skip
  assert scores["loss"]["enc_self"][0][1] == 0.0  # closed already
  np.testing.assert_allclose(np.sum(scores["relevance"]["dec_enc"]), 1.0, rtol=1e-3)
  assert 1 / 7 < min(scores["confidence"]["enc_self"][0]) < 1
  assert result["relations"]["obj head→dep"] == {"offset": 2, "baseline": 1.0, "cases": 1}
  own = np.mean(np.concatenate(run.load(workdir).score(LINES, LINES)))
  np.testing.assert_allclose(result["loss"], own, rtol=1e-2)  # the run's own are of bfloat16
  page = (workdir / "report.html").read_text(encoding="utf-8")
  assert "Gates while pruning" in page and '["the","dog","saw","the","cat",".","_EOS_"]' in page
  names = {path.name for path in (workdir / "figures").iterdir()}
  assert {"confidence.svg", "retained.svg", "functions.svg", "gates.svg", "gates.gif"} <= names
  assert {"position--1.svg", "obj-head-to-dep.svg", "one-of-two-rarest.svg"} <= names
  printed = capsys.readouterr().out
  assert str(workdir / "report.html") in printed
  assert "2 of 2 open cross-attention heads align words" in printed
  assert "no case of iobj in the parsed sentences" in printed


def test_bleu_lost_by_closing_a_head(workdir, monkeypatch):
  total = lambda one: sum(float(g.sum()) for g in one.gate_values.values())
  monkeypatch.setattr(run.Run, "translate", lambda self, lines: [str(total(self))])
  monkeypatch.setattr(evaluate, "bleu", lambda found, references, config: (float(found[0]), ""))
  one = run.load(workdir)
  drops = survey.bleu_drops(one, [("a", "b")])
  for name, gate_NH in one.gates().items():  # with that BLEU, closing a head loses its gate
    np.testing.assert_allclose(drops[name], gate_NH, rtol=1e-6)
  assert drops["enc_self"].tolist() == [[1.0, 0.0]]


def test_a_compact_run_is_analysed_with_the_same_result(workdir, monkeypatch, tmp_path):
  monkeypatch.setattr(proof, "_REPEATS", 1)
  compact.compact(workdir, tmp_path / "compact", sentences=2)
  pairs = survey.encode(run.load(workdir), LINES, LINES, 128)
  options = survey.Options(lrp_sentences=4)
  whole, small = (
    survey.scores(run.load(path), pairs, options) for path in (workdir, tmp_path / "compact")
  )
  np.testing.assert_allclose(small[0], whole[0], rtol=1e-5)
  for score in ("loss", "gradient", "relevance"):
    kept = whole[1][score]["enc_self"][:, :1]
    np.testing.assert_allclose(small[1][score]["enc_self"][:, :1], kept, rtol=2e-3, atol=1e-6)
  command(monkeypatch, tmp_path / "compact", "--lrp-sentences", 0)
  result = json.loads((tmp_path / "compact" / "analysis.json").read_text())
  assert result["heads"]["enc_self"] == [[1.0]]


def test_a_converted_run_needs_no_other_text(monkeypatch, capsys, tmp_path):
  files = (GOLDEN / "concrete/model.npz", GOLDEN / "src.voc.txt", GOLDEN / "dst.voc.txt")
  convert_original(*files, GOLDEN / "concrete/hp.json", tmp_path / "run")
  with pytest.raises(UserError, match="dev data cannot be read .*give --text SRC TGT"):
    command(monkeypatch, tmp_path / "run")
  text = "--text", GOLDEN / "eval.src", GOLDEN / "eval.dst"
  command(monkeypatch, tmp_path / "run", *text, "--lrp-sentences", 0)
  assert "words are counted in the analysed text itself" in capsys.readouterr().out
  result = json.loads((tmp_path / "run" / "analysis.json").read_text())
  assert result["sentences"]["text"] == 8 and result["aligning"] is None


def test_runs_that_were_analysed_otherwise_are_not_compared(workdir, monkeypatch, tmp_path):
  options = json.loads(json.dumps(dataclasses.asdict(survey.Options(max_offset=3))))
  earlier = {"options": options, "sentences": {"text": 12, "parsed": 0}}
  (tmp_path / "analysis.json").write_text(json.dumps(earlier))
  with pytest.raises(UserError, match=r"was analysed otherwise \(max_offset 3 -> 5\): analyse"):
    command(monkeypatch, workdir, "--before", tmp_path)


def test_before_and_after_of_two_results():
  before = {"run": "dense", "kinds": {"positional": 1}, "heads": {"enc_self": [[1, 1]]}}
  after = before | {"run": "pruned", "functions": {"position +1": [(0, 0)]}}
  functions = json.loads('{"position -1": [[0, 1]], "position +1": [[0, 0], [0, 1]]}')
  found = analyze.compare_with([before | {"functions": functions}, after], after)
  assert [row["outcome"] for row in found["outcomes"]] == ["lost", "kept"]
  assert [run["run"] for run in found["before"]] == ["dense", "pruned"]


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--before", "nowhere"], "--before nowhere: no analysis.json"),
    (["--sentences", 0], "--sentences 0 must be at least 1"),
    (["--conllu", "missing.conllu"], "missing.conllu: no such file"),
    (["--text", "missing.a", "missing.b"], "missing.a: no such file"),
    (["--alignments", "{}/src"], "src, line 1: 'the' is not a link"),
  ],
)
def test_a_mistake_is_one_line(workdir, monkeypatch, arguments, message):
  arguments = [str(a).format(workdir.parent) for a in arguments]
  with pytest.raises(UserError, match=message):
    command(monkeypatch, workdir, *arguments)


def test_text_of_which_nothing_is_left(workdir, monkeypatch, tmp_path):
  long = tmp_path / "long"
  long.write_text("dog " * 200 + "\n")
  assert sources.read_lines(long)
  with pytest.raises(UserError, match="no pair with 1 to 127 tokens"):
    command(monkeypatch, workdir, "--text", long, long)
