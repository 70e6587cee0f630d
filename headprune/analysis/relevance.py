"""Relevance: how much each head's output matters for the word that is chosen, by LRP."""

import functools

from headprune.analysis import plug
from headprune.analysis.lrp import propagate, rules
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import MAX_TOKENS, Subject


def add_options(add) -> None:
  add("--lrp-sentences", type=int, default=200, help="0: no relevance")
  add("--lrp-rule", choices=sorted(rules.RULES), default=rules.DEFAULT)


def prepare(subject: Subject, options) -> plug.Plan | None:
  if not options.lrp_sentences:
    return None
  return plug.Plan(functools.partial(measure, subject, options.lrp_sentences, options.lrp_rule))


def measure(subject: Subject, sentences: int, rule: str) -> Findings:
  """Each head's mean share of its layer's relevance.

  Args:
    subject: a run and its text.
    sentences: only so many pairs, from the first.
    rule: a name in rules.RULES.
  """
  batches = (batch for _, batch in subject.batches(sentences, MAX_TOKENS // 8))
  values = subject.as_lists(propagate.relevance(subject.translator, batches, rule))
  meaning = "share of the layer's relevance for the most likely word (LRP)"
  return Findings(scores=(Score("relevance", "relevance (LRP)", meaning, values),))
