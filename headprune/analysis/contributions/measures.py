"""What relevance says of one sentence pair (Voita, Sennrich and Titov, ACL 2021, sections 3 and 4).

At target position t the model has read the source and the words before t. Relevance 1 starts at its
most likely word and arrives at the words that were read. What the decoder reads before the first
word is no word of the target: its part is left out, and the rest counts as the whole.
"""

from collections.abc import Callable, Sequence
import dataclasses

import numpy as np

from headprune.analysis.lrp import propagate
from headprune.analysis.measured import relevance
from headprune.translator.translator import Translator


@dataclasses.dataclass(frozen=True, eq=False)
class Relevances:
  """Relevance of the words of a pair at each target position; none is negative."""

  source_TS: np.ndarray
  target_TT: np.ndarray  # row t has words before t alone


def relevances(
  translator: Translator,
  pairs: Sequence[tuple[list[int], list[int]]],
  progress: Callable[[int], None] = lambda done: None,
) -> list[Relevances]:
  """Propagates relevance through each pair, the target being what the decoder has read.

  Args:
    translator: the model.
    pairs: source and target ids, each with EOS.
    progress: takes the number of pairs done since the last call.
  """
  exact, found = translator.exact(), []
  for (src, tgt), batch in zip(pairs, relevance.one_by_one(pairs, progress)):
    source_BGS, target_BGT = map(np.asarray, propagate.inputs(exact, batch))
    found.append(crop(source_BGS[0], target_BGT[0], len(src), len(tgt)))
  return found


def crop(source_GS, target_GT, source_length: int, target_length: int) -> Relevances:
  """Without padding, and without what the decoder reads before the first word.

  Args:
    source_GS: from `propagate.inputs`, of one pair, as target_GT.
    target_GT: at position k the word before the k-th one, from 0.
    source_length: tokens with EOS.
    target_length: tokens with EOS.
  """
  t = target_length
  words_TT = np.pad(target_GT[:t, 1:t], ((0, 0), (0, 1)))  # the last word is read by none
  return Relevances(source_GS[:t, :source_length], words_TT)


def source_contribution(found: Relevances) -> np.ndarray:
  """The source's part of all relevance at each target position; the target's part is the rest.

  It is 1 at the first position, where no word of the target has been read.
  """
  source_T, target_T = found.source_TS.sum(1), found.target_TT.sum(1)
  return _divide(source_T, source_T + target_T)


def total_contribution(found: Relevances, eos: bool = True) -> np.ndarray:
  """How much each source word contributes to the whole target, 1 where all contribute alike.

  Args:
    found: the pair's relevances.
    eos: whether the source's EOS counts; without it there is one word less.
  """
  source_TS = found.source_TS if eos else found.source_TS[:, :-1]
  return _shares(source_TS).mean(0) * source_TS.shape[1]


def source_entropy(found: Relevances) -> np.ndarray:
  """Entropy of the source words' contributions at each target position, natural log."""
  return _entropy(found.source_TS)


def target_entropy(found: Relevances) -> np.ndarray:
  """Entropy of the target words' contributions; 0 at the first two positions, of 0 and 1 words."""
  return _entropy(found.target_TT)


def _entropy(part_TX) -> np.ndarray:
  share_TX = _shares(part_TX)
  return -(share_TX * np.log(np.where(share_TX > 0, share_TX, 1.0))).sum(1)


def _shares(part_TX) -> np.ndarray:
  return _divide(part_TX, part_TX.sum(1, keepdims=True))


def _divide(part, whole):
  """part / whole; 0 where nothing arrived."""
  return part / np.where(whole > 0, whole, 1.0)
