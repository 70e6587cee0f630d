"""The Transformer against NumPy, choice by choice; gates, segments, causality, cached steps."""

import dataclasses
import functools

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import ops, transformer
from headprune.nn.layers import KEPT
from headprune.text import batching
from tests import tiny
from tests.nn.reference import Reference, close
from tests.tiny import SOURCES, TARGETS

CONFIGS = {
  "original": tiny.uneven(),
  "marian": tiny.uneven(**tiny.MARIAN),
  "post, final norms, gelu": tiny.uneven(
    norm="post", activation="gelu", norm_epsilon=0.3, scale_embeddings=False, decoder_start=3
  ),
  "pre, no final norms, silu": tiny.uneven(
    final_norms=False, activation="silu", logits_bias=True, source_bias=False, decoder_start=4
  ),
  "shared, zeros first": tiny.uneven(
    share_embeddings=True, src_vocab=11, positions="huggingface", norm_epsilon=0.01
  ),
}


@functools.partial(jax.jit, static_argnums=0)
def forward(config, params, batch, gates, noise=None):
  """Everything: memory, decoder output, logits, attention, what is kept on the way."""
  apply = functools.partial(transformer.Transformer(config).apply, {"params": params})
  (logits, attns), kept = apply(batch, gates, noise, mutable=[KEPT])
  return logits, attns, kept[KEPT]


@functools.cache
def computed(name):
  """A model of CONFIGS on packed rows: ((logits, attention, what is kept), places of the pairs)."""
  config, params, gates = tiny.model(CONFIGS[name])
  batch, places = tiny.pack(SOURCES, TARGETS, [[1], [2, 0]], margin=2)
  return jax.device_get(forward(config, params, batch, gates)), places


@pytest.mark.parametrize("name", CONFIGS)
def test_everything_is_as_the_formulas_say_in_packed_rows(name):
  config, params, gates = tiny.model(CONFIGS[name])
  (logits, attns, _), places = computed(name)
  for i, (row, src, tgt) in places.items():
    want, want_attns = Reference(config, params, gates).run(SOURCES[i], TARGETS[i])
    close(logits[row, tgt], want)
    for kind, query, memory in (
      ("enc_self", src, src), ("dec_self", tgt, tgt), ("dec_enc", tgt, src)
    ):  # fmt: skip
      assert [attn.shape[1] for attn in attns[kind]] == list(config.heads[kind])
      for attn, want_attn in zip(attns[kind], want_attns[kind]):
        close(attn[row, :, query, memory], want_attn, 1e-6)
        # Nothing leaks into other pairs or padding.
        assert not np.delete(attn[row, :, query], np.r_[memory], axis=-1).any()


@pytest.mark.parametrize("name", CONFIGS)
def test_what_relevance_flows_through_is_kept(name):
  reference = Reference(*tiny.model(CONFIGS[name]))
  reference.run(SOURCES[0], TARGETS[0])
  (_, _, kept), places = computed(name)
  kept = traverse_util.flatten_dict(kept)
  assert kept.keys() == reference.kept.keys()
  row, src, tgt = places[0]
  for path, want in reference.kept.items():
    query = src if "enc" in path[0] else tgt
    memory = tgt if path[0].startswith("dec") and "self_attention" in path else src
    letters = path[-1].split("_")[-1][1:]  # without B
    ours = kept[path][(row, *({"Q": query, "M": memory}.get(x, slice(None)) for x in letters))]
    close(ours, want)


def test_keeping_costs_nothing_unless_asked_for():
  config = tiny.even()
  params, gates = tiny.random_params(config), tiny.random_gates(config)
  batch, _ = tiny.pack([[3, 4, 1]], [[2, 1]], [[0]])
  asked = forward(config, params, batch, gates)[:2]
  plain = jax.jit(transformer.apply, static_argnums=0)(config, params, batch, gates)
  jax.tree.map(np.testing.assert_array_equal, plain, asked)

  def size(**kwargs):
    traced = lambda: transformer.apply(config, params, batch, gates, **kwargs)
    jaxpr = jax.make_jaxpr(traced)().jaxpr
    return len(jaxpr.eqns), len(jaxpr.outvars)

  assert size(mutable=[KEPT])[0] == size()[0]
  assert size() == size(mutable=["other"]) and size()[1] == len(jax.tree.leaves(plain))


