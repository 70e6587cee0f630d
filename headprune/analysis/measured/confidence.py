"""Confidence: how much of its weight a head puts on one token (Voita et al. 2019, section 4)."""

import numpy as np

from headprune.analysis import plug, pointing
from headprune.analysis.result import Findings, Score
from headprune.analysis.subject import Subject
from headprune.nn.config import TYPES

add_options = plug.no_options


def prepare(subject: Subject, options) -> plug.Plan:
  del subject, options
  return plug.Plan(measure)


def measure(subject: Subject) -> Findings:
  """The mean over tokens of the largest weight, of every head.

  Tokens are the words of the encoder, those that the decoder's steps read (in its self-attention,
  where the start vector may be looked at) and those that they write (in cross-attention).
  """
  totals, counts = dict.fromkeys(TYPES, 0.0), dict.fromkeys(TYPES, 0)
  for _, batch in subject.batches():
    attn = subject.translator.attention(batch)
    src_BS = pointing.words(batch["src_segment_BS"])
    segment_BT = batch["tgt_segment_BT"]
    sides = {
      "enc_self": (src_BS, src_BS),
      "dec_self": (pointing.readers(segment_BT), segment_BT > 0),
      "dec_enc": (pointing.words(segment_BT), src_BS),
    }
    for name, (query_BQ, memory_BM) in sides.items():
      sum_NH, count = total(np.asarray(attn[name]), query_BQ, memory_BM)
      totals[name], counts[name] = totals[name] + sum_NH, counts[name] + count
  values = {name: pointing.share(totals[name], counts[name]) for name in TYPES}
  meaning = "mean over tokens of the largest weight, EOS excluded"
  return Findings(scores=(Score("confidence", "confidence", meaning, subject.as_lists(values)),))


def total(attn_NBHQM, query_BQ, memory_BM):
  """Sum over query tokens of the largest weight, and their number: (sum_NH, count).

  Args:
    attn_NBHQM: weights.
    query_BQ: tokens that count.
    memory_BM: tokens that may be looked at.
  """
  allowed_BHQM = memory_BM[:, None, None, :] & query_BQ[:, None, :, None]
  largest_NBHQ = np.max(attn_NBHQM, axis=-1, where=allowed_BHQM, initial=0.0)
  return largest_NBHQ.sum((1, 3), dtype=np.float64), int(query_BQ.sum())
