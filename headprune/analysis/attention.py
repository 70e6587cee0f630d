"""Attention weights of many pairs, batch by batch, so that each score is one pass over arrays."""

from collections.abc import Iterator, Sequence
import functools

import jax
import jax.numpy as jnp
import numpy as np

from headprune import model

MAX_TOKENS = 2048  # padded tokens a side in a batch; the weights of a batch then stay small


def batches(
  sources: Sequence[list[int]], targets: Sequence[list[int]], max_tokens: int = MAX_TOKENS
) -> Iterator[tuple[list[int], dict]]:
  """Puts pairs of similar length together, in few padded shapes.

  Args:
    sources: ids with EOS.
    targets: ids with EOS, as many; empty lists where only the encoder is asked.
    max_tokens: rows times width of a batch at most, but at least one row.
  Yields:
    (number of the pair in each row, batch as the model takes it, S = T). The last rows of a batch
    may be padding alone: it has more rows than numbers then.
  """
  longest = [max(len(pair[0]), len(pair[1])) for pair in zip(sources, targets)]
  order = sorted(range(len(longest)), key=lambda i: longest[i])
  while order:
    width = _width(longest[order[-1]])
    count = max(1, max_tokens // width)
    rows, order = order[-count:], order[:-count]
    surplus = [[]] * (count - len(rows))
    sides = ([side[i] for i in rows] + surplus for side in (sources, targets))
    yield rows, model.unpacked_batch(*sides, width, width)


def _width(length: int) -> int:
  """16, 32, 64, ...: each width is compiled anew, which takes longer than its padding."""
  return max(16, 1 << (length - 1).bit_length())


@functools.partial(jax.jit, static_argnums=0)
def encoder(model_config: model.ModelConfig, params: dict, gate_values: dict, batch: dict):
  """Encoder self-attention of a batch: attn_NBHSS; heads that a layer lacks are zero."""
  apply = functools.partial(model.Transformer(model_config).apply, {"params": params})
  _, layers = apply(batch, gate_values, method=model.Transformer.encode)
  return _stack(layers, model_config.max_heads)


@functools.partial(jax.jit, static_argnums=0)
def all_types(model_config: model.ModelConfig, params: dict, gate_values: dict, batch: dict):
  """All attention weights of a batch: type -> attn_NBHQM; heads that a layer lacks are zero."""
  _, attns = model.Transformer(model_config).apply({"params": params}, batch, gate_values)
  return {name: _stack(layers, model_config.max_heads) for name, layers in attns.items()}


def _stack(layers, width: int):
  missing = lambda x: (0, width - x.shape[1])
  return jnp.stack([jnp.pad(x, ((0, 0), missing(x), (0, 0), (0, 0))) for x in layers])


def words(segment_BM) -> np.ndarray:
  """mask_BM: the real tokens of each row but the last, which is EOS."""
  length_B = np.sum(np.asarray(segment_BM) > 0, axis=1)
  return np.arange(segment_BM.shape[1])[None] < length_B[:, None] - 1
