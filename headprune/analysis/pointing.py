"""Where attention weights point: masks, largest weights, and counts as shares."""

import numpy as np


def words(segment_BM) -> np.ndarray:
  """mask_BM: the real tokens of each row but the last, which is EOS."""
  length_B = np.sum(np.asarray(segment_BM) > 0, axis=1)
  return np.arange(segment_BM.shape[1])[None] < length_B[:, None] - 1


def readers(segment_BT) -> np.ndarray:
  """mask_BT: the decoder's steps that read a token, all but each row's first.

  Step t reads token t - 1, the first the start vector, and writes token t; so a row has as many
  readers as it has real tokens without EOS.
  """
  mask_BT = np.asarray(segment_BT) > 0
  return mask_BT & (np.arange(mask_BT.shape[1]) > 0)[None]


def share(hits, cases) -> np.ndarray:
  """hits / cases, 0 where there is no case; `cases` has the first axes of `hits`."""
  hits, cases = np.asarray(hits, np.float64), np.asarray(cases)
  cases = cases.reshape(cases.shape + (1,) * (hits.ndim - cases.ndim))
  return hits / np.maximum(cases, 1)


def largest(attn_NBHQM, memory_BM) -> np.ndarray:
  """The token with the largest weight among those allowed: top_NBHQ."""
  return np.argmax(np.where(memory_BM[:, None, None, :], attn_NBHQM, -1.0), axis=-1)


def by_sentence(hit_NBHQ) -> np.ndarray:
  """How many queries of each sentence are hits: hits_BNH."""
  return np.sum(hit_NBHQ, axis=-1).swapaxes(0, 1)
