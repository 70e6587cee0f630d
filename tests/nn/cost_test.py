"""Costs by arithmetic against the products and arrays of the model's own traced program."""

import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import cost, transformer
from headprune.nn.config import open_gates
from headprune.text import batching
from tests import tiny

CONFIGS = [tiny.uneven(enc_head_size=7), tiny.uneven(**tiny.MARIAN)]
S, T, W = 4, 3, 2


def dot_flops(function, *args) -> int:
  """Operations of all matrix products in a traced function."""
  return _dot_flops(jax.make_jaxpr(function)(*args).jaxpr)


def _dot_flops(jaxpr) -> int:
  total = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == "dot_general":
      (contracted, _), _ = eqn.params["dimension_numbers"]
      shape = eqn.invars[0].aval.shape
      total += 2 * eqn.outvars[0].aval.size * int(np.prod([shape[i] for i in contracted]))
    total += sum(_dot_flops(inner) for inner in core.jaxprs_in_params(eqn.params))
  return total


def apply(config, method=None):
  return lambda params, *args: transformer.apply(config, params, *args, method=method)


def empty_cache(config, params):
  entries = cost.search_entries(T, W)
  return transformer.apply(config, params, 1, S, entries, method="empty_cache")


@pytest.mark.parametrize("config", CONFIGS)
def test_scoring_counts_the_products_that_the_model_traces(config):
  params, gates = tiny.random_params(config), open_gates(config)
  batch = batching.pad_pairs([[1]], [[1]], S, T)
  assert cost.pair_flops(config, S, T) == dot_flops(apply(config), params, batch, gates)


@pytest.mark.parametrize("config", CONFIGS)
def test_translating_counts_the_products_that_the_search_traces(config):
  params, gates = tiny.random_params(config), open_gates(config)
  source, memory = batching.pad_sources([[1]], S), jnp.zeros((1, S, config.model_size))
  once = dot_flops(apply(config, "encode"), params, source, gates)
  once += dot_flops(apply(config, "read_source"), params, memory)
  assert once == S * cost.source_flops(config, S)
  cache = empty_cache(config, params)
  token, past, real = jnp.zeros((1, W), int), jnp.ones((1, W, T * W), bool), jnp.ones((1, S), bool)
  entry = jnp.arange(W)[None]
  next_word = lambda params, *args: apply(config, "step")(params, *args, T)
  step = dot_flops(next_word, params, token, jnp.zeros(1, int), entry, cache, past, real, gates)
  assert step == W * cost.target_flops(config, S, T * W)
  assert cost.pair_flops(config, S, T, W) == once + T * step


def test_a_search_caches_the_words_of_one_hypothesis_and_some_of_the_others():
  assert [cost.search_entries(20, beams) for beams in (1, 2, 4)] == [20, 36, 52]
  assert cost.search_entries(3, 4) == 12  # all of them


@pytest.mark.parametrize("precision, size", [("float32", 4), ("bfloat16", 2)])
def test_caches_are_as_large_as_those_of_the_decoder(precision, size):
  config = tiny.uneven(attention_precision=precision)
  cache = empty_cache(config, tiny.random_params(config))
  total = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache))
  source, target = cost.cache_bytes(config)
  assert total == S * source + T * W * target
  assert (source, target) == (2 * 4 * 2 * size, 2 * 4 * 3 * size)  # 2 and 3 heads of 4 channels
