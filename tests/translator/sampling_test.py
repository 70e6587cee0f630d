"""Samples: how often, how likely, where they end, and that they are those of the key."""

import dataclasses
import functools

import jax
from jax.sharding import AxisType, Mesh
import numpy as np

from headprune.text import batching
from headprune.train import devices
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator, exact_limits
from tests import small_run, tiny

SOURCES = [[3, 4, 1], [5, 1], [6, 6, 6, 2, 1], [2, 3, 1]]
WORDS = 8


@functools.cache
def model(seed=0, **changes) -> Translator:
  config = tiny.uneven(**changes)
  return Translator(config, tiny.random_params(config, seed), tiny.random_gates(config))


def sample(translator, samples=6, limits=(WORDS,) * 4, key=0, temperature=1.0, sources=SOURCES):
  source = batching.pad_sources(sources, 6)
  limit_B = np.array(limits[: len(sources)], np.int32)
  found = translator.sample(source, limit_B, jax.random.key(key), samples, WORDS, temperature)
  return jax.device_get(found)


def test_log_p_is_that_of_the_model_at_any_temperature():
  for temperature in (1.0, 3.0):
    ids_BET, length_BE, log_prob_BE = sample(model(), temperature=temperature)
    assert (length_BE > 0).sum() >= 8
    for b, e in zip(*np.nonzero(length_BE)):
      ids = ids_BET[b, e, : length_BE[b, e]].tolist()
      assert ids[-1] == 1 and 1 not in ids[:-1] and (ids_BET[b, e, length_BE[b, e] :] == 1).all()
      batch = batching.pad_pairs([SOURCES[b]], [ids], 6, WORDS)
      want = -float(model().token_losses(batch).sum())
      np.testing.assert_allclose(log_prob_BE[b, e], want, rtol=1e-4)


def test_log_p_is_what_a_run_says_of_the_text(tmp_path):
  run = small_run.make(tmp_path / "run", eval__batch_sentences=8)
  lines = ["the dog saw a cat", "cat"]
  source = batching.pad_sources(run.src_tokenizer.encode(lines), 6)
  key, limit_B = jax.random.key(1), np.full(2, WORDS, np.int32)
  found = run.translator.sample(source, limit_B, key, 20, WORDS)
  ids_BET, length_BE, log_prob_BE = jax.device_get(found)
  whole = [
    (b, e)
    for b, e in zip(*np.nonzero(length_BE))
    if min(ids_BET[b, e, : length_BE[b, e] - 1], default=0) > 2  # words that the text keeps
  ]
  assert {b for b, _ in whole} == {0, 1}
  texts = run.tgt_tokenizer.decode([ids_BET[b, e] for b, e in whole])
  scores = run.score([lines[b] for b, _ in whole], texts)
  want = [-score.sum() for score in scores]
  np.testing.assert_allclose([log_prob_BE[b, e] for b, e in whole], want, rtol=1e-4)


def test_words_come_as_often_as_the_model_says():
  one = batching.pad_pairs(SOURCES[:1], [[1]], 6, 1)
  logits_V = np.asarray(model().logits(one))[0, 0]
  for temperature in (1.0, 2.0):
    p_V = np.exp(logits_V / temperature)
    p_V /= p_V.sum()
    ids_BET, _, _ = sample(model(), 4000, (1,), temperature=temperature, sources=SOURCES[:1])
    found = np.bincount(ids_BET[0, :, 0], minlength=11) / 4000
    assert (abs(found - p_V) < 4 * (p_V * (1 - p_V) / 4000) ** 0.5 + 1e-3).all()


def test_the_coldest_sample_is_what_greedy_search_finds():
  ids_BET, length_BE, _ = sample(model(seed=3), 2, temperature=1e-6)
  greedy = BeamConfig(beams=1, alpha=0.0, spread=1e9, keep_unfinished=False)
  limits = lambda length: (0, exact_limits(WORDS)(length)[1])
  best = model(seed=3).translate(SOURCES, greedy, 4, limits)
  for b, hypothesis in enumerate(best):
    found = [ids_BET[b, e, : length_BE[b, e]].tolist() for e in range(2)]
    assert found == [hypothesis.ids] * 2
  assert (length_BE > 1).all()


def test_what_has_no_end_at_its_limit_is_given_up():
  ids_BET, length_BE, _ = sample(model(), 50, (2, 3, 8, 5))
  assert length_BE.max(1).tolist() == [2, 3, 8, 5] and (length_BE == 0).any(1)[:2].all()
  longer, _, _ = sample(model(), 50, (8, 8, 8, 8))
  np.testing.assert_array_equal(ids_BET[:2, :, :2], longer[:2, :, :2])  # a limit changes no word


def test_padding_is_never_drawn():
  padded = model(pad=10, eos=1)
  assert (sample(model(), 50)[0] == 10).any() and not (sample(padded, 50)[0] == 10).any()


def test_the_key_decides_and_devices_share_the_work():
  first, again, other = (sample(model(), key=key) for key in (1, 1, 2))
  np.testing.assert_array_equal(first[0], again[0])
  assert (first[0] != other[0]).any()
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",), axis_types=(AxisType.Auto,))
  source = batching.pad_sources(SOURCES, 6) | {"limit_B": np.full(4, WORDS, np.int32)}
  source = devices.shard_batch(source, mesh)
  limit_B = source.pop("limit_B")
  replicated = dataclasses.replace(model(), params=devices.replicate(model().params, mesh))
  spread = replicated.sample(source, limit_B, jax.random.key(1), 6, WORDS)
  np.testing.assert_array_equal(spread[0], first[0])
