"""The original program's variables, and where each one is in the parameter tree.

Its matrices are the same in other shapes: heads and fused projections lie side by side in one axis,
head h in columns [hK, (h+1)K). So a conversion is a table of names and reshapes.
"""

from typing import NamedTuple

from headprune.nn.config import ModelConfig


class Variable(NamedTuple):
  """One array of the file and its place in the parameter tree."""

  name: str
  shape: tuple[int, ...]
  path: str
  new_shape: tuple[int, ...]


def all_variables(c: ModelConfig) -> list[Variable]:
  """All variables but the gates."""
  size, source, target = c.model_size, c.src_vocab, c.tgt_vocab
  rows = [
    Variable("mod/emb_inp/mat:0", (source, size), "src_embed", (source, size)),
    Variable("mod/emb_inp_bias:0", (1, 1, size), "src_bias", (size,)),
    Variable("mod/emb_out/mat:0", (target, size), "tgt_embed", (target, size)),
    Variable("loss_xent_lm/logits/W:0", (size, target), "logits_kernel", (size, target)),
    *_norm("mod/enc_out_norm", "enc_norm", size),
    *_norm("mod/dec_out_norm", "dec_norm", size),
  ]
  for n in range(c.enc_layers):
    rows += layer_variables(c, n)
  return rows


def layer_variables(c: ModelConfig, n: int) -> list[Variable]:
  """Encoder and decoder layer `n`."""
  encoder, decoder, size, hidden = f"encoder_{n}", f"decoder_{n}", c.model_size, c.enc_ff_size
  attention = lambda name, path, heads, cross: _attention(
    f"mod/{name}-{n}", path, size, (heads[n], c.enc_head_size), cross
  )
  return [
    *attention("enc_attn", f"{encoder}/self_attention", c.enc_self, cross=False),
    *_norm(f"mod/enc_attn-{n}/layer_norm", f"{encoder}/self_norm", size),
    *_feed_forward(f"mod/enc_ffn-{n}", f"{encoder}/ffn", size, hidden),
    *attention("dec_attn", f"{decoder}/self_attention", c.dec_self, cross=False),
    *_norm(f"mod/dec_attn-{n}/layer_norm", f"{decoder}/self_norm", size),
    *attention("dec_enc_attn", f"{decoder}/cross_attention", c.dec_enc, cross=True),
    *_norm(f"mod/dec_enc_attn-{n}/layer_norm", f"{decoder}/cross_norm", size),
    *_feed_forward(f"mod/dec_ffn-{n}", f"{decoder}/ffn", size, hidden),
  ]


def _attention(name: str, path: str, size: int, split: tuple[int, int], cross: bool):
  """One attention; `split` is its heads and their size."""
  rows = [Variable(f"{name}/out_conv/b:0", (size,), f"{path}/out_bias", (size,))]
  if split[0] == 0:
    return rows
  fused, kernel = (2, "kv") if cross else (3, "qkv")
  width = split[0] * split[1]
  memory, query = f"{name}/mem_conv", f"{name}/query_conv"
  rows += [
    Variable(
      f"{memory}/W:0", (size, fused * width), f"{path}/{kernel}_kernel", (size, fused, *split)
    ),
    Variable(f"{memory}/b:0", (fused * width,), f"{path}/{kernel}_bias", (fused, *split)),
    Variable(f"{name}/out_conv/W:0", (width, size), f"{path}/out_kernel", (*split, size)),
  ]
  if cross:
    rows += [
      Variable(f"{query}/W:0", (size, width), f"{path}/q_kernel", (size, *split)),
      Variable(f"{query}/b:0", (width,), f"{path}/q_bias", split),
    ]
  return rows


def _feed_forward(name: str, path: str, size: int, hidden: int) -> list[Variable]:
  return [
    Variable(f"{name}/conv1/W:0", (size, hidden), f"{path}/in_kernel", (size, hidden)),
    Variable(f"{name}/conv1/b:0", (hidden,), f"{path}/in_bias", (hidden,)),
    Variable(f"{name}/conv2/W:0", (hidden, size), f"{path}/out_kernel", (hidden, size)),
    Variable(f"{name}/conv2/b:0", (size,), f"{path}/out_bias", (size,)),
    *_norm(f"{name}/layer_norm", path.replace("/ffn", "/ffn_norm"), size),
  ]


def _norm(name: str, path: str, size: int) -> list[Variable]:
  return [
    Variable(f"{name}/scale:0", (size,), f"{path}/scale", (size,)),
    Variable(f"{name}/bias:0", (size,), f"{path}/bias", (size,)),
  ]
