"""A run as a value: everything that its folder holds, ready to use, and how one is written."""

from collections.abc import Callable, Collection
import dataclasses
import pathlib
import re

from flax import traverse_util
import jax
from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.nn import transformer
from headprune.nn.config import PRECISIONS, TYPES, ModelConfig, attention_precision
from headprune.runs import checkpoint, derived, heads, own_tokenizer, targets, validation
from headprune.runs import config as config_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir, new_folder
from headprune.text import batching, bleu
from headprune.text import tokenizer as tokenizer_lib
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator


@dataclasses.dataclass(frozen=True)
class AttentionMaps:
  """One pair's attention weights, after softmax, before the gates."""

  source: list[str]  # pieces, EOS included
  target: list[str]
  weights: dict[str, np.ndarray]  # type -> [N, H, Q, M]; heads that a layer lacks are zero


@dataclasses.dataclass(frozen=True)
class Translation:
  """What the search found for a line."""

  text: str
  score: float  # what is searched for: log_prob / (1 + tokens / 6)^alpha, EOS counted
  log_prob: float  # of all its tokens, EOS included if it ended, natural log


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A run's config, its model with gates as at test time, and tokenizers."""

  workdir: Workdir
  config: ConfigDict
  translator: Translator  # parameters on the host
  log_alphas: dict  # attention type -> log_alpha_NH of learned gates
  src_tokenizer: tokenizer_lib.Tokenizer
  tgt_tokenizer: tokenizer_lib.Tokenizer

  def __repr__(self) -> str:
    kind = self.config.gates.kind
    return f"Run({str(self.workdir.path)!r}, heads {self.translator.config.heads}, gates {kind})"

  def translate(
    self,
    lines: list[str],
    beams: int | None = None,
    alpha: float | None = None,
    progress: Callable[[int], None] | None = None,
  ) -> list[str]:
    """Translations of text lines, in order; a line without words gives an empty one.

    Args:
      lines: one sentence each.
      beams: hypotheses a sentence that are followed; by default the config's `eval.beams`.
      alpha: length penalty; by default the config's `eval.alpha`.
      progress: called now and then with the number of lines done since the last call.
    """
    return [best.text for best, *_ in self.search(lines, beams, alpha, progress)]

  def search(
    self,
    lines: list[str],
    beams: int | None = None,
    alpha: float | None = None,
    progress: Callable[[int], None] | None = None,
    best: int = 1,
  ) -> list[list[Translation]]:
    """`translate` with scores: for each line the `best` translations, best first.

    They end in EOS; but where the best that has ended at the length limit (twice the source's
    tokens + 3) is none or empty, what there is then counts as well, with scores without an end.
    There may be fewer, but one at least: a line without words has an empty translation, with scores
    of 0; one for which the search found nothing has an empty one with scores of -inf.
    """
    _check_lines(lines)
    beam = self.beam(beams, alpha, best)
    for name, value in (("beams", beam.beams), ("best", best)):
      if value < 1:
        raise UserError(f"{name}={value} must be at least 1")
    ids = self.src_tokenizer.encode(lines)
    full = [i for i, row in enumerate(ids) if len(row) > 1]
    if progress:
      progress(len(lines) - len(full))
    chosen = [ids[i] for i in full]
    rows = self.config.eval.batch_sentences
    found = self.translator.search(chosen, beam, rows, progress=progress)
    ended = [[h for h in hypotheses if h.ids] or hypotheses[:1] for hypotheses in found]
    texts = iter(self.tgt_tokenizer.decode([h.ids for hypotheses in ended for h in hypotheses]))
    result = [[Translation("", 0.0, 0.0)] for _ in lines]
    for i, hypotheses in zip(full, ended):
      result[i] = [Translation(next(texts), h.score, h.log_prob) for h in hypotheses]
    return result

  def beam(self, beams: int | None = None, alpha: float | None = None, best: int = 1) -> BeamConfig:
    """How `search` searches: as the config's `eval` section says where nothing else is given."""
    c = self.config.eval
    return BeamConfig(_given(beams, c.beams), _given(alpha, c.alpha), c.spread, best=best)

  def bleu(self, sources: list[str], references: list[str], **search) -> tuple[float, str]:
    """sacreBLEU of the translations in percent, and its signature; `search` as in `translate`."""
    _check_parallel(sources, references)
    if not sources:
      raise UserError("bleu: there are no lines to score")
    return bleu.score(self.translate(sources, **search), references, self.config.eval)

  def gates(self) -> dict[str, np.ndarray]:
    """Test-time gates: type -> [N, H]; ones where there is no gate, zero where there is no head."""
    return {name: np.asarray(gate_NH) for name, gate_NH in self.translator.gate_values.items()}

  def with_gates(self, **gate_values) -> "Run":
    """The same run with other gates, such as `enc_self=array`, [N, H] with numbers in 0..1.

    Raises:
      UserError: no such attention type, not the shape that `gates()` has, or no such numbers.
    """
    known, arrays = self.gates(), {}
    for name, gate_NH in gate_values.items():
      if name not in TYPES:
        raise UserError(f"with_gates: {name!r} is not one of {', '.join(TYPES)}")
      if np.shape(gate_NH) != known[name].shape:
        raise UserError(
          f"with_gates: {name} has shape {np.shape(gate_NH)}, but the model's gates have "
          f"{known[name].shape}"
        )
      arrays[name] = np.asarray(gate_NH, np.float32)
      wrong = np.argwhere(~((0 <= arrays[name]) & (arrays[name] <= 1)))  # NaN is neither
      if len(wrong):
        n, h = wrong[0]
        raise UserError(
          f"with_gates: {name} has {arrays[name][n, h]} in layer {n + 1}, head {h + 1}: gates are "
          "numbers from 0 to 1"
        )
    return self.with_translator(self.translator.replace(gate_values=known | arrays))

  def with_translator(self, translator: Translator) -> "Run":
    """The same run around another model of the same vocabularies."""
    return dataclasses.replace(self, translator=translator)

  def attention(self, sources: list[str], targets: list[str] | None = None) -> list[AttentionMaps]:
    """Attention weights of each sentence and its translation.

    Args:
      sources: text lines.
      targets: their translations; by default the run's own.
    """
    sides = self.encode(sources, self.translate(sources) if targets is None else targets)
    result = [None] * len(sources)
    for numbers, batch in batching.batches(*sides, self.config.eval.batch_sentences):
      attn = jax.device_get(self.translator.attention(batch))
      for row, i in enumerate(numbers):
        src, tgt = (side[i] for side in sides)
        sizes = {"enc_self": (src, src), "dec_self": (tgt, tgt), "dec_enc": (tgt, src)}
        weights = {
          name: attn[name][:, row, :, : len(queries), : len(memory)]
          for name, (queries, memory) in sizes.items()
        }
        result[i] = AttentionMaps(
          self.src_tokenizer.pieces(src), self.tgt_tokenizer.pieces(tgt), weights
        )
    return result

  def score(self, sources: list[str], targets: list[str]) -> list[np.ndarray]:
    """-log p of each target token given its source, EOS included, natural log, no smoothing."""
    return self._of_targets(self.translator.token_losses, sources, targets)

  def logits(self, sources: list[str], targets: list[str]) -> list[np.ndarray]:
    """Scores of the whole vocabulary at each target token, EOS included: [T, V] of each pair.

    Their softmax is the model's distribution over the token, given the source and those before it.
    """
    return self._of_targets(self.translator.logits, sources, targets)

  def _of_targets(self, measure, sources, targets) -> list[np.ndarray]:
    """The rows of `measure(batch)`, [B, T, ...], each cut to its target's length."""
    sides = self.encode(sources, targets)
    result = [None] * len(sources)
    for numbers, batch in batching.batches(*sides, self.config.eval.batch_sentences):
      for i, row in zip(numbers, np.asarray(measure(batch))):
        result[i] = row[: len(sides[1][i])].copy()  # without the batch's padding behind it
    return result

  def encode(self, sources: list[str], targets: list[str]) -> tuple[list, list]:
    """Ids of both sides of parallel lines."""
    _check_parallel(sources, targets)
    return self.src_tokenizer.encode(sources), self.tgt_tokenizer.encode(targets)


