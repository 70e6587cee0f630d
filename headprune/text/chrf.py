"""chrF by sacreBLEU: characters in common, which wrong endings of words cost less than BLEU."""

import sacrebleu


def score(hypotheses: list[str], references: list[str], lowercase: bool) -> tuple[float, str]:
  """chrF2 of a corpus in percent (Popovic 2015; 1 to 6 characters), and sacreBLEU's signature."""
  metric = sacrebleu.metrics.CHRF(lowercase=lowercase)
  found = metric.corpus_score(hypotheses, [references])
  return found.score, str(metric.get_signature())
