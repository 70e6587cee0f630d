"""Layer-wise relevance propagation: how much each head's output matters for the chosen word.

At each generation step relevance 1 starts at the logit of the most likely word and is propagated
down through the decoder, the memory and the encoder; what arrives at a head's context (before the
output projection) is the head's relevance. The default is the rule of 2021, `alpha-beta`: its
shares are never negative, so that a head's part of its layer is a share. With the signed shares of
2019 relevances of thousands cancel each other: a head's part has no bound, and float32 conserves
the sum only to the rounding of such numbers.
"""

from collections.abc import Iterable
import functools

import jax
import jax.numpy as jnp
import numpy as np

from headprune import model
from headprune.analysis import importance, lrp_forward, lrp_rules

DEFAULT_RULE = "alpha-beta"


def relevance(
  model_config: model.ModelConfig,
  params: dict,
  gate_values: dict,
  batches: Iterable[dict],
  rule: str = DEFAULT_RULE,
) -> dict:
  """Mean over generation steps of each head's share of its layer's relevance.

  Args:
    model_config: the model's sizes.
    params: the model's parameters.
    gate_values: type -> gate_NH.
    batches: pairs; the targets are what the decoder has read at each step.
    rule: a name in lrp_rules.RULES.
  Returns:
    type -> share_NH; a uniform layer has 1 / H everywhere, a layer without open heads 0.
  """
  totals, steps = {name: 0.0 for name in model_config.heads}, 0
  for batch in batches:
    sums, _ = propagate(importance.exact(model_config), params, gate_values, batch, rule)
    totals = {name: totals[name] + np.asarray(sums[name], np.float64).sum(0) for name in totals}
    steps += int(np.sum(batch["tgt_segment_BT"] > 0))
  return {name: total_NH / max(steps, 1) for name, total_NH in totals.items()}


@functools.partial(jax.jit, static_argnums=(0, 4))
def propagate(model_config, params, gate_values, batch, rule: str):
  """Relevance of each sentence's heads.

  Returns:
    (type -> share_BNH summed over generation steps, total_BLG): the relevance of all neurons of
    each of L cuts through the model, from the logits down, at each of G = T generation steps; 1
    where relevance is conserved, 0 at padding.
  """
  one = lambda row: _propagate_one(model_config, params, gate_values, row, lrp_rules.RULES[rule])
  return jax.lax.map(one, batch)


def _propagate_one(config, params, gate_values, row, rule):
  """`propagate` for one sentence, whose arrays have no batch axis."""
  encoder, (last_SD, memory_SD), decoder, (last_TD, out_TD) = lrp_forward.forward(
    config, params, gate_values, row
  )
  r_TD = _top_logit(rule, out_TD, lrp_forward.logits_kernel(params))
  # Step g reads its logit at position g, so the first axis, G, is the second one's diagonal.
  r_GTD = jnp.diag(row["tgt_segment_BT"] > 0)[..., None] * r_TD[None]
  totals = [r_GTD.sum((1, 2))]
  r_GTD = rule.norm(last_TD, params["dec_norm"]["scale"], r_GTD)
  r_memory_GSD = jnp.zeros((len(out_TD), *memory_SD.shape))
  heads = {name: [] for name in config.heads}
  for self_block, cross_block, ffn_block in reversed(decoder):
    r_GTD = _through_ffn(rule, ffn_block, r_GTD)
    r_GTD, r_GSD, r_GH = _through_attention(rule, cross_block, r_GTD)
    r_memory_GSD += r_GSD
    heads["dec_enc"].append(r_GH)
    r_GTD, _, r_GH = _through_attention(rule, self_block, r_GTD)
    heads["dec_self"].append(r_GH)
    totals.append(r_GTD.sum((1, 2)) + r_memory_GSD.sum((1, 2)))
  r_GSD = rule.norm(last_SD, params["enc_norm"]["scale"], r_memory_GSD)
  for self_block, ffn_block in reversed(encoder):
    r_GSD = _through_ffn(rule, ffn_block, r_GSD)
    r_GSD, _, r_GH = _through_attention(rule, self_block, r_GSD)
    heads["enc_self"].append(r_GH)
    totals.append(r_GTD.sum((1, 2)) + r_GSD.sum((1, 2)))
  return {n: _shares(h[::-1], config.max_heads) for n, h in heads.items()}, jnp.stack(totals)


