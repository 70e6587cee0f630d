"""Whether a model and its cut version are the same, and what the cut gains: sizes and speed."""

from collections.abc import Callable, Sequence
import statistics

import jax
import numpy as np

from headprune import timing
from headprune.errors import UserError
from headprune.nn import cost
from headprune.nn.config import open_gates
from headprune.text import batching
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator, exact_limits

TOLERANCE = 1e-4  # between logits, in float32
_ROWS = 32  # sentences scored at a time
_REPEATS = 6  # of each measurement

Ids = Sequence[Sequence[int]]  # with EOS


def check(masked: Translator, compact: Translator, sources: Ids, targets: Ids, beam: BeamConfig):
  """Largest difference of the two models' logits; all in float32.

  Args:
    masked: the model with its gates.
    compact: what was cut out of it.
    sources: sentences.
    targets: their translations.
    beam: how to translate.
  Raises:
    UserError: logits differ by more than TOLERANCE, or a translation is another one.
  """
  pair = jax.device_put((masked.exact(), compact.exact()))
  batches = [batch for _, batch in batching.batches(sources, targets, _ROWS)]
  difference = float(np.max([_difference(*pair, batch) for batch in batches]))
  if not difference <= TOLERANCE:
    raise UserError(
      f"not the same model: logits differ by {difference:.2g} in float32, more than "
      f"{TOLERANCE:g}; nothing was written"
    )
  old, new = (translator.translate(sources, beam, len(sources)) for translator in pair)
  changed = [i for i, (a, b) in enumerate(zip(old, new), 1) if a.ids != b.ids]
  if changed:
    raise UserError(
      f"not the same model: {len(changed)} of {len(sources)} translations differ in float32, first "
      f"that of sentence {changed[0]}; nothing was written"
    )
  return difference


def _difference(a: Translator, b: Translator, batch: dict) -> float:
  """Largest difference of logits at real target words."""
  real_BT = batch["tgt_segment_BT"] > 0
  logits = [np.asarray(translator.logits(batch))[real_BT] for translator in (a, b)]
  return np.max(np.abs(logits[0] - logits[1]))


def table(masked: Translator, compact: Translator, sources: Ids, targets: Ids, beam: BeamConfig):
  """What the cut gains, by arithmetic and measured, in the models' own precision.

  Args: see `check`.
  Returns:
    A row each for parameters, operations, caches and speeds; dense is the model with open gates.
  """
  masked, compact = jax.device_put((masked, compact))
  dense = masked.replace(gate_values=open_gates(masked.config))
  models = dense, masked, compact
  lengths = [float(np.mean([len(ids) for ids in side])) for side in (sources, targets)]
  scoring, translation = (
    cost.pair_flops(masked.config, *lengths, beams)
    / cost.pair_flops(compact.config, *lengths, beams)
    for beams in (1, beam.beams)
  )
  rows = [["", "dense", "masked", "compact", "gain", "arithmetic"]]
  rows += [_cost_row(name, models, value) for name, value in _costs(lengths).items()]
  scored = _scoring(models, sources, targets)
  words = max(1, round(lengths[1]))
  translated = _translation(models, sources, beam, words)
  rows.append(_speed_row("scoring, tokens/s", scored, scoring))
  rows.append(_speed_row("translation, sentences/s", translated, translation))
  noise = max(max(a, b) / min(a, b) - 1 for a, b, _ in (scored, translated))
  lines = [f"  {row[0]:<26}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]
  note = (
    f"{len(sources)} sentences of {lengths[0]:.1f} source and {lengths[1]:.1f} target tokens, in "
    f"{masked.config.precision}, beam {beam.beams}, translations of {words} words; medians of "
    f"{_REPEATS}, compilation left out.\nGains are over masked. Dense is the same program with "
    f"other gates: that the two speeds differ by {noise:.0%} here is noise."
  )
  return "\n".join([*map(str.rstrip, lines), note])


def _costs(lengths: list[float]) -> dict[str, Callable[[Translator], float]]:
  """Row name -> function of a model."""
  return {
    "parameters": lambda t: sum(x.size for x in jax.tree.leaves(t.params)),
    "FLOPs per source token": lambda t: cost.source_flops(t.config, lengths[0]),
    "FLOPs per target token": lambda t: cost.target_flops(t.config, *lengths),
    "cache bytes, source token": lambda t: cost.cache_bytes(t.config)[0],
    "cache bytes, target token": lambda t: cost.cache_bytes(t.config)[1],
  }


def _cost_row(name: str, models, value) -> list[str]:
  values = [value(translator) for translator in models]
  _, masked, compact = values
  same = masked == compact  # nothing gained, also where there was nothing
  gain = "1.00x" if same else f"{masked / compact:.2f}x" if compact else "all"
  return [name, *(f"{v:,.0f}" for v in values), gain, ""]


def _speed_row(name: str, speeds: list[float], arithmetic: float) -> list[str]:
  """Measured speeds; the gain beside what the removed operations alone would give."""
  shown = [f"{v:,.0f}" if v >= 100 else f"{v:.1f}" for v in speeds]
  return [name, *shown, f"{speeds[2] / speeds[1]:.2f}x", f"{arithmetic:.2f}x"]


def _scoring(models, sources: Ids, targets: Ids) -> list[float]:
  """Source and target tokens a second, forward only, for each model."""
  batches = [jax.device_put(b) for _, b in batching.batches(sources, targets, _ROWS)]
  calls = [lambda t=t: jax.block_until_ready([t.logits(b) for b in batches]) for t in models]
  tokens = sum(len(ids) for side in (sources, targets) for ids in side)
  return [tokens / seconds for seconds in _medians(calls)]


def _translation(models, sources: Ids, beam: BeamConfig, words: int) -> list[float]:
  """Sentences a second in one batch, `words` each, so that all models do the same work."""
  limits, count = exact_limits(words), len(sources)
  calls = [lambda t=t: t.translate(sources, beam, count, limits) for t in models]
  return [count / seconds for seconds in _medians(calls)]


def _medians(calls: list[Callable]) -> list[float]:
  """Median seconds of each call."""
  _, seconds = timing.take_turns(calls, _REPEATS)
  return list(map(statistics.median, seconds))
