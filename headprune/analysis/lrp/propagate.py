"""Relevance of heads and of the words that are read for the chosen word, propagated down.

At each generation step relevance 1 starts at the logit of the most likely word and goes down
through the decoder, the memory and the encoder; what arrives at a head's context (before the output
projection) is the head's relevance (Voita et al. 2019, section 4), what arrives at an input of
encoder or decoder that of the word which is read there (Voita et al. 2021). The forward pass is the
model's own: `nn.layers` keeps what relevance flows through. Branch outputs are kept without their
biases, which take no relevance: a layer whose heads are all closed then gets none.
"""

from collections.abc import Callable, Iterable
import functools

import jax
import jax.numpy as jnp
import numpy as np

from headprune.analysis.lrp import rules
from headprune.analysis.lrp.rules import Rule
from headprune.nn import transformer
from headprune.nn.config import ModelConfig
from headprune.nn.layers import KEPT
from headprune.translator.translator import Translator


def relevance(
  translator: Translator, batches: Iterable[dict], rule: str = rules.DEFAULT
) -> dict[str, np.ndarray]:
  """Mean over generation steps of each head's share of its layer's relevance.

  Args:
    translator: the model.
    batches: pairs; the targets are what the decoder has read at each step.
    rule: a name in rules.RULES.
  Returns:
    type -> share_NH; a uniform layer has 1 / H everywhere, a layer without open heads 0.
  """
  totals, steps = dict.fromkeys(translator.config.heads, 0.0), 0
  for batch in batches:
    sums = propagate(translator.exact(), batch, rule)
    totals = {name: totals[name] + np.asarray(sums[name], np.float64).sum(0) for name in totals}
    steps += int(np.sum(batch["tgt_segment_BT"] > 0))
  return {name: total_NH / max(steps, 1) for name, total_NH in totals.items()}


@functools.partial(jax.jit, static_argnums=2)
def propagate(translator: Translator, batch: dict, rule: str):
  """Relevance of each sentence's heads, summed over generation steps: type -> share_BNH."""
  return jax.lax.map(lambda row: _descend(translator, row, rule)[0], batch)


@jax.jit
def inputs(translator: Translator, batch: dict):
  """Relevance of each word that is read, at each generation step (Voita et al. 2021, section 3).

  Returns:
    (source_BGS, target_BGT), sums over channels of absolute values. Position 0 of the target is
    what the decoder reads before the first word, position k the k-th word. At each of G = T steps
    the two sum to 1 where relevance is conserved; 0 at padding.
  """
  return jax.lax.map(lambda row: _descend(translator, row, rules.DEFAULT)[2], batch)


def _descend(translator: Translator, row: dict, rule: str):
  """`descend` from a row of a batch."""
  t = translator
  return descend(t.config, t.params, row["tgt_segment_BT"] > 0, *activations(t, row), rule)


def activations(translator: Translator, row: dict):
  """Runs the model on one pair.

  Args:
    translator: the model.
    row: a row of a batch, without the batch axis.
  Returns:
    (module -> name -> array as nn.layers keeps them, without the batch axis in name and shape;
    word_T, the most likely word of each position).
  """
  t, batch = translator, {name: x[None] for name, x in row.items()}
  (logits_1TV, _), kept = transformer.apply(
    t.config, t.params, batch, t.gate_values, mutable=[KEPT]
  )
  return _without_batch(kept[KEPT]), jnp.argmax(logits_1TV[0], axis=-1)


def _without_batch(kept: dict) -> dict:
  return {
    name.replace("_B", "_"): _without_batch(x) if isinstance(x, dict) else x[0]
    for name, x in kept.items()
  }


