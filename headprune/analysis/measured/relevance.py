"""Relevance: how much each head's output matters for the word that is chosen, by LRP."""

from collections.abc import Callable, Iterator, Sequence
import functools

import numpy as np

from headprune.analysis import plug
from headprune.analysis.lrp import propagate, rules
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject
from headprune.errors import check_least
from headprune.text import batching


def add_options(add) -> None:
  add("--lrp-sentences", type=int, default=200, help="sentences for relevance; 0: none")
  add("--lrp-rule", choices=sorted(rules.RULES), default=rules.DEFAULT, help="of relevance")


def prepare(subject: Subject, options) -> plug.Plan | None:
  check_least("--lrp-sentences", options.lrp_sentences, 0)
  if not options.lrp_sentences:
    plug.check_unused(options, {"lrp_rule": rules.DEFAULT}, "--lrp-sentences")
    return None
  run = functools.partial(measure, sentences=options.lrp_sentences, rule=options.lrp_rule)
  return plug.Plan(run, sentences=min(options.lrp_sentences, len(subject.text)))


def measure(subject: Subject, sentences: int, rule: str) -> Findings:
  """Each head's mean share of its layer's relevance.

  Args:
    subject: a run and its text.
    sentences: only so many pairs, from the first.
    rule: a name in rules.RULES.
  """
  pairs = list(zip(subject.source_ids, subject.target_ids))[:sentences]
  batches = one_by_one(pairs, subject.progress)
  values = subject.as_lists(propagate.relevance(subject.translator, batches, rule))
  meaning = (
    "share of the layer's relevance for the most likely word (LRP), "
    f"on {len(pairs):,} of the sentence pairs"
  )
  return Findings(scores=(Score("relevance", "relevance (LRP)", meaning, values),))


def one_by_one(
  pairs: Sequence[tuple[list[int], list[int]]], progress: Callable[[int], None]
) -> Iterator[dict[str, np.ndarray]]:
  """Each pair of ids as a batch of its own, in widths of 16, 32, 64, ...

  Sentences are propagated one after the other anyway, and each width takes seconds to compile.
  """
  for pair in pairs:
    width = 16
    while width < max(map(len, pair)):
      width *= 2
    yield batching.pad_pairs(*([ids] for ids in pair), width, width)
    progress(1)
