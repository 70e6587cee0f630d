"""A tiny trained run, used as people use one: from Python and through the commands."""

import io
import json
import sys

import jax
import numpy as np
import pytest

from configs import common
import headprune
from headprune import checkpoint, cli, decode, evaluate, model, train, translate
from headprune.errors import UserError
from headprune.tokenizer import EOS

HEADS = {"enc_self": (2, 1), "dec_self": (2, 2), "dec_enc": (0, 2)}


def _config():
  config = common.base()
  config.data.row_length = 32
  config.data.corpus.update({"locale": "de", "train": 200, "dev": 4, "test": 0})
  config.tokenizer.vocab_size = 150
  config.model.update({"layers": 2, "model_size": 16, "ff_size": 16, "num_heads": 2})
  config.model.heads.update(HEADS)
  config.gates.kind = "concrete"
  config.gates.types = ("enc_self", "dec_enc")
  config.train.update({"steps": 5, "batch_tokens": 256, "log_every": 5})
  config.eval.update({"beams": 2, "batch_sentences": 4})
  return config.lock()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "tiny"
  train.train_and_evaluate(_config(), workdir)
  return headprune.load(workdir)


LINES = ["5 metric tons", "", "Tunisia or Saudi Arabia; 30 Thai baht", "  ", "in 16 minutes"]
PAIRS = [
  ("5 metric tons", "5 Tonnen"),
  ("in 16 minutes", "in 16 Minuten"),
  ("Tunisia or Saudi Arabia", "Tunesien oder Saudi-Arabien"),
  ("13%", ""),
  ("5 metric tons", "Tunesien"),
  ("", "in 16 Minuten"),
]


def test_what_is_loaded(run):
  assert run.config.to_dict() == _config().to_dict()
  assert run.model_config.heads == HEADS and run.model_config.tgt_vocab <= 150
  assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(run.params))
  # Far from saturation after five steps, and no gate where there is no head.
  gates = run.gates()
  assert {name: g.shape for name, g in gates.items()} == dict.fromkeys(HEADS, (2, 2))
  np.testing.assert_array_equal(gates["dec_self"], np.ones((2, 2)))
  np.testing.assert_array_equal(gates["dec_enc"][0], [0, 0])
  assert gates["enc_self"][1, 1] == 0 and 0 < gates["enc_self"][1, 0] < 1
  log_alpha = run.params["gates"]["enc_self"][0]
  np.testing.assert_allclose(gates["enc_self"][0], 1.2 / (1 + np.exp(-log_alpha)) - 0.1, rtol=1e-5)


def test_a_run_in_another_precision_scores_almost_alike(run):
  exact = headprune.load(run.workdir, precision="float32")
  assert (run.model_config.precision, exact.model_config.precision) == ("bfloat16", "float32")
  losses = [np.concatenate(r.score(*zip(*PAIRS))) for r in (run, exact)]
  assert 0 < np.abs(losses[0] - losses[1]).max() < 0.05  # bfloat16 holds 8 bits


def test_heads_json_holds_the_gates(run):
  heads = json.loads((run.workdir / "heads.json").read_text())
  for name, layers in heads.items():
    assert tuple(map(len, layers)) == HEADS[name]
    for row, gate_H in zip(layers, run.gates()[name]):
      np.testing.assert_allclose(row, gate_H[: len(row)], rtol=1e-6)


def test_checkpoints_by_name(run):
  for which in ("5", "best"):
    other = headprune.load(run.workdir, which)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, other.params, run.params)))
  with pytest.raises(UserError, match="no checkpoint '3'; there are last, best, 5"):
    headprune.load(run.workdir, "3")
  with pytest.raises(UserError, match="not a run"):
    headprune.load(run.workdir / "checkpoints")


def test_translations_keep_order_and_number(run):
  found = run.translate(LINES)
  assert len(found) == 5 and found[1] == found[3] == ""
  assert all("\n" not in line for line in found)
  ids = [run.src_tokenizer.encode([LINES[i]])[0] for i in (0, 2, 4)]
  beam = decode.BeamConfig(2, 0.6, 3.0)
  want = decode.translate(run.model_config, run.params["model"], run.gate_values, ids, beam, 4)
  assert [found[i] for i in (0, 2, 4)] == run.tgt_tokenizer.decode([h.ids for h in want])
  assert run.translate(LINES[::-1]) == found[::-1]
  assert run.translate([]) == [] and run.translate([""]) == [""]


