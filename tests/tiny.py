"""Tiny models that tests share: sizes that all differ, random parameters without one zero."""

from collections.abc import Sequence
import functools

import jax
import numpy as np

from headprune.nn import transformer
from headprune.nn.config import ModelConfig

# Every size differs from the others; some layers have no heads.
_UNEVEN = dict(
  src_vocab=13, tgt_vocab=11, model_size=8,
  enc_self=(2, 0, 3), dec_self=(3, 0), dec_enc=(0, 2),
  enc_head_size=5, dec_head_size=4, enc_ff_size=10, dec_ff_size=6,
)  # fmt: skip
# What MarianMT does differently.
MARIAN = dict(
  norm="post", final_norms=False, norm_epsilon=1e-5, activation="silu", positions="huggingface",
  source_bias=False, logits_bias=True, share_embeddings=True, src_vocab=11, decoder_start=10, eos=0,
)  # fmt: skip

SOURCES, TARGETS = [[3, 4, 5, 1], [7, 1], [2]], [[5, 6, 1], [9, 8, 7, 1], [4]]  # three pairs


def uneven(**changes) -> ModelConfig:
  """Three encoder and two decoder layers, no two sizes alike, of the original's kind."""
  return ModelConfig(**(_UNEVEN | changes))


def even(**changes) -> ModelConfig:
  """One layer a side, two heads everywhere."""
  sizes = dict(
    src_vocab=7, tgt_vocab=6, model_size=8, enc_self=(2,), dec_self=(2,), dec_enc=(2,),
    enc_head_size=4, dec_head_size=4, enc_ff_size=8, dec_ff_size=8,
  )  # fmt: skip
  return ModelConfig(**(sizes | changes))


def random_params(config: ModelConfig, seed: int = 0) -> dict:
  """Parameters that are all random, biases and norms too; nothing is compiled."""
  shapes = jax.eval_shape(functools.partial(transformer.init_params, config), jax.random.key(0))
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    x = 0.4 * rng.normal(size=leaf.shape)
    return (x + (path[-1].key == "scale")).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def random_gates(config: ModelConfig, seed: int = 1) -> dict:
  """Gates between 0.2 and 1."""
  rng = np.random.default_rng(seed)
  shapes = config.gate_shapes.items()
  return {name: rng.uniform(0.2, 1, shape).astype(np.float32) for name, shape in shapes}


def model(config: ModelConfig) -> tuple[ModelConfig, dict, dict]:
  """(config, random parameters, random gates)."""
  return config, random_params(config), random_gates(config)


def pack(
  sources: Sequence[Sequence[int]],
  targets: Sequence[Sequence[int]],
  rows: Sequence[Sequence[int]],
  margin: int = 0,
) -> tuple[dict, dict]:
  """A batch that holds several pairs in a row.

  Args:
    sources: ids with EOS.
    targets: ids with EOS.
    rows: the numbers of the pairs in each row.
    margin: padding at the end of the longest row.
  Returns:
    (batch, number of a pair -> (row, slice of its source, slice of its target)).
  """
  batch, places = {}, {i: [n] for n, row in enumerate(rows) for i in row}
  for side, letter, ids in (("src", "S", sources), ("tgt", "T", targets)):
    width = margin + max(sum(len(ids[i]) for i in row) for row in rows)
    names = [f"{side}_B{letter}", f"{side}_segment_B{letter}", f"{side}_position_B{letter}"]
    arrays = [np.zeros((len(rows), width), np.int32) for _ in names]
    for n, row in enumerate(rows):
      first = 0
      for segment, i in enumerate(row, 1):
        place = slice(first, first + len(ids[i]))
        for array, values in zip(arrays, (ids[i], segment, np.arange(len(ids[i])))):
          array[n, place] = values
        places[i].append(place)
        first = place.stop
    batch |= zip(names, arrays)
  return batch, places
