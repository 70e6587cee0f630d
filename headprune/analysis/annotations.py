"""Parses and alignments that need no file: those of the built-in corpus "grammar"."""

from headprune.text import sources
from headprune.text.grammar import Pair

SETTING = "the grammar's own"  # where they come from, in an analysis's settings


def known(subject, options) -> list[Pair]:
  """The dev set of a run on that corpus with all that is known about it, [] for any other text."""
  if options.text:
    return []
  data = subject.run.config.data
  if (data.kind, data.corpus.kind) != ("corpus", "grammar"):
    return []
  return sources.parsed_corpus(data, ("dev",))["dev"]
