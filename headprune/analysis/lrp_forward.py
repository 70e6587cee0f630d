"""The model's forward pass for one sentence, with everything kept that relevance flows through.

Branch outputs are kept without their biases, which take no relevance: a layer whose heads are all
closed then gets none.
"""

import functools

import jax
import jax.numpy as jnp

from headprune import model


def forward(config: model.ModelConfig, params: dict, gate_values: dict, row: dict):
  """Runs the model on one pair.

  Args:
    config: sizes.
    params: the model's parameters.
    gate_values: type -> gate_NH.
    row: one row of a batch, without the batch axis.
  Returns:
    (encoder layers as (self-attention, feed-forward), its output before the last norm and after it,
    decoder layers as (self-attention, cross-attention, feed-forward), and the same two of it);
    each part of a layer is a dict of its activations and parameters.
  """
  source, target = row["src_segment_BS"] > 0, row["tgt_segment_BT"] > 0
  causal_TT = jnp.tril(jnp.ones((len(target), len(target)), bool))
  x_SD, encoder = _embed(config, params, row, "src_BS", model.Transformer.embed_source), []
  for n in range(config.layers):
    p, gate_H = params[f"encoder_{n}"], gate_values["enc_self"][n]
    x_SD, attention = _attention(p, "self", x_SD, None, source[None], gate_H)
    x_SD, ffn = _ffn(p, x_SD)
    encoder.append((attention, ffn))
  memory_SD = norm(x_SD, params["enc_norm"])
  x_TD, decoder = _embed(config, params, row, "tgt_BT", model.Transformer.embed_target), []
  for n in range(config.layers):
    p = params[f"decoder_{n}"]
    gate_H, cross_gate_H = gate_values["dec_self"][n], gate_values["dec_enc"][n]
    x_TD, attention = _attention(p, "self", x_TD, None, target[None] & causal_TT, gate_H)
    x_TD, cross = _attention(p, "cross", x_TD, memory_SD, source[None], cross_gate_H)
    x_TD, ffn = _ffn(p, x_TD)
    decoder.append((attention, cross, ffn))
  return encoder, (x_SD, memory_SD), decoder, (x_TD, norm(x_TD, params["dec_norm"]))


def logits_kernel(params: dict):
  """The matrix [D, V] that scores words."""
  return params["shared_embed"].T if "shared_embed" in params else params["logits_kernel"]


def norm(x_XD, p: dict):
  """Layer norm, as in the model."""
  centred_XD = x_XD - x_XD.mean(-1, keepdims=True)
  variance_X1 = jnp.mean(centred_XD**2, axis=-1, keepdims=True)
  return centred_XD * jax.lax.rsqrt(variance_X1 + 1e-6) * p["scale"] + p["bias"]


def _embed(config, params, row, name, method):
  position = row[name.replace("_B", "_position_B")]
  apply = functools.partial(model.Transformer(config).apply, {"params": params}, method=method)
  return apply(row[name][None], position[None])[0]


def _attention(p: dict, kind: str, x_XD, memory_MD, mask_QM, gate_H):
  """One attention branch: (output of the residual addition, what relevance flows through)."""
  scale, p = p[f"{kind}_norm"], p[f"{kind}_attention"]
  normed_XD = norm(x_XD, scale)
  memory_MD = normed_XD if memory_MD is None else memory_MD
  block = {"params": p, "scale_D": scale["scale"], "x_XD": x_XD, "memory_MD": memory_MD}
  if "out_kernel" not in p:
    return x_XD + p["out_bias"], block
  q, k, v = _project(p, normed_XD, memory_MD)
  score_HQM = jnp.einsum("HQK,HMK->HQM", q, k) * q.shape[-1] ** -0.5
  attn_HQM = jax.nn.softmax(jnp.where(mask_QM[None], score_HQM, -1e9), axis=-1)
  context_QHK = jnp.einsum("HQM,HMK->QHK", attn_HQM, v) * gate_H[None, : len(q), None]
  out_XD = jnp.einsum("QHK,HKD->QD", context_QHK, p["out_kernel"])
  block |= {"normed_XD": normed_XD, "qkv_HXK": (q, k, v), "attn_HQM": attn_HQM}
  block |= {"context_QHK": context_QHK, "out_XD": out_XD}
  return x_XD + out_XD + p["out_bias"], block


def _project(p: dict, x_XD, memory_MD):
  """q, k and v as [H, positions, K]."""
  multiply = lambda x_XD, name: (
    jnp.einsum("XD,DCHK->CHXK", x_XD, p[f"{name}_kernel"]) + (p[f"{name}_bias"][:, :, None])
  )
  if "q_kernel" not in p:
    return tuple(multiply(x_XD, "qkv"))
  q_HXK = jnp.einsum("XD,DHK->HXK", x_XD, p["q_kernel"]) + p["q_bias"][:, None]
  return q_HXK, *multiply(memory_MD, "kv")


def _ffn(p: dict, x_XD):
  scale, p = p["ffn_norm"], p["ffn"]
  normed_XD = norm(x_XD, scale)
  hidden_XF = jax.nn.relu(normed_XD @ p["in_kernel"] + p["in_bias"])
  out_XD = hidden_XF @ p["out_kernel"]
  block = {"params": p, "scale_D": scale["scale"], "x_XD": x_XD, "normed_XD": normed_XD}
  return x_XD + out_XD + p["out_bias"], block | {"hidden_XF": hidden_XF, "out_XD": out_XD}
