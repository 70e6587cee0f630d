"""How important each head is: what the loss, its gradient and BLEU say about closing it."""

from collections.abc import Iterable
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from headprune import gates as gates_lib
from headprune import model, ops


def exact(model_config: model.ModelConfig) -> model.ModelConfig:
  """The same model with float32 products: differences between heads are small."""
  return dataclasses.replace(model_config, precision="float32")


def gradient(model_config, params: dict, gate_values: dict, batches: Iterable[dict]) -> dict:
  """Expected sensitivity to each gate (Michel et al. 2019, equation 2): type -> score_NH.

  I = E |g dL / dg| over sentences, with L the -log p of a sentence's tokens and g the given gate (1
  in that paper): a closed head has none, and cutting it out changes nothing. Each layer is divided
  by its l2 norm.
  """
  totals = {name: 0.0 for name in gate_values}
  for batch in batches:
    part = _absolute_gradient(exact(model_config), params, gate_values, batch)
    totals = {name: totals[name] + np.asarray(part[name], np.float64) for name in totals}
  return {n: unit_layers(total_NH * np.asarray(gate_values[n])) for n, total_NH in totals.items()}


def unit_layers(score_NH: np.ndarray) -> np.ndarray:
  """Divides each layer by its l2 norm; a layer of zeros stays as it is."""
  norm_N1 = np.linalg.norm(score_NH, axis=1, keepdims=True)
  return score_NH / np.where(norm_N1 > 0, norm_N1, 1.0)


def closing(model_config, params: dict, gate_values: dict, batches: Iterable[dict]):
  """Closes each open head alone.

  Returns:
    (loss, type -> increase_NH): -log p per target token, natural log, no smoothing, and by how much
    it grows; 0 for heads that are closed already.
  """
  closed = list(closed_one_by_one(gate_values, model_config.heads))
  variants = [gate_values, *(gates for *_, gates in closed)]
  stacked = {name: np.stack([gates[name] for gates in variants]) for name in gate_values}
  sums, tokens = 0.0, 0
  for batch in batches:
    losses_C = _losses(exact(model_config), params, stacked, batch)
    sums += np.asarray(losses_C, np.float64)
    tokens += int(np.sum(batch["tgt_segment_BT"] > 0))
  loss, *losses = sums / tokens
  increase = {name: np.zeros(np.shape(gate)) for name, gate in gate_values.items()}
  for (name, n, h, _), closed_loss in zip(closed, losses):
    increase[name][n, h] = closed_loss - loss
  return float(loss), increase


def closed_one_by_one(gate_values: dict, heads: dict):
  """Yields (type, layer, head, gates with that head closed) for each open head."""
  for name in gates_lib.TYPES:
    for n, h in np.argwhere(open_heads(gate_values[name], heads[name])):
      gate_NH = np.array(gate_values[name])
      gate_NH[n, h] = 0.0
      yield name, int(n), int(h), {**gate_values, name: gate_NH}


def open_heads(gate_NH, heads: tuple[int, ...]) -> np.ndarray:
  """Which heads exist and have a gate above 0: bool [N, H]."""
  return (np.asarray(gate_NH) > 0) & (gates_lib.present(heads, np.shape(gate_NH)[1]) > 0)


def _sentence_loss(logits_BTV, batch):
  """-log p of the batch's real target tokens."""
  loss_BT = ops.smoothed_loss(logits_BTV, batch["tgt_BT"], 0.0)
  return jnp.sum(jnp.where(batch["tgt_segment_BT"] > 0, loss_BT, 0.0))


@functools.partial(jax.jit, static_argnums=0)
def _absolute_gradient(config, params, gate_values, batch):
  def loss(gate_values, row):
    row = jax.tree.map(lambda x: x[None], row)
    logits_BTV, _ = model.Transformer(config).apply({"params": params}, row, gate_values)
    return _sentence_loss(logits_BTV, row)

  slopes = jax.vmap(jax.grad(loss), in_axes=(None, 0))(gate_values, batch)
  return jax.tree.map(lambda x_BNH: jnp.sum(jnp.abs(x_BNH), axis=0), slopes)


@functools.partial(jax.jit, static_argnums=0)
def _losses(config, params, gates, batch):
  """loss_C of the batch under each of the C gate settings."""

  def loss(gate_values):
    logits_BTV, _ = model.Transformer(config).apply({"params": params}, batch, gate_values)
    return _sentence_loss(logits_BTV, batch)

  return jax.lax.map(loss, gates)


def correlations(scores: dict[str, np.ndarray]) -> np.ndarray:
  """Spearman's rank correlation between scores of the same heads: [len(scores), len(scores)]."""
  rank = np.stack([ranked(score) for score in scores.values()])
  rank -= rank.mean(1, keepdims=True)
  norm = np.linalg.norm(rank, axis=1)
  # A score that is the same for all heads has no order: no correlation, not even with itself.
  return rank @ rank.T / np.where(np.outer(norm, norm) > 0, np.outer(norm, norm), np.inf)


def ranked(score: np.ndarray) -> np.ndarray:
  """Ranks from 1; equal values share the mean of their ranks."""
  _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
  return (np.cumsum(count) - (count - 1) / 2)[inverse]
