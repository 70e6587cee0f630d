"""What a step of minimum risk training learns from, and runs that do."""

import types

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.errors import Stopped, UserError
from headprune.nn import gates
from headprune.nn.config import open_gates
from headprune.runs import checkpoint, defaults, metrics
from headprune.runs.workdir import Workdir
from headprune.text import batching, bleu, special, whitespace
from headprune.train import candidates, devices, mrt, steps, stopping, training
from tests import small_run, tiny

SOURCES, REFERENCES = [[3, 4, 1], [5, 1]] * 4, [[6, 7, 8, 1], [9, 1]] * 4
SIZES = tiny.even(src_vocab=10, tgt_vocab=10)
VOCABULARY = whitespace.Whitespace((*special.RESERVED, *small_run.WORDS))


def make_job(**fields):
  config = defaults.base()
  config.update_from_flattened_dict({"data.row_length": 8, "mrt.samples": 30} | fields)
  return types.SimpleNamespace(
    config=config,
    workdir=None,
    step_config=types.SimpleNamespace(model=SIZES),
    knobs=steps.knobs(3, 0.0, 1.0, open_gates(SIZES)),
    mesh=devices.mesh(),
    tokenizers=(VOCABULARY, VOCABULARY),
  )


def make_state(job, step=4, log_alphas=None):
  params = {"model": tiny.random_params(SIZES), "gates": log_alphas or {}}
  return steps.TrainState(*devices.replicate((np.int32(step), params, ()), job.mesh))


def pairs():
  yield batching.pad_pairs(SOURCES, REFERENCES, 8, 8)


def draw(job, **state):
  return candidates.draw(job, pairs(), make_state(job, **state))


def test_equal_candidates_count_once_and_the_reference_is_the_first():
  assert candidates.distinct([[3, 1], [4, 1], [3, 1], [1], [4, 1]]) == [[3, 1], [4, 1], [1]]
  batch = draw(make_job())
  assert batch["candidate_BET"].shape == (8, 31, 8) and batch["length_BE"].shape == (8, 31)
  for b, reference in enumerate(REFERENCES):
    found = [ids[:n].tolist() for ids, n in zip(batch["candidate_BET"][b], batch["length_BE"][b])]
    count = (batch["length_BE"][b] > 0).sum()
    assert found[0] == reference and found[count:] == [[]] * (31 - count)
    kept = set(map(tuple, found[:count]))
    assert len(kept) == count and 1 < count < 31  # 30 samples, many alike
    assert all(ids[-1] == 1 and 1 not in ids[:-1] for ids in kept)
    assert max(map(len, kept)) <= (8 if len(reference) == 4 else 5)
  for name in ("src_BS", "tgt_BT", "tgt_segment_BT"):
    np.testing.assert_array_equal(batch[name], next(pairs())[name])


def test_a_sample_may_be_as_long_as_the_original_lets_it():
  np.testing.assert_array_equal(candidates.limits(np.array([2, 4, 10, 30]), 40), [5, 8, 17, 40])


def test_the_risk_is_one_minus_sentence_bleu_of_text():
  job = make_job()
  batch = draw(job)
  assert not batch["risk_BE"][:, 0].any() and not batch["risk_BE"][batch["length_BE"] == 0].any()
  for b, e in zip(*np.nonzero(batch["length_BE"])):
    texts = VOCABULARY.decode([batch["candidate_BET"][b, e], REFERENCES[b]])
    (score,) = bleu.sentence_scores(*([text] for text in texts), job.config.eval)
    np.testing.assert_allclose(batch["risk_BE"][b, e], 1 - score / 100, atol=1e-6)
  risks = batch["risk_BE"][batch["length_BE"] > 0]
  assert ((0 < risks) & (risks < 1)).any() and (risks == 1).any()


def test_the_step_decides_and_the_number_of_samples_and_the_temperature_matter():
  job = make_job()
  first, again, other = (draw(job, step=step) for step in (4, 4, 5))
  for name in ("candidate_BET", "length_BE", "risk_BE"):
    np.testing.assert_array_equal(first[name], again[name])
  assert (first["candidate_BET"] != other["candidate_BET"]).any()
  cold = draw(make_job(**{"mrt.temperature": 1e-6}))
  assert (cold["length_BE"][:, 2:] == 0).all()  # the reference and what greedy search finds
  assert draw(make_job(**{"mrt.samples": 2}))["length_BE"].shape == (8, 3)