def descend(config: ModelConfig, params: dict, real_T, acts: dict, word_T, rule: str):
  """`propagate` and `inputs` for one sentence.

  Args:
    config: the model's.
    params: its parameters.
    real_T: where the target is not padding.
    acts: from `activations`, as word_T.
    word_T: the word whose logit relevance starts at, at each step.
    rule: a name in rules.RULES.
  Returns:
    (type -> share_NH, total_LG, (source_GS, target_GT)). total_LG is the relevance of all neurons
    of each of L cuts through the model, from the logits down, at each of G = T generation steps: 1
    where relevance is conserved, 0 at padding.
  """
  rule = rules.RULES[rule]
  kernel_DV = transformer.unshared(params)["logits_kernel"]
  r_TD = _logits(rule, acts["dec_out_QD"], kernel_DV, word_T)
  # Step g reads its logit at position g, so the first axis, G, is the second one's diagonal.
  r_GTD = jnp.diag(real_T)[..., None] * r_TD[None]
  totals = [r_GTD.sum((1, 2))]
  heads = {name: [] for name in config.heads}
  r_GTD = _final_norm(rule, config, params, "dec", acts["dec_x_QD"], r_GTD)
  memory_SD = acts["enc_out_QD"]
  r_memory_GSD = jnp.zeros((len(real_T), *memory_SD.shape))
  for n in reversed(range(config.dec_layers)):
    layer = rule, config, params[f"decoder_{n}"], acts[f"decoder_{n}"]
    r_GTD = _through_ffn(*layer, r_GTD)
    r_GTD, r_GSD, r_cross_GH = _through_cross(*layer, memory_SD, r_GTD)
    r_GTD, r_self_GH = _through_self(*layer, r_GTD)
    r_memory_GSD += r_GSD
    heads["dec_enc"].append(r_cross_GH)
    heads["dec_self"].append(r_self_GH)
    totals.append(r_GTD.sum((1, 2)) + r_memory_GSD.sum((1, 2)))
  r_GSD = _final_norm(rule, config, params, "enc", acts["enc_x_QD"], r_memory_GSD)
  for n in reversed(range(config.enc_layers)):
    layer = rule, config, params[f"encoder_{n}"], acts[f"encoder_{n}"]
    r_GSD = _through_ffn(*layer, r_GSD)
    r_GSD, r_GH = _through_self(*layer, r_GSD)
    heads["enc_self"].append(r_GH)
    totals.append(r_GTD.sum((1, 2)) + r_GSD.sum((1, 2)))
  shares = {name: _shares(r[::-1], config.gate_shapes[name][1]) for name, r in heads.items()}
  words = tuple(jnp.abs(r_GXD).sum(2) for r_GXD in (r_GSD, r_GTD))
  return shares, jnp.stack(totals), words


def _shares(layers: list, width: int):
  """Each head's share of its layer, summed over generation steps: [N, width]."""
  rows = []
  for r_GH in layers:
    total_G1 = r_GH.sum(1, keepdims=True)
    share_GH = r_GH / jnp.where(total_G1 == 0, 1.0, total_G1)
    rows.append(jnp.pad(share_GH.sum(0), (0, width - r_GH.shape[1])))
  return jnp.stack(rows)


def _logits(rule: Rule, out_TD, kernel_DV, word_T):
  """Relevance of the decoder's output at each position for a word's logit, 1 in all."""
  z_TD = out_TD * kernel_DV.T[word_T]
  size_T1, total_T1 = (z.sum(-1, keepdims=True) for z in (jnp.abs(z_TD), z_TD))
  one_T1 = jnp.ones_like(total_T1)
  d_T1, e_T1 = rule.coefficients(size_T1, total_T1, one_T1)
  return rule.conserve(one_T1, jnp.abs(z_TD) * d_T1 + z_TD * e_T1, (1,))


def _final_norm(rule: Rule, config: ModelConfig, params: dict, stack: str, x_XD, r_GXD):
  if not config.final_norms:
    return r_GXD
  return rule.norm(x_XD, params[f"{stack}_norm"]["scale"], config.norm_epsilon, r_GXD)


def _through_residual(
  rule: Rule, config: ModelConfig, p: dict, acts: dict, name: str, out_XD, r_GXD, branch: Callable
):
  """The dual of nn.layers.residual.

  Args:
    rule: how relevance is shared out.
    config: says where the norm stands.
    p: the layer's parameters.
    acts: the layer's activations.
    name: "self", "cross" or "ffn".
    out_XD: the branch's output without its bias; None if that is all there is.
    r_GXD: relevance of what the residual block gives.
    branch: relevance of out_XD -> (relevance of the branch's input, anything).
  Returns:
    (relevance of the residual block's input, what else `branch` returned or None).
  """
  norm = lambda x_XD, r_GXD: rule.norm(x_XD, p[f"{name}_norm"]["scale"], config.norm_epsilon, r_GXD)
  if config.norm == "post":
    r_GXD = norm(acts[f"{name}_sum_QD"], r_GXD)
  if out_XD is None:
    return r_GXD, None
  x_XD = acts[f"{name}_x_QD"]
  r_GXD, r_out_GXD = rules.add(rule, x_XD, out_XD, r_GXD)
  r_h_GXD, other = branch(r_out_GXD)
  return r_GXD + (norm(x_XD, r_h_GXD) if config.norm == "pre" else r_h_GXD), other