def _log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_scores_are_the_models_log_probabilities(run):
  apply = jax.jit(model.Transformer(run.model_config).apply)
  for (source, target), score_T in zip(PAIRS, run.score(*zip(*PAIRS))):
    src = [*run.src_tokenizer.encode([source])[0], EOS]
    tgt = [*run.tgt_tokenizer.encode([target])[0], EOS]
    batch = model.unpacked_batch([src], [tgt], 40, 40)
    logits_BTV, _ = apply({"params": run.params["model"]}, batch, run.gate_values)
    log_p_TV = _log_softmax(np.asarray(logits_BTV[0], np.float64))
    assert score_T.shape == (len(tgt),)
    np.testing.assert_allclose(score_T, -log_p_TV[np.arange(len(tgt)), tgt], rtol=0.02, atol=0.02)


def test_a_score_does_not_depend_on_its_batch(run):
  together = run.score(*zip(*PAIRS))
  for pair, score_T in zip(PAIRS[:3], together):
    (alone_T,) = run.score([pair[0]], [pair[1]])
    np.testing.assert_allclose(alone_T, score_T, rtol=0.02, atol=0.02)
  backwards = run.score(*zip(*PAIRS[::-1]))
  for a, b in zip(together, backwards[::-1]):
    np.testing.assert_array_equal(a, b)


def test_sources_without_targets_are_refused(run):
  for method in (run.score, run.attention):
    with pytest.raises(UserError, match="2 sources but 1 targets"):
      method(["a", "b"], ["c"])


def test_attention(run):
  sources, targets = zip(*PAIRS[:3])
  for result, source, target in zip(run.attention(sources, targets), sources, targets):
    assert result.source == run.src_tokenizer.pieces([*run.src_tokenizer.encode([source])[0], EOS])
    assert result.target == run.tgt_tokenizer.pieces([*run.tgt_tokenizer.encode([target])[0], EOS])
    lengths = {"S": len(result.source), "T": len(result.target)}
    for name, axes in (("enc_self", "SS"), ("dec_self", "TT"), ("dec_enc", "TS")):
      attn_NHQM = result.weights[name]
      assert attn_NHQM.shape == (2, 2, *(lengths[axis] for axis in axes))
      for n, heads in enumerate(HEADS[name]):
        np.testing.assert_allclose(attn_NHQM[n, :heads].sum(-1), 1.0, atol=1e-2)
        assert not attn_NHQM[n, heads:].any()
    assert not np.triu(result.weights["dec_self"], 1).any()


def test_attention_of_its_own_translations(run):
  (result,) = run.attention(LINES[:1])
  assert result.target[-1] == "_EOS_"
  assert run.tgt_tokenizer.decode([run.tgt_tokenizer.encode(run.translate(LINES[:1]))[0]])
  assert result.weights["dec_enc"].shape[2:] == (len(result.target), len(result.source))


def _command(monkeypatch, module, *arguments):
  monkeypatch.setattr(sys, "argv", ["headprune", *map(str, arguments)])
  monkeypatch.setattr(cli, "_use_huge_pages", lambda: None)
  cli.run(module.main)


class _Stdin:
  def __init__(self, data: bytes):
    self.buffer = io.BytesIO(data)


def test_translate_command(run, monkeypatch, capfd):
  monkeypatch.setattr(translate, "CHUNK", 2)
  monkeypatch.setattr(sys, "stdin", _Stdin("\r\n".join(LINES).encode()))
  _command(monkeypatch, translate, "--workdir", run.workdir)
  assert capfd.readouterr().out == "".join(f"{line}\n" for line in run.translate(LINES))


def test_translate_command_with_text_that_is_not_utf8(run, monkeypatch, capfd):
  monkeypatch.setattr(translate, "CHUNK", 2)
  monkeypatch.setattr(sys, "stdin", _Stdin(b"\n\n\nK\xe4se\n"))
  with pytest.raises(SystemExit) as caught:
    _command(monkeypatch, translate, "--workdir", run.workdir)
  assert caught.value.code == 2
  out, err = capfd.readouterr()
  assert out == "\n\n"  # what was read before
  assert err == "error: standard input, line 4: not UTF-8; convert the text first\n"


