"""Properties of the Transformer that no recorded number shows: gates, segments, causality."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune import model

CONFIG = model.ModelConfig(
  src_vocab=13,
  tgt_vocab=11,
  model_size=16,
  head_size=4,
  ff_size=24,
  enc_self=(4, 2),
  dec_self=(3, 0),
  dec_enc=(4, 4),
)
SOURCES, TARGETS = [[3, 4, 5, 1], [7, 1]], [[5, 6, 1], [9, 8, 7, 1]]


@pytest.fixture(scope="module")
def params():
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 5)
  init = jax.jit(model.Transformer(CONFIG).init)(jax.random.key(0), batch, model.ones(CONFIG))
  return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), init)


@jax.jit
def forward(params, batch, gates):
  return model.Transformer(CONFIG).apply(params, batch, gates)


def test_parameters_follow_the_head_counts(params):
  tree = params["params"]
  assert tree["encoder_1"]["self_attention"]["qkv_kernel"].shape == (16, 3, 2, 4)
  assert set(tree["decoder_1"]["self_attention"]) == {"out_bias"}
  assert tree["decoder_0"]["cross_attention"]["kv_kernel"].shape == (16, 2, 4, 4)
  assert CONFIG.max_heads == 4 and CONFIG.layers == 2


def test_padding_changes_nothing(params):
  gates = model.ones(CONFIG)
  wide, _ = forward(params, model.unpacked_batch(SOURCES, TARGETS, 9, 8), gates)
  tight, _ = forward(params, model.unpacked_batch(SOURCES, TARGETS, 6, 5), gates)
  np.testing.assert_allclose(wide[0, :3], tight[0, :3], atol=1e-5)
  np.testing.assert_allclose(wide[1, :4], tight[1, :4], atol=1e-5)


def test_packed_pairs_do_not_see_each_other(params):
  gates = model.ones(CONFIG)
  alone, alone_attn = forward(params, model.unpacked_batch(SOURCES, TARGETS, 6, 5), gates)
  packed = {
    "src_BS": np.array([SOURCES[0] + SOURCES[1]]),
    "src_segment_BS": np.array([[1] * 4 + [2] * 2]),
    "src_position_BS": np.array([[0, 1, 2, 3, 0, 1]]),
    "tgt_BT": np.array([TARGETS[0] + TARGETS[1]]),
    "tgt_segment_BT": np.array([[1] * 3 + [2] * 4]),
    "tgt_position_BT": np.array([[0, 1, 2, 0, 1, 2, 3]]),
  }
  together, attn = forward(params, packed, gates)
  np.testing.assert_allclose(together[0, :3], alone[0, :3], atol=1e-5)
  np.testing.assert_allclose(together[0, 3:], alone[1, :4], atol=1e-5)
  got, want = attn["dec_enc"][1][0, :, 3:, 4:], alone_attn["dec_enc"][1][1, :, :4, :2]
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_decoder_sees_the_past_alone(params):
  gates = model.ones(CONFIG)
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 5)
  logits, attn = forward(params, batch, gates)
  changed = batch | {"tgt_BT": batch["tgt_BT"].copy()}
  changed["tgt_BT"][1, 2] = 3
  other, _ = forward(params, changed, gates)
  np.testing.assert_array_equal(other[1, :3], logits[1, :3])  # position 3 is the first to see it
  assert float(jnp.abs(other[1, 3] - logits[1, 3]).max()) > 1e-3
  assert float(jnp.abs(jnp.triu(attn["dec_self"][0][1, 0], k=1)).max()) == 0.0


def test_closed_gates_equal_heads_that_do_not_exist(params):
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 5)
  gates = model.ones(CONFIG)
  gates["enc_self"] = gates["enc_self"].at[0].set(jnp.array([1.0, 0.0, 0.5, 0.0]))
  masked, _ = forward(params, batch, gates)
  attention = params["params"]["encoder_0"]["self_attention"]
  scale = jnp.array([1.0, 0.5])[:, None, None]
  cut = {
    "qkv_kernel": attention["qkv_kernel"][:, :, jnp.array([0, 2])],
    "qkv_bias": attention["qkv_bias"][:, jnp.array([0, 2])],
    "out_kernel": attention["out_kernel"][jnp.array([0, 2])] * scale,
    "out_bias": attention["out_bias"],
  }
  layer = params["params"]["encoder_0"] | {"self_attention": cut}
  small = dataclasses.replace(CONFIG, enc_self=(2, 2))
  smaller_params = {"params": params["params"] | {"encoder_0": layer}}
  logits, attn = model.Transformer(small).apply(smaller_params, batch, model.ones(small))
  np.testing.assert_allclose(logits, masked, atol=1e-5)
  assert attn["enc_self"][0].shape[1] == 2 and attn["dec_self"][1].shape[1] == 0


def test_steps_with_a_cache_equal_the_whole_decoder(params):
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 5)
  gates = model.ones(CONFIG)
  whole, _ = forward(params, batch, gates)
  transformer = model.Transformer(CONFIG)
  memory_BSD, _ = transformer.apply(params, batch, gates, method="encode")
  cache = transformer.apply(params, memory_BSD, 5, 1, method="start")
  word_BW = np.zeros((2, 1), np.int32)
  mask_BS = batch["src_segment_BS"] > 0
  for t in range(5):
    past_BWM = np.broadcast_to(np.arange(5) <= t, (2, 1, 5))
    logits_BWV, cache = transformer.apply(
      params, word_BW, jnp.int32(t), cache, past_BWM, mask_BS, gates, method="step"
    )
    for b in range(2):
      if batch["tgt_segment_BT"][b, t]:
        np.testing.assert_allclose(logits_BWV[b, 0], whole[b, t], atol=1e-4)
    word_BW = batch["tgt_BT"][:, t : t + 1]


def test_shared_embeddings_are_one_table():
  config = dataclasses.replace(CONFIG, tgt_vocab=13, share_embeddings=True)
  batch = model.unpacked_batch(SOURCES, TARGETS, 6, 5)
  tree = jax.eval_shape(
    lambda key: model.Transformer(config).init(key, batch, model.ones(config)), jax.random.key(0)
  )["params"]
  assert tree["shared_embed"].shape == (13, 16)
  assert not {"src_embed", "tgt_embed", "logits_kernel"} & tree.keys()
