"""A model as a value: what it answers, in batches of any shape, whatever it was made of."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.nn import losses, transformer
from headprune.nn.config import TYPES, open_gates
from headprune.text import batching
from headprune.translator import translator as translator_lib
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator
from tests import tiny

SOURCES = [[3, 4, 1], [5, 1], [6, 6, 6, 2, 1], [1], [2, 3, 1]]
TARGETS = [[2, 1], [5, 4, 3, 1], [1], [3, 1], [4, 2, 1]]
BEAM = BeamConfig(beams=2, alpha=0.6, spread=3.0)


@functools.cache
def uneven() -> Translator:
  config = tiny.uneven()
  return Translator(config, tiny.random_params(config), tiny.random_gates(config))


@functools.cache
def even(**changes) -> Translator:
  config = tiny.even(**changes)
  return Translator(config, tiny.random_params(config, seed=1), open_gates(config))


def applied(translator, batch):
  t = translator
  apply = jax.jit(transformer.apply, static_argnums=0)
  return apply(t.config, t.params, batch, t.gate_values)


def test_logits_and_losses_are_those_of_its_parameters_and_gates():
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 4)
  logits_BTV, _ = applied(uneven(), batch)
  np.testing.assert_allclose(uneven().logits(batch), logits_BTV, rtol=0, atol=1e-6)
  for arguments in ((), (0.2,)):
    got = uneven().token_losses(batch, *arguments)
    want = losses.smoothed_loss(logits_BTV, batch["tgt_BT"], *(arguments or (0.0,)))
    np.testing.assert_allclose(got, want * batch["tgt_segment_BT"], rtol=0, atol=1e-5)


def test_attention_has_one_array_for_each_type():
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 4)
  _, attns = applied(uneven(), batch)
  found = uneven().attention(batch)
  shapes = {name: x.shape for name, x in found.items()}
  assert shapes == {
    "enc_self": (3, 5, 3, 6, 6), "dec_self": (2, 5, 3, 4, 4), "dec_enc": (2, 5, 2, 4, 6)
  }  # fmt: skip
  for name, layers in attns.items():
    for n, attn_BHQM in enumerate(layers):
      heads = attn_BHQM.shape[1]
      np.testing.assert_allclose(found[name][n, :, :heads], attn_BHQM, rtol=0, atol=1e-6)
      assert not found[name][n, :, heads:].any()
  source = batching.pad_sources(SOURCES, 6)
  np.testing.assert_allclose(uneven().encoder_attention(source), found["enc_self"], atol=1e-6)


def test_attention_of_a_type_without_any_head():
  bare = even(dec_self=(0, 0), dec_enc=(2, 1))
  found = bare.attention(batching.pad_pairs(SOURCES[:1], TARGETS[:1], 4, 3))
  assert found["dec_self"].shape == (2, 1, 1, 3, 3) and not found["dec_self"].any()


def test_what_is_not_compiled_in_may_change():
  # Gates and parameters are arrays of the value: others take the same compiled program.
  batch = batching.pad_pairs(SOURCES[:1], TARGETS[:1], 3, 2)
  before = even().logits(batch)
  compiled = Translator.logits._cache_size()
  closed = even().replace(gate_values={name: jnp.zeros((1, 2)) for name in TYPES})
  assert np.abs(closed.logits(batch) - before).max() > 1e-3
  doubled = even().params | {"logits_kernel": 2 * even().params["logits_kernel"]}
  np.testing.assert_allclose(even().replace(params=doubled).logits(batch), 2 * before, rtol=1e-5)
  assert Translator.logits._cache_size() == compiled
  summed = jax.grad(lambda t: jnp.sum(t.logits(batch)))(even())
  assert summed.config == even().config and summed.gate_values["enc_self"].shape == (1, 2)


def test_translations_do_not_depend_on_their_batch():
  alone = [even().translate([ids], BEAM, 1)[0] for ids in SOURCES]
  assert len({tuple(h.ids) for h in alone}) == 5
  assert {h.ids[-1] == 1 for h in alone} == {True, False}  # some reach the limit
  together = even().translate(SOURCES, BEAM, 9)
  backwards = even().translate(SOURCES[::-1], BEAM, 2)[::-1]
  for found in (together, backwards):
    assert [h.ids for h in found] == [h.ids for h in alone]
    np.testing.assert_allclose([h.score for h in found], [h.score for h in alone], atol=1e-5)
    np.testing.assert_allclose([h.log_prob for h in found], [h.log_prob for h in alone], atol=1e-5)


def test_a_translation_costs_what_its_words_cost():
  translations = even().translate(SOURCES, BEAM, 9)
  batch = batching.pad_pairs(SOURCES, [h.ids for h in translations], 6, 13)
  totals = np.sum(even().token_losses(batch), axis=1)
  for total, found in zip(totals, translations):
    np.testing.assert_allclose(found.log_prob, -total, atol=1e-4)
    np.testing.assert_allclose(found.score, -total / (1 + len(found.ids) / 6) ** 0.6, atol=1e-4)


def test_no_sentences_and_empty_sentences():
  assert even().translate([], BEAM, 4) == []
  assert len(even().translate([[1], [3, 1]], BEAM, 4)) == 2


def test_length_limits():
  assert translator_lib.length_limits(1) == (-1, 5)
  assert translator_lib.length_limits(12) == (2, 27)
  assert translator_lib.exact_limits(20)(1) == translator_lib.exact_limits(20)(99) == (20, 19)


def test_exact_limits_take_their_steps_whatever_the_source():
  found = even().translate(SOURCES, BeamConfig(2, 0.6, 1e9), 5, translator_lib.exact_limits(4))
  assert {len(h.ids) for h in found} <= {3, 4} and all(1 not in h.ids[:-1] for h in found)


def test_layers_without_heads_translate_as_with_all_gates_closed():
  closed = even().replace(gate_values={name: jnp.zeros((1, 2)) for name in TYPES})
  bare = dataclasses.replace(even().config, enc_self=(0,), dec_self=(0,), dec_enc=(0,))
  drop = lambda layer: {
    k: {"out_bias": v["out_bias"]} if "attention" in k else v for k, v in layer.items()
  }
  params = {k: drop(v) if "coder_" in k else v for k, v in even().params.items()}
  gated = closed.translate(SOURCES, BEAM, 4)
  cut = Translator(bare, params, open_gates(bare)).translate(SOURCES, BEAM, 4)
  assert [h.ids for h in gated] == [h.ids for h in cut]
  np.testing.assert_allclose([h.score for h in gated], [h.score for h in cut], atol=1e-5)


def test_kernels_are_cast_and_nothing_else():
  cast = translator_lib.cast_kernels(even().params, "bfloat16")
  flat = {jax.tree_util.keystr(k): x.dtype for k, x in jax.tree_util.tree_leaves_with_path(cast)}
  kernels = {k for k, dtype in flat.items() if dtype == jnp.bfloat16}
  assert kernels == {k for k in flat if k.endswith("kernel']")}


def test_the_search_runs_in_the_models_precision():
  half = even(precision="bfloat16", attention_precision="bfloat16")
  found, exact = (t.translate(SOURCES, BEAM, 9) for t in (half, half.exact()))
  want = even().translate(SOURCES, BEAM, 9)
  np.testing.assert_allclose([h.score for h in exact], [h.score for h in want], atol=1e-6)
  differences = np.abs([h.score - w.score for h, w in zip(found, want)])
  assert 1e-4 < differences.max() < 0.2


def test_a_search_takes_shared_embeddings_apart():
  config = tiny.even(share_embeddings=True, src_vocab=6)
  params = tiny.random_params(config, seed=2)
  same = Translator(config, params, open_gates(config))
  apart_config, taken = same._for_steps
  assert apart_config == dataclasses.replace(config, share_embeddings=False)
  assert "shared_embed" not in taken
  for name in ("src_embed", "tgt_embed"):
    np.testing.assert_array_equal(taken[name], params["shared_embed"])
  np.testing.assert_array_equal(taken["logits_kernel"], params["shared_embed"].T)
  apart = Translator(apart_config, taken, same.gate_values)
  batch = batching.pad_pairs(SOURCES[:1], TARGETS[:1], 4, 3)
  np.testing.assert_allclose(same.logits(batch), apart.logits(batch), atol=1e-6)
  assert same.translate(SOURCES[:2], BEAM, 2) == apart.translate(SOURCES[:2], BEAM, 2)


def test_parameters_are_made_ready_for_steps_once_and_not_copied_without_need(monkeypatch):
  model = even().replace(params=jax.tree.map(jnp.asarray, even().params))
  calls, cast = [], translator_lib.cast_kernels
  spy = lambda *arguments: calls.append(1) or cast(*arguments)
  monkeypatch.setattr(translator_lib, "cast_kernels", spy)
  source, limit_B = batching.pad_sources(SOURCES[:1], 4), np.full(1, 3, np.int32)
  draw = lambda: model.sample(source, limit_B, jax.random.key(0), 2, 3)
  for _ in range(2):
    model.translate(SOURCES[:2], BEAM, 2)
    draw()
  assert len(calls) == 1
  _, ready = model._for_steps
  jax.tree.map(lambda x, y: np.testing.assert_(x is y), ready, model.params)
  half = model.replace(config=dataclasses.replace(model.config, precision="bfloat16"))
  half.translate(SOURCES[:2], BEAM, 2)
  assert len(calls) == 2 and half._for_steps[1]["logits_kernel"].dtype == jnp.bfloat16


def test_parameters_that_were_made_ready_in_a_trace_serve_behind_it():
  model = even(precision="bfloat16").replace()
  source, limit_B = batching.pad_sources(SOURCES[:1], 4), np.full(1, 3, np.int32)
  sample = lambda model: model.sample(source, limit_B, jax.random.key(0), 2, 3)[0]
  found = jax.jit(lambda: sample(model))()  # as a constant
  np.testing.assert_array_equal(sample(model), found)
  np.testing.assert_array_equal(jax.jit(sample)(model.replace()), found)


def test_gates_of_another_shape_are_refused_wherever_they_came_from():
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 4)
  wrong = even().gate_values | {"dec_enc": np.ones((1, 1), np.float32)}  # would be broadcast
  for model in (even().replace(gate_values=wrong), dataclasses.replace(even(), gate_values=wrong)):
    for call in (
      lambda m: m.logits(batch), lambda m: m.attention(batch), lambda m: m.token_losses(batch),
      lambda m: m.translate(SOURCES, BEAM, 2),
    ):  # fmt: skip
      with pytest.raises(UserError, match=r"'dec_enc'\] has shape \(1, 1\), .* has \(1, 2\)"):
        call(model)
