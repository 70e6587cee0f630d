"""The gradient's opinion: how sensitive the loss is to each gate (Michel et al. 2019)."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from headprune.analysis import plug
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject
from headprune.translator.translator import Translator

add_options = plug.no_options


def prepare(subject: Subject, options) -> plug.Plan:
  del subject, options
  return plug.Plan(measure)


def measure(subject: Subject) -> Findings:
  """Every head's gradient importance."""
  values = gradient(subject.translator, (batch for _, batch in subject.batches()))
  meaning = "mean |g dL / dg| over sentences, g a head's gate; each layer divided by its l2 norm"
  return Findings(
    scores=(Score("gradient", "gradient importance", meaning, subject.as_lists(values)),)
  )


def gradient(translator: Translator, batches: Iterable[dict]) -> dict[str, np.ndarray]:
  """Expected sensitivity to each gate (Michel et al. 2019, equation 2): type -> score_NH.

  I = E |g dL / dg| over sentences, with L the -log p of a sentence's tokens and g the given gate (1
  in that paper): a closed head has none, and cutting it out changes nothing. Each layer is divided
  by its l2 norm.
  """
  translator, gate_values = translator.exact(), translator.gate_values
  totals = {name: 0.0 for name in gate_values}
  for batch in batches:
    part = _absolute_gradient(translator, batch)
    totals = {name: totals[name] + np.asarray(part[name], np.float64) for name in totals}
  return {n: unit_layers(total_NH * np.asarray(gate_values[n])) for n, total_NH in totals.items()}


def unit_layers(score_NH: np.ndarray) -> np.ndarray:
  """Divides each layer by its l2 norm; a layer of zeros stays as it is."""
  norm_N1 = np.linalg.norm(score_NH, axis=1, keepdims=True)
  return score_NH / np.where(norm_N1 > 0, norm_N1, 1.0)


@jax.jit
def _absolute_gradient(translator: Translator, batch: dict):
  """Sum over the batch's sentences of |dL / dg|: type -> [N, H]."""

  def loss(gate_values, row):
    one = jax.tree.map(lambda x: x[None], row)
    return jnp.sum(translator.replace(gate_values=gate_values).token_losses(one))

  slopes = jax.vmap(jax.grad(loss), in_axes=(None, 0))(translator.gate_values, batch)
  return jax.tree.map(lambda x_BNH: jnp.sum(jnp.abs(x_BNH), axis=0), slopes)
