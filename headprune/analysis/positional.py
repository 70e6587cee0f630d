"""Positional heads: their largest weight is at one relative position (Voita et al. 2019, 5.1)."""

import functools

import numpy as np

from headprune.analysis import plug, pointing
from headprune.analysis.result import SHARE, Findings, Function, Kind, Score
from headprune.analysis.subject import Subject
from headprune.errors import UserError

KIND = "positional"
NEAR = (-1, 0, 1)  # offsets whose shares are drawn


def add_options(add) -> None:
  add("--positional", type=float, default=0.9, help="share at one position")
  add("--max-offset", type=int, default=5, help="relative positions that are counted")


def prepare(subject: Subject, options) -> plug.Plan:
  if options.max_offset < 1:
    raise UserError(f"--max-offset {options.max_offset} must be at least 1")
  settings = {"positional": options.positional, "max_offset": options.max_offset}
  run = functools.partial(measure, subject, options.positional, options.max_offset)
  return plug.Plan(run, settings)


def measure(subject: Subject, limit: float, max_offset: int) -> Findings:
  """Shares of each offset, and the encoder heads with at least `limit` at one of them."""
  hits_RNH, cases_R = 0, 0
  for _, batch in subject.batches():
    attn_NBHSS = np.asarray(subject.translator.encoder_attention(batch))
    hits, cases = count(attn_NBHSS, pointing.words(batch["src_segment_BS"]), max_offset)
    hits_RNH, cases_R = hits_RNH + hits, cases_R + cases
  share_RNH = pointing.share(hits_RNH, cases_R)
  functions = find(subject, share_RNH * common(cases_R)[:, None, None], limit)
  offsets = range(-max_offset, max_offset + 1)
  scores = [_score(subject, offset, share_NH) for offset, share_NH in zip(offsets, share_RNH)]
  rule = (
    f"at least {limit:.0%} of the largest weights at one relative position that half of all tokens "
    "have"
  )
  return Findings(
    scores=tuple(scores), kinds=(Kind(KIND, "enc_self", rule),), functions=tuple(functions)
  )


def count(attn_NBHSS, word_BS, max_offset: int):
  """How often the largest weight is at each relative position.

  A token counts for an offset if the sentence has a token there, EOS included.

  Args:
    attn_NBHSS: encoder weights.
    word_BS: real tokens without EOS.
    max_offset: offsets -max_offset ... max_offset are counted.
  Returns:
    (hits_RNH, cases_R) with R = 2 * max_offset + 1 offsets in order.
  """
  position_S = np.arange(word_BS.shape[1])
  shift_NBHS = np.argmax(attn_NBHSS, axis=-1) - position_S
  length_B1 = word_BS.sum(1, keepdims=True) + 1
  hits, cases = [], []
  for offset in range(-max_offset, max_offset + 1):
    target_S = position_S + offset
    valid_BS = word_BS & (target_S >= 0) & (target_S < length_B1)
    hits.append(np.sum((shift_NBHS == offset) & valid_BS[:, None], axis=(1, 3)))
    cases.append(np.sum(valid_BS))
  return np.array(hits), np.array(cases)


def common(cases_R: np.ndarray) -> np.ndarray:
  """Offsets at which at least half of all tokens have a neighbour: bool [R].

  Five back, in short sentences, is only ever the first token: no evidence of a position.
  """
  return 2 * cases_R >= cases_R.max()


def find(subject: Subject, share_RNH: np.ndarray, limit: float) -> list[Function]:
  """The positions that open heads have; a head has one at most, its most frequent one.

  Args:
    subject: says which heads are open.
    share_RNH: share of each offset, 0 for those that cannot be a function.
    limit: a head's share at least.
  """
  best_NH, half = np.argmax(share_RNH, axis=0), len(share_RNH) // 2
  functions = []
  for r, share_NH in enumerate(share_RNH):
    heads = subject.find_heads("enc_self", (best_NH == r) & (share_NH >= limit))
    if heads:
      strength = max(float(share_NH[head]) for head in heads)
      functions.append(Function(KIND, _name(r - half), "enc_self", heads, "share", strength))
  return functions


def _score(subject: Subject, offset: int, share_NH) -> Score:
  meaning = f"share of tokens whose largest weight is at relative position {offset:+d}"
  return Score(
    key=f"position-{offset:+d}",
    title=_name(offset),
    meaning=meaning,
    values=subject.as_lists({"enc_self": share_NH}),
    kind=SHARE,
    full=1.0,
    drawn=offset in NEAR,
  )


def _name(offset: int) -> str:
  return f"position {offset:+d}"
