"""A tiny trained run, used from Python as people use one."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import headprune
from headprune.errors import UserError
from headprune.nn import transformer
from headprune.runs import checkpoint, defaults
from headprune.runs import run as run_lib
from headprune.runs.workdir import Workdir
from headprune.text import batching, bleu, tokenizer
from headprune.train import training
from headprune.translator.beam import BeamConfig
from tests import small_run

HEADS = {"enc_self": (2, 1), "dec_self": (2, 2), "dec_enc": (0, 2)}


def _config():
  config = defaults.base()
  config.data.row_length = 32
  config.data.corpus.update({"kind": "cldr", "locale": "de", "train": 200, "dev": 4, "test": 0})
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
  training.train(_config(), workdir)
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
  assert run.translator.config.heads == HEADS and run.translator.config.tgt_vocab <= 150
  assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(run.translator.params))
  # Far from saturation after five steps, and no gate where there is no head.
  gates = run.gates()
  assert {name: g.shape for name, g in gates.items()} == dict.fromkeys(HEADS, (2, 2))
  np.testing.assert_array_equal(gates["dec_self"], np.ones((2, 2)))
  np.testing.assert_array_equal(gates["dec_enc"][0], [0, 0])
  assert gates["enc_self"][1, 1] == 0 and 0 < gates["enc_self"][1, 0] < 1
  log_alpha = run.log_alphas["enc_self"][0]
  np.testing.assert_allclose(gates["enc_self"][0], 1.2 / (1 + np.exp(-log_alpha)) - 0.1, rtol=1e-5)


def test_a_run_in_another_precision_scores_almost_alike(run):
  exact = headprune.load(run.workdir.path, precision="float32")
  assert (run.translator.config.precision, exact.translator.config.precision) == (
    "bfloat16",
    "float32",
  )
  losses = [np.concatenate(r.score(*zip(*PAIRS))) for r in (run, exact)]
  assert 0 < np.abs(losses[0] - losses[1]).max() < 0.05  # bfloat16 holds 8 bits


def test_the_summary_says_what_it_is_of(run):
  done = run.workdir.read_summary()
  assert (done.kind, done.step, done.mean_of, done.ends_at) == ("trained", 5, (5,), (5, 0))


def test_heads_json_holds_the_gates(run):
  heads = json.loads(run.workdir.heads.read_text())
  for name, layers in heads.items():
    assert tuple(map(len, layers)) == HEADS[name]
    for row, gate_H in zip(layers, run.gates()[name]):
      np.testing.assert_allclose(row, gate_H[: len(row)], rtol=1e-6)


def test_checkpoints_by_name(run):
  for which in ("5", 5, "best"):
    other = headprune.load(run.workdir.path, which)
    same = jax.tree.map(np.array_equal, other.translator.params, run.translator.params)
    assert all(jax.tree.leaves(same))
  with pytest.raises(UserError, match="no checkpoint '3'; there are last, best, 5"):
    headprune.load(run.workdir.path, "3")
  with pytest.raises(UserError, match="not a run"):
    headprune.load(run.workdir.checkpoints)


def test_translations_keep_order_and_number(run):
  found = run.translate(LINES)
  assert len(found) == 5 and found[1] == found[3] == ""
  assert all("\n" not in line for line in found)
  ids = [run.src_tokenizer.encode([LINES[i]])[0] for i in (0, 2, 4)]
  want = run.translator.translate(ids, BeamConfig(2, 0.6, 3.0), 4)
  assert [found[i] for i in (0, 2, 4)] == run.tgt_tokenizer.decode([h.ids for h in want])
  assert run.translate(LINES[::-1]) == found[::-1]
  assert run.translate([]) == [] and run.translate([""]) == [""]


def test_a_call_has_its_own_beams_and_length_penalty(run):
  (found,) = run.search([LINES[2]], beams=3, alpha=0.1)
  (ids,) = run.src_tokenizer.encode([LINES[2]])
  (want,) = run.translator.translate([ids], BeamConfig(3, 0.1, 3.0), 4)
  assert [(h.score, h.log_prob) for h in found] == [(want.score, want.log_prob)]
  assert run.translate([LINES[2]], 3, 0.1) == [found[0].text]
  tokens = len(want.ids)
  np.testing.assert_allclose(want.score, want.log_prob / (1 + tokens / 6) ** 0.1, rtol=1e-5)
  first, *others = run.search([LINES[0]], beams=3, alpha=0.1, best=4)[0]
  assert [[first]] == run.search([LINES[0]], beams=3, alpha=0.1) and others
  scores = [one.score for one in (first, *others)]
  assert scores == sorted(scores, reverse=True) and np.isfinite(scores).all()
  with pytest.raises(UserError, match="best=0 must be at least 1"):
    run.search(LINES, best=0)
  assert run.search([" "]) == [[run_lib.Translation("", 0.0, 0.0)]]
  assert run.search([]) == []
  with pytest.raises(UserError, match="beams=0 must be at least 1"):
    run.translate(LINES, beams=0)


def test_progress_counts_every_line_once(run):
  done = []
  run.translate(LINES, progress=done.append)
  assert sum(done) == 5 and max(done) < 5
  references = [LINES[0]] * 5
  assert run.bleu(LINES, references, beams=1) == bleu.score(
    run.translate(LINES, beams=1), references, run.config.eval
  )


def _log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_scores_are_the_models_log_probabilities(run):
  apply = jax.jit(transformer.apply, static_argnums=0)
  t = run.translator
  for (source, target), score_T in zip(PAIRS, run.score(*zip(*PAIRS))):
    (src,), (tgt,) = run.encode([source], [target])
    batch = batching.pad_pairs([src], [tgt], 40, 40)
    logits_BTV, _ = apply(t.config, t.params, batch, t.gate_values)
    log_p_TV = _log_softmax(np.asarray(logits_BTV[0], np.float64))
    assert score_T.shape == (len(tgt),)
    np.testing.assert_allclose(score_T, -log_p_TV[np.arange(len(tgt)), tgt], rtol=0.02, atol=0.02)


def test_logits_are_what_scores_are_made_of(run):
  sides = tuple(zip(*PAIRS))
  for logits_TV, score_T, target in zip(run.logits(*sides), run.score(*sides), sides[1]):
    (tgt,) = run.tgt_tokenizer.encode([target])
    assert logits_TV.shape == (len(tgt), run.tgt_tokenizer.vocab_size)
    log_p_TV = _log_softmax(logits_TV.astype(np.float64))
    np.testing.assert_allclose(score_T, -log_p_TV[np.arange(len(tgt)), tgt], rtol=1e-4, atol=1e-4)


def test_a_score_does_not_depend_on_its_batch(run):
  together = run.score(*zip(*PAIRS))
  for pair, score_T in zip(PAIRS[:3], together):
    (alone_T,) = run.score([pair[0]], [pair[1]])
    np.testing.assert_allclose(alone_T, score_T, rtol=0.02, atol=0.02)
  backwards = run.score(*zip(*PAIRS[::-1]))
  for a, b in zip(together, backwards[::-1]):
    np.testing.assert_allclose(a, b, rtol=1e-5)  # of equal lengths, others may share the batch


def test_sources_without_targets_are_refused(run):
  for method in (run.score, run.logits, run.attention):
    with pytest.raises(UserError, match="2 sources but 1 targets"):
      method(["a", "b"], ["c"])


def test_attention(run):
  sources, targets = zip(*PAIRS[:3])
  for result, source, target in zip(run.attention(sources, targets), sources, targets):
    assert result.source == run.src_tokenizer.pieces(run.src_tokenizer.encode([source])[0])
    assert result.target == run.tgt_tokenizer.pieces(run.tgt_tokenizer.encode([target])[0])
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
  (ids,) = run.tgt_tokenizer.encode(run.translate(LINES[:1]))
  assert result.target == run.tgt_tokenizer.pieces(ids)
  assert result.weights["dec_enc"].shape[2:] == (len(result.target), len(result.source))


def test_a_run_that_has_only_begun(run, tmp_path):
  (tmp_path / "config.json").write_text(run.workdir.config.read_text())
  with pytest.raises(UserError, match="no tokenizer here"):
    headprune.load(tmp_path)
  (tmp_path / "tokenizer").symlink_to(run.workdir.tokenizer)
  with pytest.raises(UserError, match="checkpoints: no finished checkpoint here"):
    headprune.load(tmp_path)
  (tmp_path / "summary.json").write_text("{}")
  with pytest.raises(UserError, match="its checkpoints are gone: .* remove summary.json and make"):
    headprune.load(tmp_path)
  (tmp_path / "summary.json").unlink()
  params = {"model": run.translator.params, "gates": run.log_alphas}
  checkpoint.save_params(Workdir(tmp_path), params)
  assert headprune.load(tmp_path).translate(LINES[:1]) == run.translate(LINES[:1])


@pytest.mark.parametrize("step", [4, 6])
def test_a_summary_of_another_checkpoint_than_the_last_is_told(run, step, tmp_path):
  """A copy that was cut short, or that went over an older one."""
  shutil.copytree(run.workdir.path, tmp_path / "copy")
  here = tmp_path / "copy" / "checkpoints"
  (here / "5").rename(here / str(step))
  with pytest.raises(
    UserError, match=f"checkpoints: summary.json is of checkpoint 5, but the newest here is {step}"
  ):
    headprune.load(tmp_path / "copy")
  assert headprune.load(tmp_path / "copy", step).translate(LINES) == run.translate(LINES)
  (tmp_path / "copy" / "summary.json").unlink()  # as of a run that is not finished
  headprune.load(tmp_path / "copy")


def test_a_run_with_other_gates(run):
  closed = run.with_gates(enc_self=np.zeros((2, 2)))
  assert not closed.gates()["enc_self"].any() and run.gates()["enc_self"].any()
  np.testing.assert_array_equal(closed.gates()["dec_enc"], run.gates()["dec_enc"])
  changed = [np.concatenate(r.score(*zip(*PAIRS[:3]))) for r in (run, closed)]
  assert np.abs(changed[0] - changed[1]).max() > 1e-4
  with pytest.raises(UserError, match=r"enc_self has shape \(3, 2\), but the model's .* \(2, 2\)"):
    run.with_gates(enc_self=np.zeros((3, 2)))
  with pytest.raises(UserError, match="'encoder' is not one of enc_self, dec_self, dec_enc"):
    run.with_gates(encoder=np.zeros((2, 2)))


@pytest.mark.parametrize("value", [float("nan"), 5.0, -0.5])
def test_gates_are_numbers_from_0_to_1(run, value):
  gate_NH = np.array([[1, 0], [0.5, value]])
  with pytest.raises(UserError, match=f"dec_self has {value} in layer 2, head 2: gates are numb"):
    run.with_gates(enc_self=np.ones((2, 2)), dec_self=gate_NH)


@pytest.mark.parametrize(
  "lines, message",
  [
    (["cat", 1], r"a list of lines is needed, but \[1\] is no str: 1$"),
    (["cat", "a \udce4"], r"^\[1\] has half a character, which is no text: 'a \\udce4'"),
    ([None], r"\[0\] is no str: None"),
    (b"cat", r"\[0\] is no str: 99"),
    (None, "a list of lines is needed, not None"),
    ((line for line in LINES), "a list of lines is needed, not <generator"),
  ],
)
def test_what_is_no_list_of_lines_is_refused(run, lines, message):
  for call in (run.translate, run.attention, lambda lines: run.score(LINES, lines)):
    with pytest.raises(UserError, match=message):
      call(lines)


def test_a_text_in_place_of_lines_is_refused(run):
  for call in (
    run.translate,
    lambda text: run.score(text, text),
    lambda text: run.bleu(text, text),
  ):
    with pytest.raises(UserError, match="a list of lines is needed"):
      call("5 metric tons")


def test_bleu_is_that_of_the_translations(run):
  sources, references = map(list, zip(*PAIRS[:3]))
  expected = bleu.score(run.translate(sources), references, run.config.eval)
  assert run.bleu(sources, references) == expected
  with pytest.raises(UserError, match="bleu: there are no lines to score"):
    run.bleu([], [])


def test_a_run_is_shown_in_one_line(run):
  assert len(repr(run)) < 300 and str(run.workdir.path) in repr(run) and "\n" not in repr(run)


def test_a_written_run_is_the_same_run(run, tmp_path):
  out = tmp_path / "copy"
  files = tokenizer.read_files(run.workdir.tokenizer)
  summary = dataclasses.replace(run.workdir.read_summary(), kind="compact", step=0)
  run_lib.write(out, run.config, files, run.translator, run.log_alphas, summary)
  copy = headprune.load(out)
  assert copy.translate(LINES) == run.translate(LINES)
  assert copy.workdir.read_summary() == summary
  assert copy.workdir.heads.read_text() == run.workdir.heads.read_text()
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    run_lib.write(out, run.config, files, run.translator, run.log_alphas, summary)


def test_a_precision_that_there_is_not_is_refused(tmp_path):
  with pytest.raises(UserError, match="precision='float16': choose one of bfloat16, float32"):
    headprune.load(tmp_path, precision="float16")


def test_a_config_or_tokenizer_of_another_model_is_told(tmp_path):
  workdir = small_run.make(tmp_path / "run").workdir
  content = workdir.config.read_text()
  workdir.config.write_text(content.replace('"ff_size": 8', '"ff_size": 9'))
  with pytest.raises(UserError, match=r"config.json .*/ffn/in_bias \(9,\), in .* \(8,\)"):
    headprune.load(workdir.path)
  workdir.config.write_text(content.replace('"ff_size": 8', '"ff_size": null'))
  with pytest.raises(UserError, match="config.json: damaged .*ff_size is None, but should be like"):
    headprune.load(workdir.path)