def test_samples_are_drawn_with_gates_as_at_test_time(monkeypatch):
  seen = []
  sample = candidates.evaluation.Translator.sample

  def spy(translator, *arguments):
    seen.append(jax.device_get(translator.gate_values))
    return sample(translator, *arguments)

  monkeypatch.setattr(candidates.evaluation.Translator, "sample", spy)
  log_alphas = {"enc_self": np.array([[-3.0, 0.5]], np.float32)}
  draw(make_job(**{"gates.kind": "concrete", "gates.types": ("enc_self",)}), log_alphas=log_alphas)
  want = open_gates(SIZES) | {"enc_self": gates.expected(log_alphas["enc_self"])}
  for name, gate_NH in want.items():
    np.testing.assert_allclose(seen[0][name], gate_NH, rtol=1e-6)
  assert seen[0]["enc_self"][0, 0] == 0


def mrt_config(folder, **fields) -> ConfigDict:
  """Three steps of a run that starts from one that nobody trained."""
  small_run.make(folder / "start", gates__kind="none")
  lines = [" ".join(small_run.WORDS[i : i + 1 + i % 3]) for i in range(7)] * 4
  for side in ("src", "tgt"):
    (folder / f"text.{side}").write_text("".join(f"{line}\n" for line in lines))
  config = defaults.base()
  config.update_from_flattened_dict({
    "init_from": str(folder / "start"), "data.kind": "text", "data.row_length": 8,
    "model.precision": "float32", "eval.beams": 2, "eval.batch_sentences": 8,
    "train.loss": "mrt", "mrt.sentences": 8, "mrt.samples": 5, "mrt.sharpness": 0.5,
    "train.steps": 3, "train.batch_tokens": 64, "train.log_every": 1, "train.eval_every": 3,
    "train.translate_every": 3, "train.checkpoint_every": 3,
  } | fields)  # fmt: skip
  for split in ("train", "dev"):
    for side in ("src", "tgt"):
      config.data.text[f"{split}_{side}"] = str(folder / f"text.{side}")
  return config


def test_a_stopped_run_goes_on_exactly(tmp_path, capsys):
  config = mrt_config(tmp_path)
  training.train(config, tmp_path / "whole")
  assert "batches of 8 sentences x 6 candidates x 8 tokens" in capsys.readouterr().out
  stop = stopping.Stop()
  stop.asked = lambda step: step == 1
  with pytest.raises(Stopped):
    training.train(config, tmp_path / "parts", stop)
  training.train(config, tmp_path / "parts")
  whole, parts = (
    [
      {name: x for name, x in row.items() if name not in ("tokens_per_second", "train_seconds")}
      for row in metrics.read(Workdir(tmp_path / name))
    ]
    for name in ("whole", "parts")
  )
  assert whole == parts and [row["step"] for row in whole] == [1, 2, 3, 3]
  assert all(row["objective"] == row["risk"] and 0 < row["risk"] < 1 for row in whole[:3])
  assert len({row["risk"] for row in whole[:3]}) == 3 and "smoothed_loss" not in whole[0]
  want, got = (
    checkpoint.load_params(Workdir(tmp_path / name))["model"] for name in ("whole", "parts")
  )
  jax.tree.map(np.testing.assert_array_equal, want, got)


def test_what_cannot_be_is_told_before_anything_is_read(tmp_path, monkeypatch):
  config = mrt_config(tmp_path)
  with pytest.raises(UserError, match="each run samples by itself, train one at a time"):
    training.train_together([(config, tmp_path / "a"), (config, tmp_path / "b")])
  config.mrt.sentences = 12
  with pytest.raises(UserError, match="mrt.sentences=12 must be a multiple of the 8 devices"):
    training.train(config, tmp_path / "a")
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  with pytest.raises(UserError, match="'mrt' is for one process"):
    mrt.check(config)
  config.train.loss = "cross-entropy"
  mrt.check(config)
  assert not (tmp_path / "a").exists()