def _through_ffn(rule: Rule, config: ModelConfig, p: dict, acts: dict, r_GXD):
  def branch(r_GXD):
    r_GXF = rules.linear(rule, acts["ffn"]["h_QF"], p["ffn"]["out_kernel"], r_GXD)
    return rules.linear(rule, acts["ffn_h_QD"], p["ffn"]["in_kernel"], r_GXF), None

  out_XD = acts["ffn"]["out_QD"]
  return _through_residual(rule, config, p, acts, "ffn", out_XD, r_GXD, branch)[0]


def _through_self(rule: Rule, config: ModelConfig, p: dict, acts: dict, r_GXD):
  """(relevance of the block's input, of each head as [G, H])."""
  kept, kernels = acts.get("self_attention", {}), p["self_attention"]

  def branch(r_GXD):
    r_GHQK, parts = _through_heads(rule, kernels, kept, r_GXD)
    r_in_GXD = rules.linear(rule, acts["self_h_QD"], _flat(kernels["qkv_kernel"]), _joined(*parts))
    return r_in_GXD, r_GHQK.sum((2, 3))

  out_XD = kept.get("out_QD")
  r_GXD, r_GH = _through_residual(rule, config, p, acts, "self", out_XD, r_GXD, branch)
  return r_GXD, jnp.zeros((len(r_GXD), 0)) if r_GH is None else r_GH


def _through_cross(rule: Rule, config: ModelConfig, p: dict, acts: dict, memory_SD, r_GTD):
  """(relevance of the block's input, of the memory, of each head as [G, H])."""
  kept, kernels = acts.get("cross_attention", {}), p["cross_attention"]

  def branch(r_GTD):
    r_GHTK, (r_q, *r_kv) = _through_heads(rule, kernels, kept, r_GTD)
    r_in_GTD = rules.linear(rule, acts["cross_h_QD"], _flat(kernels["q_kernel"]), _joined(r_q))
    r_GSD = rules.linear(rule, memory_SD, _flat(kernels["kv_kernel"]), _joined(*r_kv))
    return r_in_GTD, (r_GSD, r_GHTK.sum((2, 3)))

  out_TD = kept.get("out_QD")
  r_GTD, other = _through_residual(rule, config, p, acts, "cross", out_TD, r_GTD, branch)
  steps = len(r_GTD)
  r_GSD, r_GH = other or (jnp.zeros((steps, *memory_SD.shape)), jnp.zeros((steps, 0)))
  return r_GTD, r_GSD, r_GH


def _through_heads(rule: Rule, p: dict, kept: dict, r_GQD):
  """From an attention's output: (r_GHQK of the contexts, relevance of queries, keys and values)."""
  context_QHK, steps = kept["context_QHK"], len(r_GQD)
  context_QI, kernel_ID = _flat(context_QHK), p["out_kernel"].reshape(-1, r_GQD.shape[-1])
  r_GQI = rules.linear(rule, context_QI, kernel_ID, r_GQD)
  r_GHQK = r_GQI.reshape(steps, *context_QHK.shape).transpose(0, 2, 1, 3)
  q_HQK, k_HMK, v_HMK = kept["q_HQK"], kept["k_HKM"].swapaxes(1, 2), kept["v_HMK"]
  return r_GHQK, rule.attend(q_HQK, k_HMK, v_HMK, kept["attn_HQM"], r_GHQK)


def _flat(array):
  """All axes but the first as one."""
  return array.reshape(array.shape[0], -1)


def _joined(*r_GHXK):
  """Relevance of several projections of all heads as that of one matrix's outputs, r_GXO."""
  r_GXCHK = jnp.stack(r_GHXK, axis=1).transpose(0, 3, 1, 2, 4)
  return r_GXCHK.reshape(*r_GXCHK.shape[:2], -1)
