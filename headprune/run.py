"""A finished or running experiment as a value: everything that its workdir holds, ready to use."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from headprune import checkpoint, decode, evaluate, model, steps, tokenizer
from headprune import config as config_lib
from headprune.errors import UserError


@dataclasses.dataclass(frozen=True)
class Attention:
  """One pair's attention weights, after softmax, before the gates."""

  source: list[str]  # pieces, EOS included
  target: list[str]
  weights: dict[str, np.ndarray]  # type -> [N, H, Q, M]; heads that a layer lacks are zero


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A run's config, parameters on the host, gates as at test time, and tokenizers."""

  workdir: pathlib.Path
  config: ml_collections.ConfigDict
  model_config: model.ModelConfig
  params: dict  # {"model": ..., "gates": type -> log_alpha_NH}
  gate_values: dict  # type -> gate_NH, ones where there is no gate
  src_tokenizer: tokenizer.Tokenizer
  tgt_tokenizer: tokenizer.Tokenizer

  def translate(self, lines: list[str]) -> list[str]:
    """Translations of text lines, in order; an empty line stays empty."""
    tokenizers = self.src_tokenizer, self.tgt_tokenizer
    return evaluate.translate_lines(
      lines, tokenizers, self.model_config, self.params["model"], self.gate_values, self.config.eval
    )

  def gates(self) -> dict[str, np.ndarray]:
    """Test-time gates: type -> [N, H]; ones where there is no gate, zero where there is no head."""
    return {name: np.asarray(g) for name, g in self.gate_values.items()}

  def attention(self, sources: list[str], targets: list[str] | None = None) -> list[Attention]:
    """Attention weights of each sentence and its translation.

    Args:
      sources: text lines.
      targets: their translations; by default the run's own.
    Returns:
      One Attention per line.
    """
    targets = self.translate(sources) if targets is None else targets
    result = []
    for src, tgt in zip(*self._encode(sources, targets)):
      batch = model.unpacked_batch(
        [src], [tgt], decode.round_up(len(src)), decode.round_up(len(tgt))
      )
      _, attns = _forward(self.model_config, self.params["model"], batch, self.gate_values)
      lengths = {"enc_self": (src, src), "dec_self": (tgt, tgt), "dec_enc": (tgt, src)}
      weights = {
        name: self._stack(attns[name], len(query), len(memory))
        for name, (query, memory) in lengths.items()
      }
      pieces = self.src_tokenizer.pieces(src), self.tgt_tokenizer.pieces(tgt)
      result.append(Attention(*pieces, weights))
    return result

  def score(self, sources: list[str], targets: list[str]) -> list[np.ndarray]:
    """-log p of each target token given its source, EOS included, natural log, no smoothing."""
    result = [None] * len(sources)
    pairs = list(zip(*self._encode(sources, targets)))
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][1]), len(pairs[i][0])))
    size = self.config.eval.batch_sentences
    for start in range(0, len(order), size):
      chosen = order[start : start + size]
      rows = [pairs[i] for i in chosen] + [([], [])] * (size - len(chosen))
      src, tgt = zip(*rows)
      widths = (decode.round_up(max(map(len, side))) for side in (src, tgt))
      batch = model.unpacked_batch(src, tgt, *widths)
      losses = _token_losses(self.model_config, self.params["model"], batch, self.gate_values)
      for i, loss_T in zip(chosen, np.asarray(losses)):
        result[i] = loss_T[: len(pairs[i][1])]
    return result

  def _encode(self, sources, targets):
    """Ids of both sides, with EOS."""
    if len(sources) != len(targets):
      raise UserError(f"{len(sources)} sources but {len(targets)} targets: they must be parallel")
    sides = self.src_tokenizer.encode(sources), self.tgt_tokenizer.encode(targets)
    return tuple([row + [tokenizer.EOS] for row in side] for side in sides)

  def _stack(self, layers, queries: int, memories: int) -> np.ndarray:
    stacked = np.zeros((len(layers), self.model_config.max_heads, queries, memories), np.float32)
    for n, attn_BHQM in enumerate(layers):
      stacked[n, : attn_BHQM.shape[1]] = attn_BHQM[0, :, :queries, :memories]
    return stacked


@functools.partial(jax.jit, static_argnums=0)
def _forward(model_config, params, batch, gate_values):
  return model.Transformer(model_config).apply({"params": params}, batch, gate_values)


@functools.partial(jax.jit, static_argnums=0)
def _token_losses(model_config, params, batch, gate_values):
  logits_BTV, _ = _forward(model_config, params, batch, gate_values)
  log_p_BTV = jax.nn.log_softmax(logits_BTV)
  return -jnp.take_along_axis(log_p_BTV, batch["tgt_BT"][..., None], axis=-1)[..., 0]


def load(workdir: str | pathlib.Path, which: str = "last", precision: str | None = None) -> Run:
  """Loads a run.

  Args:
    workdir: where it was trained, compacted or converted to.
    which: checkpoint: "last" (averaged over config.eval.average), "best" (dev BLEU) or a step.
    precision: of matrix products, one of layers.PRECISIONS; by default that of the config.
  Raises:
    UserError: there is no run or no such checkpoint.
  """
  workdir = pathlib.Path(workdir)
  config = config_lib.load(workdir)
  tokenizers = tokenizer.load(workdir / "tokenizer")
  sizes = config_lib.model_config(config.model, *(t.vocab_size for t in tokenizers))
  if precision:
    sizes = dataclasses.replace(sizes, precision=precision)
  params = checkpoint.load_params(workdir, which, config.eval.average)
  gate_values = steps.test_gates(config_lib.fixed_gates(config.gates, sizes), params)
  return Run(workdir, config, sizes, params, gate_values, *tokenizers)
