"""What closing one head alone costs in loss (Michel et al. 2019, section 3)."""

from headprune.analysis import closing, plug
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject

add_options = plug.no_options


def prepare(subject: Subject, options) -> plug.Plan:
  del subject, options
  return plug.Plan(measure)


def measure(subject: Subject) -> Findings:
  """What the loss is, and by how much it grows without each head."""
  loss, values = closing.closing(subject.translator, (batch for _, batch in subject.batches()))
  meaning = "increase of -log p per target token when this head alone is closed"
  return Findings(
    scores=(Score("loss", "loss increase if closed", meaning, subject.as_lists(values)),),
    numbers={"loss": loss},
    notes=(f"-log p is {loss:.4f} per target token.",),
  )
