"""BLEU by sacreBLEU, with the settings of a config's `eval` section."""

from collections.abc import Sequence
import re

import sacrebleu

from headprune.errors import UserError

_BY_SPACES = ("13a", "intl", "none")
# Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+")
_LONGEST = 5  # characters that a word of these scripts has on average, at most


def check(config) -> None:
  """Raises a UserError if sacreBLEU cannot use the tokenizer of the `eval` section."""
  known = sacrebleu.metrics.BLEU.TOKENIZERS
  if config.tokenize not in known:
    raise UserError(f"config.eval.tokenize={config.tokenize!r}: choose one of {', '.join(known)}")
  try:
    score(["a"], ["a"], config)
  except (ImportError, OSError, RuntimeError) as error:  # a package or a model that it lacks
    reason = " ".join(str(error).split())
    raise UserError(f"config.eval.tokenize={config.tokenize!r}: {reason}") from error


def counts_words(lines: Sequence[str], config) -> bool:
  """Whether the `eval` section's tokenizer finds words in some text.

  Those for European languages look for spaces, which Chinese, Japanese, Thai and others lack.
  """
  found = [len(run) for line in lines for run in _UNSPACED.findall(line)]
  rare = sum(found) < 0.3 * sum(map(len, lines))
  return config.tokenize not in _BY_SPACES or rare or sum(found) <= _LONGEST * len(found)


def metric(config, **further) -> sacrebleu.metrics.BLEU:
  """sacreBLEU's BLEU with the `eval` section's settings, and further ones of its own."""
  # force: these are pieces on purpose where the run's text is already split.
  return sacrebleu.metrics.BLEU(
    tokenize=config.tokenize, lowercase=config.lowercase, force=True, **further
  )


def sentence_scores(hypotheses: list[str], references: list[str], config) -> list[float]:
  """BLEU of each line in percent, smoothed, with the `eval` section's settings.

  sacreBLEU smooths by "floor" (0.1 for a count of 0), "add-k", "exp" or not at all. The first is
  method 1 of Chen and Cherry (2014), with the same 0.1 as in NLTK. Lines with fewer than four words
  are judged by the lengths of n-grams that they have; one without a word in common has 0.
  """
  smoothed = metric(config, smooth_method="floor", effective_order=True)
  pairs = zip(hypotheses, references)
  return [smoothed.sentence_score(line, [reference]).score for line, reference in pairs]


def score(hypotheses: list[str], references: list[str], config) -> tuple[float, str]:
  """Corpus BLEU in percent and sacreBLEU's signature, with the `eval` section's settings."""
  plain = metric(config)
  found = plain.corpus_score(hypotheses, [references])
  return found.score, str(plain.get_signature())
