import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

from headprune import cost, model
from headprune.model import ModelConfig

CONFIG = ModelConfig(
  src_vocab=7, tgt_vocab=11, model_size=6, head_size=2, ff_size=5,
  enc_self=(3, 1), dec_self=(0, 2), dec_enc=(1, 3),
)  # fmt: skip
S, T, W = 4, 3, 2


def dot_flops(jaxpr) -> int:
  """Operations of all matrix products in a traced function."""
  total = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == "dot_general":
      (contracted, _), _ = eqn.params["dimension_numbers"]
      shape = eqn.invars[0].aval.shape
      total += 2 * eqn.outvars[0].aval.size * int(np.prod([shape[i] for i in contracted]))
    total += sum(dot_flops(inner) for inner in core.jaxprs_in_params(eqn.params))
  return total


def transformer():
  batch = model.unpacked_batch([[1]], [[1]], S, T)
  module, gates = model.Transformer(CONFIG), model.ones(CONFIG)
  params = jax.eval_shape(lambda: module.init(jax.random.key(0), batch, gates))
  return module, params, batch, gates


def test_scoring_counts_the_products_that_the_model_traces():
  module, params, batch, gates = transformer()
  traced = jax.make_jaxpr(module.apply)(params, batch, gates)
  assert cost.pair_flops(CONFIG, S, T) == dot_flops(traced.jaxpr)


def test_translating_counts_the_products_that_the_search_traces():
  module, params, batch, gates = transformer()
  memory = jnp.zeros((1, S, CONFIG.model_size))
  encode = lambda p: module.apply(p, batch, gates, method=model.Transformer.encode)
  start = lambda p: module.apply(p, memory, T, W, method=model.Transformer.start)
  token, past, source = (
    jnp.zeros((1, W), int),
    jnp.ones((1, W, T * W), bool),
    jnp.ones((1, S), bool),
  )
  step = lambda p, cache: module.apply(
    p, token, 0, cache, past, source, gates, method=model.Transformer.step
  )
  cache = jax.eval_shape(start, params)
  once = sum(dot_flops(jax.make_jaxpr(f)(params).jaxpr) for f in (encode, start))
  steps = T * dot_flops(jax.make_jaxpr(step)(params, cache).jaxpr)
  assert cost.pair_flops(CONFIG, S, T, W) == once + steps


def test_caches_are_as_large_as_those_of_the_decoder():
  module, params, _, _ = transformer()
  start = lambda p, m: module.apply(p, m, T, W, method=model.Transformer.start)
  cache = jax.eval_shape(start, params, jnp.zeros((1, S, CONFIG.model_size)))
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache))
  source, target = cost.cache_bytes(CONFIG)
  assert size == S * source + T * W * target
  assert (source, target) == (2 * 2 * 4 * 4, 2 * 2 * 4 * 2)