def _shares(layers: list, width: int):
  """Each head's share of its layer, summed over generation steps: [N, width]."""
  rows = []
  for r_GH in layers:
    total_G1 = r_GH.sum(1, keepdims=True)
    share_GH = r_GH / jnp.where(total_G1 == 0, 1.0, total_G1)
    rows.append(jnp.pad(share_GH.sum(0), (0, width - r_GH.shape[1])))
  return jnp.stack(rows)


def _top_logit(rule, out_TD, kernel_DV):
  """Relevance of the decoder's output at each position for its most likely word, 1 in all."""
  top_T = jnp.argmax(out_TD @ kernel_DV, axis=-1)
  z_TD = out_TD * kernel_DV.T[top_T]
  size_T1, total_T1 = (z.sum(-1, keepdims=True) for z in (jnp.abs(z_TD), z_TD))
  one_T1 = jnp.ones_like(total_T1)
  d_T1, e_T1 = rule.coefficients(size_T1, total_T1, one_T1)
  return rule.conserve(one_T1, jnp.abs(z_TD) * d_T1 + z_TD * e_T1, (1,))


def _through_ffn(rule, block: dict, r_GXD):
  r_GXD, r_out_GXD = lrp_rules.add(rule, block["x_XD"], block["out_XD"], r_GXD)
  r_GXF = lrp_rules.linear(rule, block["hidden_XF"], block["params"]["out_kernel"], r_out_GXD)
  r_in_GXD = lrp_rules.linear(rule, block["normed_XD"], block["params"]["in_kernel"], r_GXF)
  return r_GXD + rule.norm(block["x_XD"], block["scale_D"], r_in_GXD)


def _through_attention(rule, block: dict, r_GXD):
  """(relevance of the block's input, of the memory, of each head as [G, H])."""
  p, steps = block["params"], r_GXD.shape[0]
  memory_MD = block["memory_MD"]
  if "out_kernel" not in p:
    return r_GXD, jnp.zeros((steps, *memory_MD.shape)), jnp.zeros((steps, 0))
  flat = lambda kernel: kernel.reshape(kernel.shape[0], -1)
  joined = lambda *r: jnp.stack(r, axis=1).transpose(0, 3, 1, 2, 4).reshape(*r[0].shape[::2], -1)
  r_GXD, r_out_GXD = lrp_rules.add(rule, block["x_XD"], block["out_XD"], r_GXD)
  context_QHK = block["context_QHK"]
  out_kernel = p["out_kernel"].reshape(-1, p["out_kernel"].shape[-1])
  r_GQL = lrp_rules.linear(rule, flat(context_QHK), out_kernel, r_out_GXD)
  r_GHQK = r_GQL.reshape(steps, *context_QHK.shape).transpose(0, 2, 1, 3)
  r_q, r_k, r_v = rule.attend(*block["qkv_HXK"], block["attn_HQM"], r_GHQK)
  if "q_kernel" in p:
    r_in_GXD = lrp_rules.linear(rule, block["normed_XD"], flat(p["q_kernel"]), joined(r_q))
    r_memory = lrp_rules.linear(rule, memory_MD, flat(p["kv_kernel"]), joined(r_k, r_v))
  else:
    fused = flat(p["qkv_kernel"])
    r_in_GXD = lrp_rules.linear(rule, block["normed_XD"], fused, joined(r_q, r_k, r_v))
    r_memory = jnp.zeros((steps, *memory_MD.shape))
  r_GXD += rule.norm(block["x_XD"], block["scale_D"], r_in_GXD)
  return r_GXD, r_memory, r_GHQK.sum((2, 3))
