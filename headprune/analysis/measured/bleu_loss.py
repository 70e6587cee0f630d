"""What closing one head costs in BLEU. Slow: the text is translated once for each open head."""

import functools

import numpy as np

from headprune.analysis import closing, plug
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject
from headprune.errors import check_least


def add_options(add) -> None:
  add(
    "--bleu-sentences",
    type=int,
    default=0,
    help="sentences for BLEU after closing each head; slow; 0: none",
  )


def prepare(subject: Subject, options) -> plug.Plan | None:
  check_least("--bleu-sentences", options.bleu_sentences, 0)
  if not options.bleu_sentences:
    return None
  run = functools.partial(measure, sentences=options.bleu_sentences)
  sentences = min(options.bleu_sentences, len(subject.text))
  variants = 1 + len(list(closing.closed_one_by_one(subject.translator)))
  return plug.Plan(run, sentences=sentences * variants)


def measure(subject: Subject, sentences: int) -> Findings:
  """What BLEU loses without each head."""
  meaning = (
    "percent points of BLEU lost when this head alone is closed, "
    f"on {len(subject.text[:sentences]):,} of the sentence pairs"
  )
  values = subject.as_lists(bleu_lost(subject, sentences))
  return Findings(scores=(Score("bleu", "BLEU lost if closed", meaning, values),))


def bleu_lost(subject: Subject, sentences: int) -> dict[str, np.ndarray]:
  """BLEU lost by closing each open head alone, in percent points: type -> [N, H].

  Args:
    subject: a run and its text.
    sentences: only so many pairs, from the first, are translated.
  """
  run = subject.run
  pairs = tuple(map(list, zip(*subject.text[:sentences])))
  before, _ = run.bleu(*pairs, progress=subject.progress)
  lost = {name: np.zeros(gate_NH.shape) for name, gate_NH in run.gates().items()}
  for name, n, h, gate_values in closing.closed_one_by_one(run.translator):
    after, _ = run.with_gates(**gate_values).bleu(*pairs, progress=subject.progress)
    lost[name][n, h] = before - after
  return lost
