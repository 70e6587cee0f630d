"""What the decoder has read: the reference, the model's own translation, or another sentence."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from headprune.errors import UserError
from headprune.runs.run import Run

REFERENCE, OWN, RANDOM = PREFIXES = ("reference", "own", "random")

Pairs = list[tuple[list[int], list[int]]]  # source and target ids, each with EOS
Lengths = tuple[int, int]  # tokens of a source and of a target, EOS included


def most_frequent(pairs: Pairs) -> Lengths:
  """The lengths that most pairs have; of equals those with the longest target."""
  counts = Counter((len(src), len(tgt)) for src, tgt in pairs)
  return max(counts, key=lambda lengths: (counts[lengths], lengths[::-1]))


def reference(pairs: Pairs, lengths: Lengths, sentences: int) -> Pairs:
  """The first `sentences` pairs of those lengths.

  Raises:
    UserError: there is none; names the most frequent ones.
  """
  found = [pair for pair in pairs if tuple(map(len, pair)) == lengths]
  if not found:
    (src, tgt), usual = lengths, " ".join(map(str, most_frequent(pairs)))
    raise UserError(
      f"--length {src} {tgt}: no pair has {src} source and {tgt} target tokens, EOS included; the "
      f"most frequent lengths are {usual}"
    )
  return found[:sentences]


def random(pairs: Pairs, lengths: Lengths, sentences: int, seed: int = 0) -> Pairs:
  """The sources of `reference`, each with the target of another pair, drawn at random.

  Raises:
    UserError: there is no other target of that length.
  """
  targets = sorted({tuple(tgt) for _, tgt in pairs if len(tgt) == lengths[1]})
  if len(targets) == 1:
    raise UserError(
      f"--prefix {RANDOM}: all targets of {lengths[1]} tokens are the same one; give another "
      "--length"
    )
  rng, found = np.random.default_rng(seed), []
  for src, tgt in reference(pairs, lengths, sentences):
    others = [other for other in targets if other != tuple(tgt)]
    found.append((src, list(others[rng.integers(len(others))])))
  return found


def own(
  run: Run, pairs: Pairs, lengths: Lengths, sentences: int, progress: Callable[[int], None]
) -> Pairs:
  """The first `sentences` sources whose translation by the run has the target's length, with it.

  Args:
    run: the run.
    pairs: the text; all sources of the wanted length are translated.
    lengths: wanted.
    sentences: at most so many.
    progress: takes the number of sentences translated since the last call.
  Raises:
    UserError: there is no such source, or no translation of that length that ends.
  """
  sources = sources_of(pairs, lengths)
  if not sources:
    raise UserError(f"--length {lengths[0]} {lengths[1]}: no source has {lengths[0]} tokens")
  rows = run.config.eval.batch_sentences
  translated = run.translator.search(sources, run.beam(), rows, progress=progress)
  eos = pairs[0][1][-1]  # what is cut off at the search's limit does not end in it
  ended = lambda ids: ids[-1:] == [eos]
  found = [(src, best.ids) for src, (best, *_) in zip(sources, translated) if ended(best.ids)]
  if not found:
    raise UserError(
      f"--prefix {OWN}: no translation of {lengths[0]} tokens by {run.workdir.path} comes to an "
      "end: train on, or take other prefixes"
    )
  chosen = [pair for pair in found if len(pair[1]) == lengths[1]]
  if not chosen:
    usual = Counter(len(ids) for _, ids in found).most_common(1)[0][0]
    raise UserError(
      f"--prefix {OWN}: {run.workdir.path} translates no source of {lengths[0]} tokens into "
      f"{lengths[1]}; most often it takes {usual}: try --length {lengths[0]} {usual}"
    )
  return chosen[:sentences]


def sources_of(pairs: Pairs, lengths: Lengths) -> list[list[int]]:
  """All sources of the wanted length, each once."""
  distinct = dict.fromkeys(tuple(src) for src, _ in pairs if len(src) == lengths[0])
  return [list(src) for src in distinct]
