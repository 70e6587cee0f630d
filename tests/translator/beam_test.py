"""Beam search against the original's recorded translations, and by brute force."""

import dataclasses
import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import decode, gates, model
from headprune.convert import original
from headprune.tokenizer import EOS, UNK

GOLDEN = pathlib.Path(__file__).parent / "golden"
SETTINGS = (
  "default",
  "beam1",
  "beam8_alpha1_spread1",
  "beam8_alpha1_spread100",
  "beam4_alpha0",
  "beam4_spread100",
  "beam4_maxlen6",
  "beam4_if_no_eos_initial",
)
TINY = model.ModelConfig(7, 6, 8, 4, 8, (2,), (2,), (2,))


def load(name):
  """A recorded model: (config, params, test-time gates, source ids, runs)."""
  folder = GOLDEN / name
  with np.load(folder / "model.npz", allow_pickle=False) as arrays:
    hp = json.loads((folder / "hp.json").read_text())
    config, params = original.from_npz(dict(arrays), hp)
  gate_values = model.ones(config) | {t: gates.expected(a) for t, a in params["gates"].items()}
  words = (GOLDEN / "src.voc.txt").read_text(encoding="utf-8").split("\n")
  ids = {word: i for i, word in enumerate(words) if i > UNK}
  recorded = json.loads((folder / "beam.json").read_text())
  sources = [[ids.get(word, UNK) for word in line.split()] for line in recorded["src"]]
  return config, params["model"], gate_values, sources, recorded["runs"]


def settings(flags):
  """The beam and the length limits that the original's flags stand for."""
  beam = decode.BeamConfig(
    beams=flags.get("beam_size", 4),
    alpha=float(flags.get("len_alpha", 0.6)),
    spread=float(flags.get("beam_spread", 3)),
    keep_unfinished=flags.get("if_no_eos") != "initial",
  )
  limit = flags.get("max_len")
  return beam, lambda n: (n // 4 - 1, limit or 2 * n + 3)


def content(row):
  return row[: row.index(EOS)] if EOS in row else row


def check(found, recorded):
  assert [h.ids for h in found] == [content(row) for row in recorded["best_out_ids"]]
  np.testing.assert_allclose([h.score for h in found], recorded["best_scores"], atol=1e-4)
  np.testing.assert_allclose([h.log_prob for h in found], recorded["best_raw_scores"], atol=1e-4)


@pytest.mark.parametrize("name", ("baseline", "concrete"))
def test_recorded_translations(name):
  config, params, gate_values, sources, runs = load(name)
  assert set(SETTINGS) | {"greedy"} == set(runs)
  for setting in SETTINGS:
    beam, limits = settings(runs[setting]["flags"])
    found = decode.translate(config, params, gate_values, sources, beam, 8, limits)
    check(found, runs[setting])


@pytest.mark.parametrize("batch_size, count", ((1, 2), (3, 8), (8, 8)))
def test_batches_change_nothing(batch_size, count):
  config, params, gate_values, sources, runs = load("concrete")
  backwards = sources[:count][::-1]
  beam, _ = settings({})
  found = decode.translate(config, params, gate_values, backwards, beam, batch_size)[::-1]
  check(found, {key: rows[:count] for key, rows in runs["default"].items() if key != "flags"})


@pytest.mark.parametrize("name", ("baseline", "concrete"))
def test_one_beam_without_limits_is_the_recorded_greedy_search(name):
  config, params, gate_values, sources, runs = load(name)
  words = (GOLDEN / "dst.voc.txt").read_text(encoding="utf-8").split("\n")
  beam = decode.BeamConfig(beams=1, alpha=0.0, spread=3.0)
  found = decode.translate(config, params, gate_values, sources, beam, 8, lambda n: (0, 77))
  lines = [" ".join(words[i] for i in h.ids) for h in found]
  assert lines == runs["greedy"]["translate_lines_no_unbpe"]


@pytest.fixture(scope="module")
def tiny():
  batch = model.unpacked_batch([[3, 1]], [[2, 1]], 2, 2)
  init = model.Transformer(TINY).init(jax.random.key(0), batch, model.ones(TINY))["params"]
  return jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(1), x.shape), init)


