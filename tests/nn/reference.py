"""The Transformer once more, in float64 NumPy, one pair and one head at a time.

Written from the formulas of the papers and of both programs, to be compared with headprune.nn.
"""

import math

import numpy as np


class Reference:
  """A model and what it computes for one pair.

  Args:
    config: a ModelConfig.
    params: its parameters.
    gates: attention type -> gate_NH.
    drop: (array, rate, path) -> array, called wherever there is dropout.
  """

  def __init__(self, config, params, gates, drop=lambda x, rate, path: x):
    self.config, self.params, self.gates, self.drop = config, params, gates, drop
    self.kept = {}  # (module path, name) -> every activation that relevance flows through

  def run(self, source, target):
    """Returns (logits_TV, attention type -> list over layers of attn_HQM)."""
    c, p = self.config, self.params
    src_table = p["shared_embed"] if c.share_embeddings else p["src_embed"]
    tgt_table = p["shared_embed"] if c.share_embeddings else p["tgt_embed"]
    scale = math.sqrt(c.model_size) if c.scale_embeddings else 1.0

    x = np.array([src_table[i] * scale for i in source], np.float64)
    if c.source_bias:
      x = x + p["src_bias"]
    x = self.drop(x + self.positions(len(source)), c.embed_dropout, ("src_embed",))
    enc_self = []
    for n in range(c.enc_layers):
      path, part = (f"encoder_{n}",), p[f"encoder_{n}"]
      attend = lambda h, n=n, path=path, part=part: self.attention(
        part["self_attention"], h, h, self.gates["enc_self"][n], c.enc_head_size, False,
        (*path, "self_attention"),
      )  # fmt: skip
      x, attn = self.branch(part["self_norm"], "self", x, attend, path)
      x, _ = self.branch(part["ffn_norm"], "ffn", x, self.feed_forward(part, path), path)
      enc_self.append(attn)
    memory = self.leave("enc", x)

    start = np.zeros(c.model_size)
    if c.decoder_start is not None:
      start = tgt_table[c.decoder_start] * scale
    y = np.array([start, *(tgt_table[i] * scale for i in target[:-1])], np.float64)
    y = self.drop(y + self.positions(len(target)), c.embed_dropout, ("tgt_embed",))
    dec_self, dec_enc = [], []
    for n in range(c.dec_layers):
      path, part = (f"decoder_{n}",), p[f"decoder_{n}"]
      attend = lambda h, n=n, path=path, part=part: self.attention(
        part["self_attention"], h, h, self.gates["dec_self"][n], c.dec_head_size, True,
        (*path, "self_attention"),
      )  # fmt: skip
      read = lambda h, n=n, path=path, part=part: self.attention(
        part["cross_attention"], h, memory, self.gates["dec_enc"][n], c.dec_head_size, False,
        (*path, "cross_attention"),
      )  # fmt: skip
      y, self_attn = self.branch(part["self_norm"], "self", y, attend, path)
      y, cross_attn = self.branch(part["cross_norm"], "cross", y, read, path)
      y, _ = self.branch(part["ffn_norm"], "ffn", y, self.feed_forward(part, path), path)
      dec_self.append(self_attn)
      dec_enc.append(cross_attn)
    out = self.leave("dec", y)
    logits = out @ (tgt_table.T if c.share_embeddings else p["logits_kernel"])
    if c.logits_bias:
      logits = logits + p["logits_bias"]
    return logits, {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}

  def positions(self, length):
    half = self.config.model_size // 2
    steps = half - 1 if self.config.positions == "tensor2tensor" else half
    angle = lambda p, j: p * 10000 ** (-j / steps)
    rows = [
      [f(angle(p, j)) for f in (math.sin, math.cos) for j in range(half)] for p in range(length)
    ]
    return np.array(rows)

  def branch(self, norm, name, x, f, path):
    """One residual branch; the norm is in front of it or behind the sum."""
    c = self.config
    h = self.norm(norm, x) if c.norm == "pre" else x
    out, attn = f(h)
    total = x + self.drop(out, c.residual_dropout, (*path, name))
    self.keep(path, **{f"{name}_x_BQD": x, f"{name}_h_BQD": h, f"{name}_sum_BQD": total})
    return (total if c.norm == "pre" else self.norm(norm, total)), attn

  def leave(self, stack, x):
    out = self.norm(self.params[f"{stack}_norm"], x) if self.config.final_norms else x
    self.keep((), **{f"{stack}_x_BQD": x, f"{stack}_out_BQD": out})
    return out

  def norm(self, p, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + self.config.norm_epsilon) * p["scale"] + p["bias"]

  def attention(self, p, x, memory, gate_H, depth, causal, path):
    """(out_QD, attn_HQM); without heads, the output bias is all that is left."""
    if "out_kernel" not in p:
      zeros = np.zeros((0, len(x), len(memory)))
      return np.broadcast_to(p["out_bias"], (len(x), self.config.model_size)), zeros
    fused = "qkv" if "qkv_kernel" in p else "kv"
    part = {
      name: (p[f"{fused}_kernel"][:, i], p[f"{fused}_bias"][i]) for i, name in enumerate(fused)
    }
    if fused == "kv":
      part["q"] = p["q_kernel"], p["q_bias"]
    heads = range(p["out_kernel"].shape[0])
    project = lambda x, name, h: x @ part[name][0][:, h] + part[name][1][h]
    q, k, v, attn = [], [], [], []
    for h in heads:
      q.append(project(x, "q", h))
      k.append(project(memory, "k", h))
      v.append(project(memory, "v", h))
      scores = q[h] @ k[h].T / math.sqrt(depth)
      if causal:
        scores[np.triu_indices(len(x), 1)] = -np.inf
      weights = np.exp(scores - scores.max(-1, keepdims=True))
      attn.append(weights / weights.sum(-1, keepdims=True))
    attn = np.array(attn)
    dropped = self.drop(attn, self.config.attention_dropout, path)
    context = np.stack([gate_H[h] * (dropped[h] @ v[h]) for h in heads], axis=1)
    out = sum(context[:, h] @ p["out_kernel"][h] for h in heads)
    self.keep(
      path, q_BHQK=np.array(q), k_BHKM=np.array(k).swapaxes(1, 2), v_BHMK=np.array(v),
      attn_BHQM=attn, context_BQHK=context, out_BQD=out,
    )  # fmt: skip
    return out + p["out_bias"], attn

  def feed_forward(self, part, path):
    p, path = part["ffn"], (*path, "ffn")

    def f(x):
      h = activate(x @ p["in_kernel"] + p["in_bias"], self.config.activation)
      h = self.drop(h, self.config.activation_dropout, (*path, "hidden"))
      out = h @ p["out_kernel"]
      self.keep(path, h_BQF=h, out_BQD=out)
      return out + p["out_bias"], None

    return f

  def keep(self, path, **arrays):
    self.kept |= {(*path, name): array for name, array in arrays.items()}


def activate(x, kind):
  """The three activations in closed form."""
  if kind == "relu":
    return np.maximum(x, 0)
  if kind == "silu":
    return x / (1 + np.exp(-x))
  return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def close(got, want, atol=2e-5) -> None:
  """Fails unless two arrays are equal but for rounding."""
  np.testing.assert_allclose(got, want, rtol=0, atol=atol)
