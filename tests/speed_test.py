"""The benchmark does what it says: exactly 20 steps, turns, gains, a table."""

import dataclasses

import jax.numpy as jnp
import pytest

from headprune import decode, model, speed
from headprune.errors import UserError


def test_sizes_keep_the_head_size_when_heads_go():
  dense, half = (speed.sizes("base", name, "float32") for name in ("dense", "half"))
  assert (dense.layers, dense.model_size, dense.head_size, dense.ff_size) == (6, 512, 64, 2048)
  assert dense.dec_enc == (8,) * 6
  assert half == dataclasses.replace(dense, enc_self=(4,) * 6, dec_self=(4,) * 6, dec_enc=(4,) * 6)


def test_sentences_have_8_to_30_words():
  lengths = [len(ids) for ids in speed.random_sentences()]
  assert len(lengths) == 100 and min(lengths) == 8 and max(lengths) == 30


def test_translations_take_exactly_20_steps():
  config = model.ModelConfig(speed.VOCAB, 40, 8, 4, 8, (1,), (1,), (1,))
  params = speed.random_params(config)
  params["dec_norm"] = {"scale": jnp.zeros(8), "bias": jnp.ones(8)}
  params["logits_kernel"] = jnp.zeros((8, 40)).at[:, 5].set(3.0)  # always the same word
  limits = decode.exact_limits(speed.STEPS)
  found = decode.translate(
    config, params, model.ones(config), [[3] * 8, [4] * 30], speed.BEAM, 2, limits
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


def test_unknown_names_are_told():
  with pytest.raises(UserError, match="--heads: 'most' is not one of dense, half, quarter"):
    speed._names("dense,most", speed.KEPT, "heads")