@functools.partial(jax.jit, static_argnums=0)
def decode_in_steps(config, params, source, past_TBWM, word_TBW, gates, position_TB=None):
  """Logits_TBWV of cached steps; by default all rows begin at once."""
  apply = functools.partial(transformer.apply, config, params)
  memory_BSD, _ = apply(source, gates, method="encode")
  length, _, beams = word_TBW.shape
  batch, width = source["src_BS"].shape
  cache = apply(batch, width, length * beams, method="empty_cache")
  read = apply(memory_BSD, method="read_source")
  cache = [{**layer, "source": new} for layer, new in zip(cache, read)]
  if position_TB is None:
    position_TB = jnp.broadcast_to(jnp.arange(length)[:, None], (length, batch))

  def step(cache, inputs):
    t, position_B, word_BW, past_BWM = inputs
    entry_BW = jnp.broadcast_to(t * beams + jnp.arange(beams)[None], word_BW.shape)
    mask_BS = source["src_segment_BS"] > 0
    logits_BWV, cache = apply(
      word_BW, position_B, entry_BW, cache, past_BWM, mask_BS, gates, length, method="step"
    )
    return cache, logits_BWV

  return jax.lax.scan(step, cache, (jnp.arange(length), position_TB, word_TBW, past_TBWM))[1]


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_with_a_cache_equal_the_whole_decoder(name):
  config, params, gates = tiny.model(CONFIGS[name])
  source = batching.pad_sources(SOURCES, 5)
  word_TBW = np.full((4, 3, 1), 9)  # the first one is not looked at
  for b, target in enumerate(TARGETS):
    word_TBW[1 : len(target), b, 0] = target[:-1]
  past_TBWM = np.broadcast_to(np.tril(np.ones((4, 4), bool))[:, None, None], (4, 3, 1, 4))
  logits_TBWV = decode_in_steps(config, params, source, past_TBWM, word_TBW, gates)
  (whole, _, _), places = computed(name)
  for i, (row, _, tgt) in places.items():
    close(logits_TBWV[: len(TARGETS[i]), i, 0], whole[row, tgt])


def test_beams_read_the_cached_words_of_their_own_past():
  config, params, gates = tiny.model(CONFIGS["original"])
  # The second hypothesis leaves its own two words and goes on from the first one's.
  fed_TW = [[0, 0], [5, 9], [6, 7], [7, 8]]
  past_TWTW = np.zeros((4, 2, 4, 2), bool)
  for t in range(4):
    for beam in range(2):
      for position in range(t + 1):
        past_TWTW[t, beam, position, 0 if t == 3 and position < 3 else beam] = True
  logits_TBWV = decode_in_steps(
    config, params, batching.pad_sources([[3, 4, 1]], 3), past_TWTW.reshape(4, 1, 2, 8),
    np.array(fed_TW)[:, None], gates,
  )  # fmt: skip
  for beam, words in enumerate(([5, 6, 7], [5, 6, 8])):
    want, _ = Reference(config, params, gates).run([3, 4, 1], [*words, 1])
    close(logits_TBWV[3, 0, beam], want[3])


def test_the_rows_of_a_step_may_be_at_different_positions():
  config, params, gates = tiny.model(CONFIGS["original"])
  sources, words = [[3, 4, 1], [6, 1]], [[5, 6], [8, 9]]
  position_TB = np.array([[0, 0], [1, 0], [2, 0], [3, 1], [4, 2]])  # the second begins later
  word_TBW = np.array([[[0], [0]], [[5], [0]], [[6], [0]], [[0], [8]], [[0], [9]]])
  place = np.arange(5)
  past_TBWM = (place <= place[:, None, None, None]) & (place >= [[[0]], [[2]]])
  logits_TBWV = decode_in_steps(
    config, params, batching.pad_sources(sources, 3), past_TBWM, word_TBW, gates, position_TB
  )
  for row, end in enumerate((2, 4)):
    want, _ = Reference(config, params, gates).run(sources[row], [*words[row], 1])
    close(logits_TBWV[end, row, 0], want[2])


def test_caches_have_the_type_of_attentions_products():
  config = tiny.even(precision="bfloat16", attention_precision="bfloat16")
  params = tiny.random_params(config)
  (cache,) = transformer.apply(config, params, 5, 4, 6, method="empty_cache")
  types = {name: [(x.shape, x.dtype) for x in pair] for name, pair in cache.items()}
  assert types == {
    "self": [((5, 2, 4, 6), jnp.bfloat16), ((5, 2, 6, 4), jnp.bfloat16)],
    "source": [((5, 2, 4, 4), jnp.bfloat16), ((5, 2, 4, 4), jnp.bfloat16)],
  }
  assert not any(x.any() for pair in cache.values() for x in pair)
  read = lambda memory: transformer.apply(config, params, memory, method="read_source")
  for new, old in zip(jax.eval_shape(read, jnp.zeros((5, 4, 8)))[0], cache["source"]):
    assert (new.shape, new.dtype) == (old.shape, old.dtype)


