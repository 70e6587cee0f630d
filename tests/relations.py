"""Is what stands in a relation of parsed sentences translated right, with heads closed by hand?"""

from collections.abc import Iterator, Sequence

import numpy as np

from headprune.analysis import words
from headprune.analysis.result import Head
from headprune.runs.run import Run
from headprune.text.grammar import Pair


def without(run: Run, heads: Sequence[Head]) -> Run:
  """The run with encoder heads closed."""
  gate_NH = run.gates()["enc_self"].copy()
  for head in heads:
    gate_NH[head] = 0.0
  return run.with_gates(enc_self=gate_NH)


def accuracies(run: Run, pairs: list[Pair]) -> dict[str, float]:
  """Share of what is right: in each relation ("amod"), and of all "words".

  A noun with its determiner and adjectives is right if all of them are, and a target word,
  teacher-forced, if each of its pieces is the likeliest.
  """
  lines = [pair.source for pair in pairs], [pair.target for pair in pairs]
  _, ids = run.encode(*lines)
  right = {"words": []}
  for pair, logits_TV, target in zip(pairs, run.logits(*lines), ids):
    hit_T = np.argmax(logits_TV, axis=-1) == target
    _, units = words.units(words.spans(pair.target), run.tgt_tokenizer.spans(pair.target))
    hits = {i: bool(hit_T[units[j]].all()) for i, j in pair.links}  # of source words' translations
    right["words"] += hits.values()
    for relation, group in _groups(pair):
      right.setdefault(relation, []).append(all(hits[i] for i in group))
  return {relation: float(np.mean(hits)) for relation, hits in right.items()}


def _groups(pair: Pair) -> Iterator[tuple[str, set[int]]]:
  """The source words that stand in each relation of a sentence: a noun's phrase, or two words."""
  for i, row in enumerate(pair.rows):
    noun = row.head - 1 if row.relation in ("det", "amod") else i
    if pair.rows[noun].tag == "NOUN":
      dependents = {
        j for j, r in enumerate(pair.rows) if r.head - 1 == noun and r.relation in ("det", "amod")
      }
      yield row.relation, {noun, *dependents}
    elif row.head:
      yield row.relation, {i, row.head - 1}
