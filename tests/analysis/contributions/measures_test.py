"""Tests of headprune.analysis.contributions.measures."""

import functools

import jax
import numpy as np
import pytest

from headprune.analysis.contributions import measures
from headprune.analysis.contributions.measures import Relevances
from headprune.nn import ops
from headprune.translator.translator import Translator
from tests import tiny

PAIR = [4, 5, 1], [2, 3, 1]
START = 5  # what the decoder reads before the first word
ADDED = np.array([1, 1 / 3, 0, 0])  # in channel 0 a layer norm makes it 2 / sqrt(1.5)
LEFT = np.array([1, 5 / 3, 1 / 3, 1])  # and this one 0
SOURCE = 0.5 * ADDED, 1.0 * ADDED, 2.5 * LEFT
TARGET = 9.0 * ADDED, 1.0 * ADDED, 14 / 3 * ADDED


@functools.cache
def summing() -> Translator:
  """A model whose outcome is known: channel 0 of the decoder alone decides, nothing is negative.

  The channel holds the word before; self-attention adds 2, the mean of as much from each position
  that was read, and cross-attention the mean of the source, 2. To that the words bring 0.5, 1 and
  2.5; the encoder's self-attention adds the mean of 1, 1 and 0 to each.
  """
  config = tiny.even(
    model_size=4, enc_self=(1,), dec_self=(1,), dec_enc=(1,), enc_head_size=1, dec_head_size=1,
    final_norms=False, positions="huggingface", scale_embeddings=False, source_bias=False,
    decoder_start=START,
  )  # fmt: skip
  params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), tiny.random_params(config))
  signal_QD = ops.positions(3, 4, "huggingface")
  for side, ids, values in (("src", PAIR[0], SOURCE), ("tgt", [START, *PAIR[1]], TARGET)):
    for position, (word, value_D) in enumerate(zip(ids, values)):
      params[f"{side}_embed"][word] = value_D - signal_QD[position]
  params["logits_kernel"][0] = 1.0
  encoder, decoder = params["encoder_0"], params["decoder_0"]
  encoder["self_norm"]["scale"][:] = np.sqrt(1.5) / 2
  decoder["self_norm"]["scale"][:] = np.sqrt(1.5)
  for norm in (encoder["ffn_norm"], decoder["cross_norm"], decoder["ffn_norm"]):
    norm["scale"][:] = 1.0
  for layer in (encoder, decoder):
    layer["self_attention"]["qkv_kernel"][0, 2] = 1.0  # channel 0 is the value
    layer["self_attention"]["out_kernel"][..., 0] = 1.0
  decoder["cross_attention"]["kv_kernel"][0, 1] = 1.0
  decoder["cross_attention"]["out_kernel"][..., 0] = 1.0
  ones = {name: np.ones(shape, np.float32) for name, shape in config.gate_shapes.items()}
  return Translator(config, params, ones)


def found(**closed) -> Relevances:
  """Relevances of the pair; types named in `closed` have their gates shut."""
  t = summing()
  gates = t.gate_values | {name: np.zeros((1, 1), np.float32) for name in closed}
  (result,) = measures.relevances(t.replace(gate_values=gates), [PAIR])
  return result


def test_shares_of_a_model_that_adds_up_what_it_reads():
  r = found()
  # The sums are 9 + 2 + 2, 1 + 2 + 2, 14/3 + 2 + 2; the start has 11/13, 1/5 and 1/13 of them.
  source_T = np.array([2 / 13, 2 / 5, 3 / 13])
  expected = source_T[:, None] * np.array([1 / 4, 1 / 3, 5 / 12])[None]
  np.testing.assert_allclose(r.source_TS, expected, rtol=1e-3)
  expected = [[0, 0, 0], [2 / 5, 0, 0], [1 / 13, 8 / 13, 0]]
  np.testing.assert_allclose(r.target_TT, expected, rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(measures.source_contribution(r), [1, 1 / 2, 1 / 4], rtol=1e-3)
  np.testing.assert_allclose(measures.total_contribution(r), [3 / 4, 1, 5 / 4], rtol=1e-3)
  without = measures.total_contribution(r, eos=False)
  np.testing.assert_allclose(without, [6 / 7, 8 / 7], rtol=1e-3)
  entropy = lambda *shares: -sum(p * np.log(p) for p in shares)
  same = entropy(1 / 4, 1 / 3, 5 / 12)
  np.testing.assert_allclose(measures.source_entropy(r), [same] * 3, rtol=1e-3)
  last = entropy(1 / 9, 8 / 9)
  np.testing.assert_allclose(measures.target_entropy(r), [0, 0, last], rtol=1e-3, atol=1e-6)


def test_a_closed_encoder_leaves_each_word_what_it_brings():
  source_TS = found(enc_self=0).source_TS
  share_TS = source_TS / source_TS.sum(1, keepdims=True)
  np.testing.assert_allclose(share_TS, [[1 / 8, 1 / 4, 5 / 8]] * 3, rtol=1e-3)


def test_without_cross_attention_nothing_comes_from_the_source():
  r = found(dec_enc=0)
  assert not np.any(r.source_TS)
  np.testing.assert_array_equal(measures.source_contribution(r), 0.0)
  np.testing.assert_array_equal(measures.total_contribution(r), 0.0)
  np.testing.assert_array_equal(measures.source_entropy(r), 0.0)


def test_without_self_attention_one_word_is_read():
  r = found(dec_self=0)
  np.testing.assert_allclose(r.target_TT, [[0, 0, 0], [1 / 3, 0, 0], [0, 7 / 10, 0]], rtol=1e-3)
  np.testing.assert_allclose(measures.source_contribution(r), [1, 2 / 3, 3 / 10], rtol=1e-3)


def test_padding_and_what_is_read_first_are_cropped():
  source_GS, target_GT = np.arange(16.0).reshape(4, 4), np.arange(16.0).reshape(4, 4)
  r = measures.crop(source_GS, target_GT, 2, 3)
  np.testing.assert_array_equal(r.source_TS, [[0, 1], [4, 5], [8, 9]])
  np.testing.assert_array_equal(r.target_TT, [[1, 2, 0], [5, 6, 0], [9, 10, 0]])


@pytest.mark.parametrize("n", [1, 2, 7])
def test_equal_contributions_have_the_entropy_ln_n(n):
  r = Relevances(np.full((3, n), 0.2), np.full((3, n), 0.1))
  np.testing.assert_allclose(measures.source_entropy(r), np.log(n), atol=1e-12)
  np.testing.assert_allclose(measures.target_entropy(r), np.log(n), atol=1e-12)
  np.testing.assert_allclose(measures.source_contribution(r), 2 / 3)
  np.testing.assert_allclose(measures.total_contribution(r), 1.0)