@pytest.mark.parametrize("start", [None, 4])
def test_the_decoders_first_input(start):
  config = tiny.uneven(decoder_start=start)
  params = tiny.random_params(config)
  batch, _ = tiny.pack(SOURCES, TARGETS, [[2, 0, 1]])
  x_1TD = jax.jit(functools.partial(transformer.apply, config, method="embed_target"))(
    params, batch["tgt_BT"], batch["tgt_position_BT"]
  )
  signal = ops.positions(8, 8, "tensor2tensor")
  first = np.zeros(8) if start is None else params["tgt_embed"][4] * 8**0.5
  for place in (0, 1, 4):  # where segments begin
    close(x_1TD[0, place], first + signal[0], 1e-6)
  close(x_1TD[0, 2], params["tgt_embed"][5] * 8**0.5 + signal[1], 1e-6)


def test_dropout_is_in_its_four_places_with_a_mask_for_each():
  config = tiny.uneven(
    embed_dropout=0.1, residual_dropout=0.2, attention_dropout=0.3, activation_dropout=0.4
  )
  params, gates = tiny.random_params(config), tiny.random_gates(config)
  noise = ops.Noise(jnp.uint32(5), jnp.array([3]))
  sites = []

  def drop(x, rate, path):
    sites.append((path, rate))
    return np.asarray(ops.dropout(jnp.asarray(x[None], jnp.float32), rate, noise, path)[0])

  reference = Reference(config, params, gates, drop)
  want, _ = reference.run(SOURCES[1], TARGETS[1])
  batch, _ = tiny.pack(SOURCES, TARGETS, [[1]])
  logits, _, kept = forward(config, params, batch, gates, noise)
  close(logits[0], want)
  # The attention that is told is that before dropout.
  close(kept["decoder_0"]["self_attention"]["attn_BHQM"].sum(-1), 1, 1e-6)
  assert len({path for path, _ in sites}) == len(sites) == 2 + 3 * 2 + 2 * 3 + 2 + 2 + 5


def test_parameters_follow_the_sizes():
  config = CONFIGS["original"]
  shapes = traverse_util.flatten_dict(jax.tree.map(np.shape, tiny.random_params(config)), sep="/")
  norm = lambda name: {f"{name}/scale": (8,), f"{name}/bias": (8,)}
  want = {"src_embed": (13, 8), "tgt_embed": (11, 8), "src_bias": (8,), "logits_kernel": (8, 11)}
  want |= norm("enc_norm") | norm("dec_norm")
  attentions = [
    ("encoder_0/self", 2, 5), ("encoder_1/self", 0, 5), ("encoder_2/self", 3, 5),
    ("decoder_0/self", 3, 4), ("decoder_0/cross", 0, 4),
    ("decoder_1/self", 0, 4), ("decoder_1/cross", 2, 4),
  ]  # fmt: skip
  for name, heads, depth in attentions:
    want |= norm(f"{name}_norm") | {f"{name}_attention/out_bias": (8,)}
    if heads:
      fused = "kv" if name.endswith("cross") else "qkv"
      want[f"{name}_attention/{fused}_kernel"] = (8, len(fused), heads, depth)
      want[f"{name}_attention/{fused}_bias"] = (len(fused), heads, depth)
      want[f"{name}_attention/out_kernel"] = (heads, depth, 8)
    if heads and name.endswith("cross"):
      want[f"{name}_attention/q_kernel"] = (8, heads, depth)
      want[f"{name}_attention/q_bias"] = (heads, depth)
  for stack, layers, hidden in (("encoder", 3, 10), ("decoder", 2, 6)):
    for n in range(layers):
      want |= norm(f"{stack}_{n}/ffn_norm")
      want[f"{stack}_{n}/ffn/in_kernel"] = (8, hidden)
      want[f"{stack}_{n}/ffn/in_bias"] = (hidden,)
      want[f"{stack}_{n}/ffn/out_kernel"] = (hidden, 8)
      want[f"{stack}_{n}/ffn/out_bias"] = (8,)
  assert shapes == want
  # What a choice takes away or adds, compared with the same sizes of the other kind.
  marian = tiny.random_params(CONFIGS["marian"])
  top = lambda params: {name for name in params if "coder_" not in name}
  assert top(marian) == {"shared_embed", "logits_bias"}
  assert marian["shared_embed"].shape == (11, 8) and marian["logits_bias"].shape == (11,)