def test_commands_without_a_run(monkeypatch, capfd, tmp_path):
  monkeypatch.setattr(sys, "stdin", _Stdin(b""))
  with pytest.raises(SystemExit) as caught:
    _command(monkeypatch, translate, "--workdir", tmp_path)
  assert caught.value.code == 2 and "not a run" in capfd.readouterr().err


@pytest.fixture
def files(tmp_path):
  (tmp_path / "src").write_text("\n".join(LINES) + "\n")
  (tmp_path / "ref").write_text("5 Tonnen\n\nTunesien oder Saudi-Arabien; 30 Baht\n\nin 1 Minute\n")
  return tmp_path / "src", tmp_path / "ref"


def test_evaluate_command(run, monkeypatch, capsys, files, tmp_path):
  out = tmp_path / "out"
  arguments = ("--workdir", run.workdir, "--src", files[0], "--ref", files[1], "--out", out)
  _command(monkeypatch, evaluate, *arguments)
  result = json.loads(capsys.readouterr().out)
  assert out.read_text() == "".join(f"{line}\n" for line in run.translate(LINES))
  assert result["sentences"] == 5 and 0 <= result["bleu"] <= 100
  assert result["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_evaluate_command_checks_its_files_first(monkeypatch, capsys, files, tmp_path):
  (tmp_path / "short").write_text("5 Tonnen\n")
  for ref, out, message in (
    (tmp_path / "short", "out", "src has 5 lines but .*short has 1"),
    (files[1], tmp_path / "none" / "out", "none/out: its folder does not exist"),
  ):
    monkeypatch.setattr(evaluate.cli, "run", lambda command: command())
    with pytest.raises(UserError, match=message):
      _command(
        monkeypatch, evaluate, "--workdir", "none", "--src", files[0], "--ref", ref, "--out", out
      )


def test_bleu_has_its_signature():
  config = common.base().eval
  lines = ["Das ist ein kleines Haus .", "Guten Morgen allerseits , Leute !"]
  assert evaluate.bleu(lines, lines, config)[0] == pytest.approx(100.0)
  lower = [line.lower() for line in lines]
  assert evaluate.bleu(lower, lines, config)[0] < 90
  config.lowercase, config.tokenize = True, "none"
  score, signature = evaluate.bleu(lower, lines, config)
  assert score == pytest.approx(100.0) and "case:lc" in signature and "tok:none" in signature
  # One of four 1-grams, none of the longer ones: sacreBLEU's exponential smoothing.
  score, _ = evaluate.bleu(["a x y z"], ["a b c d"], config)
  assert score == pytest.approx(100 * (1 / 4 * 1 / 6 * 1 / 8 * 1 / 8) ** 0.25)


def test_bleu_tokenizers_are_checked():
  config = common.base().eval
  evaluate.check_bleu(config)
  config.tokenize = "14a"
  with pytest.raises(UserError, match="config.eval.tokenize='14a': choose one of .*13a"):
    evaluate.check_bleu(config)
  config.tokenize = "ja-mecab"  # needs a package that is no requirement of ours
  with pytest.raises(UserError, match="config.eval.tokenize='ja-mecab': .*install"):
    evaluate.check_bleu(config)


def test_mean_loss_divides_once():
  batches = [(3.0, 1.0), (1.0, 7.0)]
  assert evaluate.mean_loss(lambda params, batch: batch, {}, batches) == 0.5


def test_a_run_that_has_only_begun(run, tmp_path):
  (tmp_path / "config.json").write_text((run.workdir / "config.json").read_text())
  with pytest.raises(UserError, match="no tokenizer here"):
    headprune.load(tmp_path)
  (tmp_path / "tokenizer").symlink_to(run.workdir / "tokenizer")
  with pytest.raises(UserError, match="no checkpoints here"):
    headprune.load(tmp_path)
  checkpoint.save_params(tmp_path, run.params)
  assert headprune.load(tmp_path).translate(LINES[:1]) == run.translate(LINES[:1])
