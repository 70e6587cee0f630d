"""Where attention weights point: masks, largest weights, and counts as shares."""

import numpy as np


def words(segment_BM) -> np.ndarray:
  """mask_BM: the real tokens of each row but the last, which is EOS."""
  length_B = np.sum(np.asarray(segment_BM) > 0, axis=1)
  return np.arange(segment_BM.shape[1])[None] < length_B[:, None] - 1


def share(hits, cases) -> np.ndarray:
  """hits / cases, 0 where there is no case; `cases` has the first axes of `hits`."""
  hits, cases = np.asarray(hits, np.float64), np.asarray(cases)
  cases = cases.reshape(cases.shape + (1,) * (hits.ndim - cases.ndim))
  return hits / np.maximum(cases, 1)


def largest(attn_NBHQM, memory_BM) -> np.ndarray:
  """The token with the largest weight among those allowed: top_NBHQ."""
  return np.argmax(np.where(memory_BM[:, None, None, :], attn_NBHQM, -1.0), axis=-1)