def test_a_wide_beam_finds_the_most_probable_sentence(tiny):
  source, length = [3, 4, 5], 3
  words = [w for w in range(TINY.tgt_vocab) if w != EOS]
  endings = [[*body, EOS] for n in range(length) for body in itertools.product(words, repeat=n)]
  batch = model.unpacked_batch([[*source, EOS]] * len(endings), endings, 4, length)
  logits_BTV, _ = model.Transformer(TINY).apply({"params": tiny}, batch, model.ones(TINY))
  token_BT = np.take_along_axis(
    np.asarray(jax.nn.log_softmax(logits_BTV)), batch["tgt_BT"][..., None], axis=2
  )[..., 0]
  total_B = np.sum(token_BT * batch["tgt_segment_BT"], axis=1)
  best = int(np.argmax(total_B))
  beam = decode.BeamConfig(beams=40, alpha=0.0, spread=1e9, keep_unfinished=False)
  limits = lambda n: (0, length - 1)
  found = decode.translate(TINY, tiny, model.ones(TINY), [source], beam, 1, limits)[0]
  assert found.ids == endings[best][:-1]
  np.testing.assert_allclose(found.log_prob, total_B[best], atol=1e-5)


def test_layers_without_heads_translate_as_with_all_gates_closed(tiny):
  closed = {name: jnp.zeros((1, 2)) for name in gates.TYPES}
  bare = dataclasses.replace(TINY, enc_self=(0,), dec_self=(0,), dec_enc=(0,))
  drop = lambda layer: {
    k: {"out_bias": v["out_bias"]} if "attention" in k else v for k, v in layer.items()
  }
  params = {k: drop(v) if "coder_" in k else v for k, v in tiny.items()}
  beam = decode.BeamConfig(beams=3, alpha=0.6, spread=3.0)
  sources = [[3, 4], [5], [6, 6, 6, 2]]
  gated = decode.translate(TINY, tiny, closed, sources, beam, 4)
  cut = decode.translate(bare, params, model.ones(bare), sources, beam, 4)
  assert [h.ids for h in gated] == [h.ids for h in cut]
  np.testing.assert_allclose([h.score for h in gated], [h.score for h in cut], atol=1e-5)


def test_lost_sentences_are_empty_with_no_score(tiny):
  ends = tiny | {"logits_kernel": jnp.zeros_like(tiny["logits_kernel"]).at[:, EOS].set(1e3)}
  ends["dec_norm"] = {"scale": jnp.zeros(8), "bias": jnp.ones(8)}
  beam = decode.BeamConfig(beams=1, alpha=0.6, spread=3.0)
  run = lambda min_len: decode.translate(
    TINY, ends, model.ones(TINY), [[3]], beam, 1, lambda n: (min_len, 9)
  )[0]
  assert run(1).ids == [] and run(1).log_prob == 0.0
  assert run(2) == decode.Hypothesis([], -np.inf, -np.inf)  # its only hypothesis ended too early


def test_no_sentences_and_empty_sentences(tiny):
  beam = decode.BeamConfig(beams=2, alpha=0.6, spread=3.0)
  assert decode.translate(TINY, tiny, model.ones(TINY), [], beam, 4) == []
  assert len(decode.translate(TINY, tiny, model.ones(TINY), [[], [3]], beam, 4)) == 2


@pytest.mark.parametrize("vocab", (640, 1000, 97))
def test_top_words_are_top_k_ties_included(vocab):
  logits_BWV = jnp.round(jax.random.normal(jax.random.key(vocab), (5, 3, vocab)) * 2)
  expected = jax.lax.top_k(logits_BWV, 6)
  for ours, theirs in zip(decode._top_words(logits_BWV, 6), expected):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size, rounded", ((1, 1), (3, 3), (5, 6), (7, 8), (33, 48), (64, 64)))
def test_round_up(size, rounded):
  assert decode.round_up(size) == rounded


def test_length_limits():
  assert decode.length_limits(1) == (-1, 5)
  assert decode.length_limits(12) == (2, 27)


def test_kernels_are_cast_and_nothing_else(tiny):
  cast = decode.cast_kernels(tiny, "bfloat16")
  flat = {jax.tree_util.keystr(k): x.dtype for k, x in jax.tree_util.tree_leaves_with_path(cast)}
  kernels = {k for k, dtype in flat.items() if dtype == jnp.bfloat16}
  assert kernels == {k for k in flat if k.endswith("kernel']")}
