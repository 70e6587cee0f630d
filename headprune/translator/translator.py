"""A translation model as a value: what it can be asked, whatever it was made of.

Dense, gated, fixed, compact, converted and averaged models are all one `Translator`. It is a
pytree: its arrays may be traced, and gates or parameters are exchanged by `replace`.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from headprune.errors import UserError
from headprune.nn import losses, transformer
from headprune.nn.config import ModelConfig
from headprune.translator import queue, sampling
from headprune.translator.beam import BeamConfig
from headprune.translator.queue import Hypothesis


def length_limits(length: int) -> tuple[int, int]:
  """(min_len, max_len) in words, EOS included, for a source of `length` words, EOS included."""
  return length // 4 - 1, 2 * length + 3


def exact_limits(words: int) -> Callable[[int], tuple[int, int]]:
  """Limits under which a search takes `words` steps, whatever the source's length.

  Hypotheses that end earlier are lost; one that reaches max_len is extended by one last word. A
  sentence whose hypotheses all end at once stops, its batch goes on with the others.
  """
  return lambda length: (words, words - 1)


@struct.dataclass
class Translator:
  """Sizes, parameters and gates as at test time."""

  config: ModelConfig = struct.field(pytree_node=False)
  params: dict
  gate_values: dict  # attention type -> gate_NH

  @jax.jit
  def logits(self, batch: dict) -> jax.Array:
    """Scores of target words given their sources, logits_BTV, of a batch from text.batching."""
    logits_BTV, _ = self._apply(batch)
    return logits_BTV

  @jax.jit
  def attention(self, batch: dict) -> dict[str, jax.Array]:
    """All attention weights: type -> attn_NBHQM; heads that a layer lacks are zero."""
    _, attns = self._apply(batch)
    return {name: _stack(layers) for name, layers in attns.items()}

  @jax.jit
  def encoder_attention(self, batch: dict) -> jax.Array:
    """Encoder self-attention alone, attn_NBHSS, of a batch that needs no target."""
    _, layers = self._apply(batch, method=transformer.Transformer.encode)
    return _stack(layers)

  @functools.partial(jax.jit, static_argnames="smoothing")
  def token_losses(self, batch: dict, smoothing: float = 0.0) -> jax.Array:
    """Loss of each target token, EOS included, natural log, 0 at padding: loss_BT.

    Args:
      batch: pairs.
      smoothing: 0 gives -log p, else the KL divergence from the smoothed label.
    """
    t = self._checked()
    return losses.token_losses(t.config, t.params, batch, t.gate_values, smoothing)

  def translate(
    self,
    sources: Sequence[Sequence[int]],
    beam: BeamConfig,
    batch_size: int,
    limits: Callable[[int], tuple[int, int]] = length_limits,
  ) -> list[Hypothesis]:
    """The best hypothesis of each sentence; see `search`."""
    return [best for best, *_ in self.search(sources, beam, batch_size, limits)]

  def search(
    self,
    sources: Sequence[Sequence[int]],
    beam: BeamConfig,
    batch_size: int,
    limits: Callable[[int], tuple[int, int]] = length_limits,
    progress: Callable[[int], None] | None = None,
  ) -> list[list[Hypothesis]]:
    """Beam search over sentences, longest first, in a batch that is kept full.

    Args:
      sources: ids with EOS.
      beam: how to search.
      batch_size: sentences at a time; fewer where they are long.
      limits: source length with EOS -> (min_len, max_len) in words with EOS; not decreasing.
      progress: called now and then with the number of sentences done since the last call.
    Returns:
      For each source, in the order given, `beam.best` hypotheses, the best one first. Those that
      are missing, because no more have finished, are empty.
    """
    job = queue.Job(*self._checked()._for_steps, self.gate_values, beam, sources, limits)
    return queue.search_all(job, batch_size, progress or (lambda count: None))

  def sample(
    self, source: dict, limit_B, key, samples: int, words: int, temperature: float = 1.0
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(ids_BET, length_BE, log_prob_BE) of random translations, see sampling.sample.

    Args:
      source: what the encoder takes, from text.batching.
      limit_B: int32, words, EOS included, after which a sample of a source is given up.
      key: of all that is drawn.
      samples: E, of each source.
      words: T, at least as many as any limit.
      temperature: scores are divided by it.
    """
    model = *self._checked()._for_steps, self.gate_values
    return sampling.sample(*model, source, limit_B, key, temperature, samples, words)

  @functools.cached_property
  def _for_steps(self) -> tuple[ModelConfig, dict]:
    """Sizes and parameters as steps of one word like them best, for the same model."""
    config = dataclasses.replace(self.config, share_embeddings=False)
    with jax.ensure_compile_time_eval():  # they outlive a function that is being traced
      return config, cast_kernels(transformer.unshared(self.params), config.precision)

  def _apply(self, batch, **kwargs):
    t = self._checked()
    return transformer.apply(t.config, t.params, batch, t.gate_values, **kwargs)

  def _checked(self) -> "Translator":
    """Itself, or a UserError: an array of another shape would be broadcast to wrong results."""
    for name, shape in self.config.gate_shapes.items():
      found = np.shape(self.gate_values[name])
      if found != shape:
        raise UserError(f"gate_values[{name!r}] has shape {found}, but the model has {shape}")
    return self

  def exact(self) -> "Translator":
    """The same model with all matrix products in float32."""
    return self.replace(config=self.config.exact())


def cast_kernels(params: dict, precision: str) -> dict:
  """Parameters on a device, matrices in the type their products take; copied only if they must."""

  def cast(path, x):
    x = jax.device_put(x)  # jnp.asarray would compile a program for each shape
    return x.astype(precision) if path[-1].key.endswith("kernel") else x

  return jax.tree_util.tree_map_with_path(cast, params)


def _stack(layers):
  """Layers with different numbers of heads as one array."""
  width = max(1, *(attn.shape[1] for attn in layers))
  missing = lambda x: (0, width - x.shape[1])
  return jnp.stack([jnp.pad(x, ((0, 0), missing(x), (0, 0), (0, 0))) for x in layers])
