"""The gates themselves: their values as at test time, and P(open) of Hard Concrete ones."""

import numpy as np

from headprune.analysis import plug
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject
from headprune.nn import gates

add_options = plug.no_options


def prepare(subject: Subject, options) -> plug.Plan:
  del subject, options
  return plug.Plan(measure, sentences=0)


def measure(subject: Subject) -> Findings:
  """The gates, and P(open) of those that are drawn from a distribution of their own."""
  run = subject.run
  meaning = "the factor of a head's output when the model is used; 0 is a closed head"
  scores = [Score("gate", "test-time gate", meaning, subject.as_lists(run.gates()))]
  if run.config.gates.kind == "concrete":
    is_open = {name: np.array(gate_NH > 0, float) for name, gate_NH in run.gates().items()}
    p_open = {name: np.asarray(gates.p_open(a_NH)) for name, a_NH in run.log_alphas.items()}
    meaning = "probability that the gate is above 0 when it is drawn, as in training"
    scores.append(Score("p_open", "P(open)", meaning, subject.as_lists(is_open | p_open)))
  return Findings(scores=tuple(scores))
