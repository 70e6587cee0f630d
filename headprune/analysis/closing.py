"""A model with one head closed at a time, nothing trained, and what that costs in loss."""

from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import gates
from headprune.nn.config import TYPES
from headprune.translator.translator import Translator


def closing(translator: Translator, batches: Iterable[dict]) -> tuple[float, dict]:
  """Closes each open head alone.

  Returns:
    (loss, type -> increase_NH): -log p per target token, natural log, no smoothing, and by how much
    it grows; 0 for heads that are closed already.
  """
  gate_values = translator.gate_values
  closed = list(closed_one_by_one(translator))
  settings = [gate_values, *(gates_without for *_, gates_without in closed)]
  stacked = {name: np.stack([values[name] for values in settings]) for name in gate_values}
  sums, tokens = 0.0, 0
  for batch in batches:
    sums += np.asarray(_losses(translator.exact(), stacked, batch), np.float64)
    tokens += int(np.sum(batch["tgt_segment_BT"] > 0))
  loss, *losses = sums / tokens
  increase = {name: np.zeros(np.shape(gate_NH)) for name, gate_NH in gate_values.items()}
  for (name, n, h, _), closed_loss in zip(closed, losses):
    increase[name][n, h] = closed_loss - loss
  return float(loss), increase


def closed_one_by_one(translator: Translator) -> Iterator[tuple[str, int, int, dict]]:
  """Yields (type, layer, head, gate values with that head closed) for each open head."""
  gate_values, heads = translator.gate_values, translator.config.heads
  for name in TYPES:
    for n, h in np.argwhere(gates.open_heads(gate_values[name], heads[name])):
      gate_NH = np.array(gate_values[name])
      gate_NH[n, h] = 0.0
      yield name, int(n), int(h), {**gate_values, name: gate_NH}


@jax.jit
def _losses(translator: Translator, gate_values: dict, batch: dict):
  """loss_Z of the batch under each gate setting; gate_values: type -> gate_ZNH."""
  loss = lambda one: jnp.sum(translator.replace(gate_values=one).token_losses(batch))
  return jax.lax.map(loss, gate_values)
