"""Relevance by its definition, from Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def jacobian_rule(function, inputs, r_O, alpha_beta=True):
  """The rule by its definition, from the Jacobian of `function`: one relevance per input."""
  slopes = jax.device_get(jax.jit(jax.jacrev(function, argnums=tuple(range(len(inputs)))))(*inputs))
  z = np.concatenate(
    [np.reshape(s, (np.size(r_O), -1)) * np.ravel(x) for s, x in zip(slopes, inputs)], axis=1
  )
  if alpha_beta:
    up, down = np.maximum(z, 0), np.maximum(-z, 0)
    share = 0.5 * up / (up.sum(1, keepdims=True) + 1e-5)
    share += 0.5 * down / (down.sum(1, keepdims=True) + 1e-5)
  else:
    share = z / z.sum(1, keepdims=True)
  flat = np.ravel(r_O) @ share
  flat *= np.abs(r_O).sum() / np.abs(flat).sum() if alpha_beta else 1.0
  cuts = np.cumsum([np.size(x) for x in inputs])[:-1]
  return [part.reshape(np.shape(x)) for part, x in zip(np.split(flat, cuts), inputs)]


def layer_norm(x_XD, scale_D, epsilon):
  centred_XD = x_XD - x_XD.mean(-1, keepdims=True)
  variance_X1 = jnp.mean(centred_XD**2, axis=-1, keepdims=True)
  return centred_XD / jnp.sqrt(variance_X1 + epsilon) * scale_D[None]