def _given(value, default):
  return default if value is None else value


def _check_lines(lines) -> None:
  if isinstance(lines, str):
    raise UserError(f"a list of lines is needed, not one text: [{lines[:40]!r}]")
  if not isinstance(lines, Collection):
    raise UserError(f"a list of lines is needed, not {lines!r:.60}")
  for i, line in enumerate(lines):
    if not isinstance(line, str):
      raise UserError(f"a list of lines is needed, but [{i}] is no str: {line!r:.60}")
    if re.search("[\ud800-\udfff]", line):
      raise UserError(f"[{i}] has half a character, which is no text: {line!a:.60}")


def _check_parallel(sources, targets) -> None:
  for lines in (sources, targets):
    _check_lines(lines)
  if len(sources) != len(targets):
    raise UserError(f"{len(sources)} sources but {len(targets)} targets: they must be parallel")


def load(
  workdir: str | pathlib.Path, which: str | int = "last", precision: str | None = None
) -> Run:
  """Loads a run.

  Args:
    workdir: where it was trained, compacted or converted to.
    which: checkpoint: "last" (averaged over config.eval.average), "best" (dev BLEU) or a step.
    precision: of matrix products, one of nn.config.PRECISIONS; by default that of the config.
  Raises:
    UserError: there is no run, no such checkpoint or no such precision.
  """
  validation.check_jax()
  if precision and precision not in PRECISIONS:
    raise UserError(f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}")
  workdir = Workdir.at(workdir)
  config = config_lib.load(workdir)
  tokenizers = own_tokenizer.load(workdir)
  platform = jax.default_backend()
  sizes = derived.model_config(config.model, tokenizers, platform)
  if precision:
    attention = attention_precision(precision, platform)
    sizes = dataclasses.replace(sizes, precision=precision, attention_precision=attention)
  params = checkpoint.load_params(workdir, str(which), *derived.averaging(config))
  _check_shapes(workdir, sizes, params["model"])
  fixed_gates = derived.fixed_gates(config.gates, sizes)
  log_alphas, gate_values = targets.as_tested(config, sizes, fixed_gates, params["gates"])
  translator = Translator(sizes, params["model"], gate_values)
  return Run(workdir, config, translator, jax.device_get(log_alphas), *tokenizers)