def test_initial_parameters():
  config = tiny.uneven(
    src_vocab=40, tgt_vocab=44, model_size=32, logits_bias=True, enc_self=(2,), dec_self=(3,),
    dec_enc=(4,), enc_head_size=20, dec_head_size=16, enc_ff_size=48, dec_ff_size=64,
  )  # fmt: skip
  key = jax.random.key(0, impl="unsafe_rbg")  # compiles faster
  flat = traverse_util.flatten_dict(transformer.init_params(config, key), sep="/")
  glorot = lambda fan_in, fan_out: (6 / (fan_in + fan_out)) ** 0.5
  limits = {  # each stands for one flat matrix of the original
    "src_bias": glorot(1, 32),
    "logits_kernel": glorot(32, 44),
    "encoder_0/self_attention/qkv_kernel": glorot(32, 3 * 40),
    "encoder_0/self_attention/out_kernel": glorot(40, 32),
    "encoder_0/ffn/in_kernel": glorot(32, 48),
    "encoder_0/ffn/out_kernel": glorot(48, 32),
    "decoder_0/self_attention/qkv_kernel": glorot(32, 3 * 48),
    "decoder_0/self_attention/out_kernel": glorot(48, 32),
    "decoder_0/cross_attention/q_kernel": glorot(32, 64),
    "decoder_0/cross_attention/kv_kernel": glorot(32, 2 * 64),
    "decoder_0/cross_attention/out_kernel": glorot(64, 32),
    "decoder_0/ffn/in_kernel": glorot(32, 64),
    "decoder_0/ffn/out_kernel": glorot(64, 32),
  }
  for path, array in flat.items():
    if path in limits:
      least = 0.9 if array.size > 100 else 0.85
      assert least * limits[path] < np.abs(array).max() <= limits[path], path
      assert np.abs(array.mean()) < 0.3 * limits[path], path
    elif path.endswith("embed"):
      np.testing.assert_allclose(array.std(), 32**-0.5, rtol=0.05)
      assert np.abs(array).max() > 2.5 * 32**-0.5
    else:
      assert np.all(array == (1 if path.endswith("scale") else 0)), path
  assert limits.keys() < flat.keys()
  # The bias has few numbers: those of many keys.
  many = jax.vmap(functools.partial(transformer.init_params, tiny.even(model_size=4)))
  biases = jax.jit(lambda keys: many(keys)["src_bias"])(jax.random.split(key, 100))
  assert 0.97 * glorot(1, 4) < np.abs(biases).max() <= glorot(1, 4)
  shared = tiny.even(tgt_vocab=7, share_embeddings=True, model_size=32)
  embed = transformer.init_params(shared, key)["shared_embed"]
  np.testing.assert_allclose(embed.std(), 32**-0.5, rtol=0.15)


def test_decoder_sees_the_past_alone():
  config, params, gates = tiny.model(CONFIGS["original"])
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 5)
  logits, attns, _ = forward(config, params, batch, gates)
  changed = batch | {"tgt_BT": batch["tgt_BT"].copy()}
  changed["tgt_BT"][1, 2] = 3
  other, _, _ = forward(config, params, changed, gates)
  np.testing.assert_array_equal(other[1, :3], logits[1, :3])  # position 3 is the first to see it
  assert float(jnp.abs(other[1, 3] - logits[1, 3]).max()) > 1e-3
  assert float(jnp.abs(jnp.triu(attns["dec_self"][0][1, 0], k=1)).max()) == 0.0


def test_closed_gates_equal_heads_that_do_not_exist():
  config, params, gates = tiny.model(CONFIGS["original"])
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 5)
  gates["enc_self"][2] = [0.5, 0.0, 1.0]
  masked, _, _ = forward(config, params, batch, gates)
  attention, left = params["encoder_2"]["self_attention"], np.array([0, 2])
  cut = {
    "qkv_kernel": attention["qkv_kernel"][:, :, left],
    "qkv_bias": attention["qkv_bias"][:, left],
    "out_kernel": attention["out_kernel"][left] * np.array([0.5, 1.0])[:, None, None],
    "out_bias": attention["out_bias"],
  }
  smaller = params | {"encoder_2": params["encoder_2"] | {"self_attention": cut}}
  # A new array: the dispatched forward may still read the memory of the old one.
  gates = gates | {"enc_self": gates["enc_self"].copy()}
  gates["enc_self"][2] = [1.0, 1.0, 7.0]  # the last is of no head
  config = dataclasses.replace(config, enc_self=(2, 0, 2))
  logits, attns, _ = forward(config, smaller, batch, gates)
  close(logits, masked)
  assert attns["enc_self"][2].shape[1] == 2 and attns["dec_self"][1].shape[1] == 0


def test_tokens_of_one_segment_see_each_other_but_not_padding():
  query, memory = np.array([[1, 2, 0]]), np.array([[2, 2, 1, 0]])
  mask = np.array([[[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]], bool)
  np.testing.assert_array_equal(transformer.same_segment(query, memory), mask)
