"""Whether a model and its cut version are the same, and what the cut gains: sizes and speed."""

from collections.abc import Callable
import dataclasses
import functools
import statistics

import jax
import numpy as np

from headprune import cost, decode, model, timing
from headprune.errors import UserError

TOLERANCE = 1e-4  # between logits, in float32
_ROWS = 32  # sentences scored at a time
_REPEATS = 6  # of each measurement


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
  """One form of a model."""

  config: model.ModelConfig
  params: dict
  gates: dict  # attention type -> gate_NH

  def put(self, precision: str) -> "Variant":
    """The same on the device, its matrix products in `precision`."""
    config = dataclasses.replace(self.config, precision=precision)
    return Variant(config, *jax.device_put((self.params, self.gates)))


def check(masked: Variant, compact: Variant, pairs: list[dict], beam: decode.BeamConfig) -> float:
  """Largest difference of the two models' logits; all in float32.

  Args:
    masked: the model with its gates.
    compact: what was cut out of it.
    pairs: "src" and "tgt" ids, EOS included.
    beam: how to translate.
  Raises:
    UserError: logits differ by more than TOLERANCE, or a translation is another one.
  """
  variants = masked.put("float32"), compact.put("float32")
  difference = float(np.max([_difference(*variants, batch) for batch in _batches(pairs)]))
  if not difference <= TOLERANCE:
    raise UserError(
      f"not the same model: logits differ by {difference:.2g} in float32, more than "
      f"{TOLERANCE:g}; nothing was written"
    )
  old, new = (_translate(variant, pairs, beam) for variant in variants)
  changed = [i for i, (a, b) in enumerate(zip(old, new), 1) if a != b]
  if changed:
    raise UserError(
      f"not the same model: {len(changed)} of {len(pairs)} translations differ in float32, first "
      f"that of sentence {changed[0]}; nothing was written"
    )
  return difference


def table(masked: Variant, compact: Variant, pairs: list[dict], beam: decode.BeamConfig) -> str:
  """What the cut gains, by arithmetic and measured, in the models' own precision.

  Args: see `check`.
  Returns:
    A row each for parameters, operations, caches and speeds; dense is the model with open gates.
  """
  precision = masked.config.precision
  masked, compact = masked.put(precision), compact.put(precision)
  dense = dataclasses.replace(masked, gates=model.ones(masked.config))
  variants = dense, masked, compact
  lengths = [float(np.mean([len(pair[side]) for pair in pairs])) for side in ("src", "tgt")]
  scoring, translation = (
    cost.pair_flops(masked.config, *lengths, beams)
    / cost.pair_flops(compact.config, *lengths, beams)
    for beams in (1, beam.beams)
  )
  rows = [["", "dense", "masked", "compact", "gain", "arithmetic"]]
  rows += [_cost_row(name, variants, value) for name, value in _costs(lengths).items()]
  rows.append(_speed_row("scoring, tokens/s", _scoring(variants, pairs), scoring))
  words = max(1, round(lengths[1]))
  speeds = _translation(variants, pairs, beam, words)
  rows.append(_speed_row("translation, sentences/s", speeds, translation))
  lines = [f"  {row[0]:<26}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]
  note = (
    f"{len(pairs)} sentences of {lengths[0]:.1f} source and {lengths[1]:.1f} target tokens, in "
    f"{precision}, beam {beam.beams}, translations of {words} words; medians of {_REPEATS}, "
    "compilation left out.\nDense, with all gates 1, runs the masked program."
  )
  return "\n".join([*map(str.rstrip, lines), note])


def _costs(lengths: list[float]) -> dict[str, Callable[[Variant], float]]:
  """Row name -> function of a variant."""
  return {
    "parameters": lambda v: sum(x.size for x in jax.tree.leaves(v.params)),
    "FLOPs per source token": lambda v: cost.source_flops(v.config, lengths[0]),
    "FLOPs per target token": lambda v: cost.target_flops(v.config, *lengths),
    "cache bytes, source token": lambda v: cost.cache_bytes(v.config)[0],
    "cache bytes, target token": lambda v: cost.cache_bytes(v.config)[1],
  }


def _cost_row(name: str, variants, value) -> list[str]:
  values = [value(variant) for variant in variants]
  gain = f"{values[1] / values[2]:.2f}x" if values[2] else "all"
  return [name, *(f"{v:,.0f}" for v in values), gain, ""]


def _speed_row(name: str, speeds: list[float], arithmetic: float) -> list[str]:
  """Measured speeds; the gain beside what the removed operations alone would give."""
  shown = [f"{v:,.0f}" if v >= 100 else f"{v:.1f}" for v in speeds]
  return [name, *shown, f"{speeds[2] / speeds[1]:.2f}x", f"{arithmetic:.2f}x"]


def _scoring(variants, pairs: list[dict]) -> list[float]:
  """Source and target tokens a second, forward only, for each variant."""
  batches = [jax.device_put(batch) for batch in _batches(pairs)]
  calls = [
    lambda v=v: [jax.block_until_ready(_logits(v.config, v.params, b, v.gates)) for b in batches]
    for v in variants
  ]
  tokens = sum(len(pair["src"]) + len(pair["tgt"]) for pair in pairs)
  return [tokens / seconds for seconds in _medians(calls)]


def _translation(variants, pairs: list[dict], beam, words: int) -> list[float]:
  """Sentences a second in one batch, `words` each, so that all variants do the same work."""
  limits = decode.exact_limits(words)
  calls = [functools.partial(_translate, variant, pairs, beam, limits) for variant in variants]
  return [len(pairs) / seconds for seconds in _medians(calls)]


def _medians(calls: list[Callable]) -> list[float]:
  """Median seconds of each call."""
  _, seconds = timing.take_turns(calls, _REPEATS)
  return list(map(statistics.median, seconds))


def _translate(variant: Variant, pairs: list[dict], beam, limits=decode.length_limits):
  """The ids of each pair's translation."""
  ids = [pair["src"][:-1].tolist() for pair in pairs]
  found = decode.translate(
    variant.config, variant.params, variant.gates, ids, beam, len(ids), limits
  )
  return [hypothesis.ids for hypothesis in found]


def _batches(pairs: list[dict]) -> list[dict]:
  """Unpacked batches of one shape."""
  src_len, tgt_len = (max(len(pair[side]) for pair in pairs) for side in ("src", "tgt"))
  empty = {"src": [], "tgt": []}
  rows = pairs + [empty] * (-len(pairs) % _ROWS)
  return [
    model.unpacked_batch(
      [pair["src"] for pair in rows[i : i + _ROWS]],
      [pair["tgt"] for pair in rows[i : i + _ROWS]],
      src_len,
      tgt_len,
    )
    for i in range(0, len(rows), _ROWS)
  ]


def _difference(a: Variant, b: Variant, batch: dict) -> float:
  """Largest difference of logits at real target words."""
  real_BT = batch["tgt_segment_BT"] > 0
  logits = [np.asarray(_logits(v.config, v.params, batch, v.gates))[real_BT] for v in (a, b)]
  return np.max(np.abs(logits[0] - logits[1]))


@functools.partial(jax.jit, static_argnums=0)
def _logits(model_config, params, batch, gate_values):
  logits_BTV, _ = model.Transformer(model_config).apply({"params": params}, batch, gate_values)
  return logits_BTV
