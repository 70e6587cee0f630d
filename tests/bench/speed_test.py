"""The benchmark does what it says: exactly 20 steps, turns, gains, a table."""

import dataclasses

import jax.numpy as jnp
import pytest

from headprune.bench import speed
from headprune.translator.translator import exact_limits
from tests import tiny


def test_sizes_keep_the_head_size_when_heads_go():
  dense, half = (speed.sizes("base", name, "float32") for name in ("dense", "half"))
  assert (dense.enc_layers, dense.model_size, dense.enc_head_size) == (6, 512, 64)
  assert (dense.dec_head_size, dense.enc_ff_size, dense.dec_ff_size) == (64, 2048, 2048)
  assert dense.dec_enc == (8,) * 6
  assert half == dataclasses.replace(dense, enc_self=(4,) * 6, dec_self=(4,) * 6, dec_enc=(4,) * 6)


def test_sentences_have_8_to_30_words_and_an_end():
  sentences = speed.random_sentences()
  lengths = [len(ids) - 1 for ids in sentences]
  assert len(lengths) == 100 and min(lengths) == 8 and max(lengths) == 30
  assert all(ids[-1] == 1 and min(ids[:-1]) >= 3 for ids in sentences)


def test_translations_take_exactly_20_steps():
  config = tiny.even(src_vocab=speed.VOCAB, tgt_vocab=40)
  translator = speed.random_translator(config)
  params = dict(translator.params)
  params["dec_norm"] = {"scale": jnp.zeros(8), "bias": jnp.ones(8)}
  params["logits_kernel"] = jnp.zeros((8, 40)).at[:, 5].set(3.0)  # always the same word
  sources = [[3] * 8 + [1], [4] * 30 + [1]]
  found = translator.replace(params=params).translate(
    sources, speed.BEAM, 2, exact_limits(speed.STEPS)
  )
  assert [h.ids for h in found] == [[5] * 19] * 2


def test_gains_and_bounds_are_over_the_first_head_count(monkeypatch):
  monkeypatch.setattr(speed, "translation", lambda config, batch_size: config)
  seconds = [9.0, 8.0], [[2.0, 4.0, 2.0], [1.0, 1.0, 1.0]]
  monkeypatch.setattr(speed.timing, "take_turns", lambda calls, repeats: seconds)
  dense, quarter = speed.measure("base", ("dense", "quarter"), "batch 100", "bfloat16", 3)
  assert (dense["median"], dense["low"], dense["high"]) == (50.0, 25.0, 50.0)
  assert dense["compile_s"] == 7.0 and dense["gain"] == dense["arithmetic"] == 1.0
  assert quarter["gain"] == 2.0
  # Three quarters of the attention gone: its products are 40% of this translation's.
  assert 1.3 < quarter["arithmetic"] < 1.6
  lines = speed.table([dense, quarter]).split("\n")
  assert "quarter" in lines[2] and "100.0" in lines[2] and "2.00x" in lines[2]


@pytest.mark.parametrize("kept", [2, 1])
def test_a_training_call_is_one_step(monkeypatch, kept):
  monkeypatch.setattr(speed, "TRAIN_ROWS", 2)
  monkeypatch.setattr(speed, "VOCAB", 40)
  config = tiny.even(src_vocab=40, tgt_vocab=40, enc_self=(kept,))
  taken = []
  step = speed.steps.train_step
  monkeypatch.setattr(
    speed.steps, "train_step", lambda *a: taken.append(int(a[2].step)) or step(*a)
  )
  call = speed.training(config)
  call()
  call()
  assert taken == [0, 1]
