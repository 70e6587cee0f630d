"""The encoder-decoder Transformer, with a gate on every head.

Gates are an argument, not a part of the model: training, evaluation, fixed heads and compact models
are the same `apply`. Heads are counted per layer and attention type; of a layer that has none, only
the output bias stays. Segment ids tell pairs from each other and from padding (0).
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn import ops
from headprune.nn.config import ModelConfig, open_gates
from headprune.nn.layers import DecoderLayer, EncoderLayer, glorot, keep, layer_norm


class Transformer(nn.Module):
  """Encoder, decoder and embeddings; `__call__` scores pairs, the other methods translate."""

  config: ModelConfig

  def setup(self):
    c = self.config
    embed = nn.initializers.normal(c.model_size**-0.5)
    if c.share_embeddings:
      self.src_embed = self.tgt_embed = self.param(
        "shared_embed", embed, (c.src_vocab, c.model_size)
      )
    else:
      self.src_embed = self.param("src_embed", embed, (c.src_vocab, c.model_size))
      self.tgt_embed = self.param("tgt_embed", embed, (c.tgt_vocab, c.model_size))
      self.logits_kernel = self.param(
        "logits_kernel", glorot(c.model_size, c.tgt_vocab), (c.model_size, c.tgt_vocab)
      )
    if c.source_bias:
      self.src_bias = self.param("src_bias", glorot(1, c.model_size), (c.model_size,))
    if c.logits_bias:
      self.logits_bias = self.param("logits_bias", nn.initializers.zeros, (c.tgt_vocab,))
    self.encoder = [EncoderLayer(c, heads) for heads in c.enc_self]
    self.decoder = [DecoderLayer(c, *heads) for heads in zip(c.dec_self, c.dec_enc)]
    if c.final_norms:
      self.enc_norm, self.dec_norm = layer_norm(c), layer_norm(c)

  def _signal(self, position_BS, length: int):
    c = self.config
    return jnp.asarray(ops.positions(length, c.model_size, c.positions))[position_BS]

  def _scaled(self, embed_VD, id_BT):
    c = self.config
    return embed_VD[id_BT] * (c.model_size**0.5 if c.scale_embeddings else 1.0)

  def _start(self):
    """What the decoder reads before the first target token, [1, 1, D] or 0."""
    start = self.config.decoder_start
    return 0.0 if start is None else self._scaled(self.tgt_embed, start)[None, None]

  def embed_source(self, src_BS, position_BS, noise=None):
    """The encoder's input: emb * sqrt(D) + bias + position."""
    x_BSD = self._scaled(self.src_embed, src_BS)
    if self.config.source_bias:
      x_BSD += self.src_bias[None, None]
    x_BSD += self._signal(position_BS, src_BS.shape[1])
    return ops.dropout(x_BSD, self.config.embed_dropout, noise, ("src_embed",))

  def embed_target(self, tgt_BT, position_BT, noise=None):
    """The decoder's input: emb * sqrt(D), shifted right in each segment, + position."""
    x_BTD = self._scaled(self.tgt_embed, tgt_BT)
    x_BTD = jnp.pad(x_BTD[:, :-1], ((0, 0), (1, 0), (0, 0)))
    x_BTD = jnp.where(position_BT[..., None] == 0, self._start(), x_BTD)
    x_BTD += self._signal(position_BT, tgt_BT.shape[1])
    return ops.dropout(x_BTD, self.config.embed_dropout, noise, ("tgt_embed",))

  def encode(self, batch, gate_values, noise=None):
    """Runs the encoder.

    Args:
      batch: src_BS, src_segment_BS, src_position_BS (int32).
      gate_values: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (memory_BSD after the final norm, list over layers of attn_BHSS).
    """
    x_BSD = self.embed_source(batch["src_BS"], batch["src_position_BS"], noise)
    segment_BS = batch["src_segment_BS"]
    mask_BSS = same_segment(segment_BS, segment_BS)
    attns = []
    for n, layer in enumerate(self.encoder):
      x_BSD, attn_BHSS = layer(x_BSD, mask_BSS, gate_values["enc_self"][n], noise)
      attns.append(attn_BHSS)
    return self._leave("enc", x_BSD), attns

  def decode(self, batch, memory_BSD, gate_values, noise=None):
    """Runs the decoder on a known target.

    Args:
      batch: as for `encode`, and tgt_BT, tgt_segment_BT, tgt_position_BT (int32); tgt_read_BT, if
        it is there, is read in place of tgt_BT. There may be several targets of each source, as
        many of all, side by side; they share dropout masks.
      memory_BSD: what `encode` returns.
      gate_values: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (out_BTD after the final norm, lists over layers of attn_BHTT and of attn_BHTS).
    """
    each = functools.partial(_repeat, count=len(batch["tgt_BT"]) // len(memory_BSD))
    noise = noise and noise.replace(row_B=each(noise.row_B))
    read_BT = batch.get("tgt_read_BT", batch["tgt_BT"])
    x_BTD = self.embed_target(read_BT, batch["tgt_position_BT"], noise)
    segment_BT = batch["tgt_segment_BT"]
    length = segment_BT.shape[1]
    causal_TT = np.tril(np.ones((length, length), bool))
    self_mask_BTT = same_segment(segment_BT, segment_BT) & causal_TT[None]
    cross_mask_BTS = same_segment(segment_BT, each(batch["src_segment_BS"]))
    self_attns, cross_attns = [], []
    for n, layer in enumerate(self.decoder):
      layer_gates = gate_values["dec_self"][n], gate_values["dec_enc"][n]
      source = jax.tree.map(each, layer.cross_attention.read(memory_BSD))
      x_BTD, self_attn, cross_attn, _ = layer(
        x_BTD, source, self_mask_BTT, cross_mask_BTS, layer_gates, noise
      )
      self_attns.append(self_attn)
      cross_attns.append(cross_attn)
    return self._leave("dec", x_BTD), self_attns, cross_attns

  def _leave(self, stack: str, x_BTD):
    """A stack's output, of which the last layer's is kept as well."""
    out_BTD = getattr(self, f"{stack}_norm")(x_BTD) if self.config.final_norms else x_BTD
    keep(self, **{f"{stack}_x_BQD": x_BTD, f"{stack}_out_BQD": out_BTD})
    return out_BTD

  def logits(self, out_BTD):
    """Scores over the target vocabulary."""
    if self.config.share_embeddings:
      logits_BTV = ops.product("BTD,VD->BTV", out_BTD, self.tgt_embed, self.config.precision)
    else:
      logits_BTV = ops.product("BTD,DV->BTV", out_BTD, self.logits_kernel, self.config.precision)
    return logits_BTV + self.logits_bias[None, None] if self.config.logits_bias else logits_BTV

  def __call__(self, batch, gate_values, noise=None):
    """Scores target words given their sources.

    Args:
      batch: src_BS, src_segment_BS, src_position_BS, tgt_BT, tgt_segment_BT, tgt_position_BT.
      gate_values: attention type -> gate_NH.
      noise: dropout noise, None outside training.
    Returns:
      (logits_BTV, attention type -> list over layers of attn_BHQM).
    """
    memory_BSD, enc_self = self.encode(batch, gate_values, noise)
    out_BTD, dec_self, dec_enc = self.decode(batch, memory_BSD, gate_values, noise)
    return self.logits(out_BTD), {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}

  def read(self, batch, gate_values, noise=None):
    """What the decoder makes of each target position, out_BTD, which `logits` takes."""
    memory_BSD, _ = self.encode(batch, gate_values, noise)
    return self.decode(batch, memory_BSD, gate_values, noise)[0]

  def empty_cache(self, batch: int, source: int, entries: int) -> list[dict]:
    """The decoder layers' caches before anything was read or written.

    Args:
      batch: B.
      source: S, positions of the source.
      entries: M, for keys and values of words.
    Returns:
      Per layer {"self": (k_BHKM, v_BHMK), "source": (k_BHKS, v_BHSK)}; None for an attention
      without heads.
    """
    depth, dtype = self.config.dec_head_size, self.config.attention_precision

    def zeros(heads, size):
      shapes = (batch, heads, depth, size), (batch, heads, size, depth)
      return tuple(jnp.zeros(shape, dtype) for shape in shapes) if heads else None

    return [
      {"self": zeros(layer.self_heads, entries), "source": zeros(layer.cross_heads, source)}
      for layer in self.decoder
    ]

  def read_source(self, memory_BSD) -> list:
    """What the caches hold under "source": per layer (k_BHKS, v_BHSK), None without heads."""
    dtype = self.config.attention_precision
    read = [layer.cross_attention.read(memory_BSD) for layer in self.decoder]
    return jax.tree.map(lambda x: x.astype(dtype), read)

  def step(self, token_BW, position_B, entry_BW, cache, past_BWM, src_mask_BS, gate_values, length):
    """Scores the next word of every beam.

    Args:
      token_BW: int32, the word before it (any value at position 0).
      position_B: int32, of the word to score, less than `length`.
      entry_BW: int32, the cache's entries that take its keys and values.
      cache: from `empty_cache` or the previous step.
      past_BWM: bool, which cached entries belong to each beam's past, this position included.
      src_mask_BS: bool, real source tokens.
      gate_values: attention type -> gate_NH.
      length: more than the largest position.
    Returns:
      (logits_BWV, cache).
    """
    x_BWD = self._scaled(self.tgt_embed, token_BW)
    x_BWD = jnp.where(position_B[:, None, None] == 0, self._start(), x_BWD)
    x_BWD += self._signal(position_B, length)[:, None]
    cross_mask_BWS = jnp.broadcast_to(src_mask_BS[:, None], token_BW.shape + src_mask_BS.shape[1:])
    new_cache = []
    for n, layer in enumerate(self.decoder):
      layer_gates, past = (gate_values["dec_self"][n], gate_values["dec_enc"][n]), cache[n]["self"]
      masks = past_BWM, cross_mask_BWS
      x_BWD, _, _, past = layer(
        x_BWD, cache[n]["source"], *masks, layer_gates, past=past, entry_BW=entry_BW
      )
      new_cache.append({**cache[n], "self": past})
    return self.logits(self._leave("dec", x_BWD)), new_cache


def _repeat(x, count: int):
  """Each row `count` times, one after the other."""
  return jnp.repeat(x, count, axis=0) if count > 1 else x


def same_segment(query_BQ, memory_BM):
  """mask_BQM: true where both tokens are of the same pair and real."""
  return (query_BQ[:, :, None] == memory_BM[:, None, :]) & (memory_BM[:, None, :] > 0)


def apply(config: ModelConfig, params: dict, *args, **kwargs):
  """`Transformer.apply` on plain parameters."""
  return Transformer(config).apply({"params": params}, *args, **kwargs)


@functools.partial(jax.jit, static_argnums=0)
def init_params(config: ModelConfig, key) -> dict:
  """New parameters."""
  one = jnp.ones((1, 1), jnp.int32)
  batch = {"src_BS": one, "src_segment_BS": one, "src_position_BS": 0 * one}
  batch |= {"tgt_BT": one, "tgt_segment_BT": one, "tgt_position_BT": 0 * one}
  return Transformer(config).init(key, batch, open_gates(config))["params"]


def unshared(params: dict) -> dict:
  """Parameters of the same model with a matrix of its own for source, target and logits."""
  if "shared_embed" not in params:
    return params
  rest = {name: x for name, x in params.items() if name != "shared_embed"}
  embed_VD = params["shared_embed"]
  return {**rest, "src_embed": embed_VD, "tgt_embed": embed_VD, "logits_kernel": embed_VD.T}
