"""BLEU by sacreBLEU, with the settings of a config's `eval` section."""

import sacrebleu

from headprune.errors import UserError


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


def score(hypotheses: list[str], references: list[str], config) -> tuple[float, str]:
  """Corpus BLEU in percent and sacreBLEU's signature, with the `eval` section's settings."""
  # force: these are pieces on purpose where the run's text is already split.
  metric = sacrebleu.metrics.BLEU(tokenize=config.tokenize, lowercase=config.lowercase, force=True)
  found = metric.corpus_score(hypotheses, [references])
  return found.score, str(metric.get_signature())