def _check_shapes(workdir: Workdir, sizes: ModelConfig, params: dict) -> None:
  """Raises a UserError if config.json or the tokenizer is not that of the parameters."""
  init = lambda: transformer.init_params(sizes, jax.random.key(0))
  want, found = (
    {path: x.shape for path, x in traverse_util.flatten_dict(tree, sep="/").items()}
    for tree in (jax.eval_shape(init), params)
  )
  for path in sorted(want.keys() | found.keys()):
    if want.get(path) != found.get(path):
      raise UserError(
        f"{workdir.config} and {workdir.tokenizer} make parameter {path} {want.get(path)}, in the "
        f"checkpoint it is {found.get(path)}: restore the file that was changed"
      )


def write(
  out: pathlib.Path,
  config: ConfigDict,
  tokenizer_files: dict[str, bytes],
  translator: Translator,
  log_alphas: dict,
  summary: Summary,
) -> None:
  """Makes the folder of a run that was not trained there, whole or not at all.

  Args:
    out: a folder that is not there, or empty.
    config: what the run is to be loaded with.
    tokenizer_files: from text.tokenizer.
    translator: its model.
    log_alphas: learned gates, {} if there are none.
    summary: says where the model comes from.
  Raises:
    UserError: `out` is in use.
  """
  with new_folder(out) as draft:
    workdir = Workdir(draft)
    tokenizer_lib.write_files(workdir.tokenizer, tokenizer_files)
    checkpoint.save_params(workdir, {"model": translator.params, "gates": log_alphas})
    config_lib.save(config, workdir)
    lists = heads.as_lists(translator.gate_values, translator.config.heads)
    workdir.finish(summary, lists)
