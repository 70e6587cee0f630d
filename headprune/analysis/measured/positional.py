"""Positional heads: their largest weight is at one relative position (Voita et al. 2019, 5.1).

In the encoder the position is counted from the token that looks. In the decoder it is counted from
the token that a step reads, which is the one before the token that it writes: at 0 a step looks at
the token that it reads, at -1 at the one before. Steps cannot look ahead.
"""

from collections.abc import Sequence
import functools

import numpy as np

from headprune.analysis import evidence, plug, pointing
from headprune.analysis.evidence import Counted, Evidence
from headprune.analysis.result import Kind, Score
from headprune.analysis.subject import Subject
from headprune.errors import check_least

KIND = "positional"
NEAR = (-1, 0, 1)  # offsets whose shares are drawn


def add_options(add) -> None:
  add(
    "--positional", type=float, default=0.9, help="least share at one position of a positional head"
  )
  add("--max-offset", type=int, default=5, help="farthest position to either side that is counted")


def prepare(subject: Subject, options) -> plug.Plan:
  del subject
  check_least("--max-offset", options.max_offset, 1)
  limit = plug.check_share("positional", options.positional)
  settings = {"positional": limit, "max_offset": options.max_offset}
  run = functools.partial(measure, limit=limit, max_offset=options.max_offset)
  return plug.Plan(run, settings)


def measure(subject: Subject, limit: float, max_offset: int) -> Counted:
  """Shares of each offset, and the self-attention heads with at least `limit` at one of them."""
  offsets = {"enc_self": range(-max_offset, max_offset + 1), "dec_self": range(-max_offset, 1)}

  def count_batch(batch):
    attn = subject.translator.attention(batch)
    segments = {"enc_self": batch["src_segment_BS"], "dec_self": batch["tgt_segment_BT"]}
    queries = {"enc_self": pointing.words, "dec_self": pointing.readers}
    counts = []
    for name, segment_BX in segments.items():
      query_BX = queries[name](segment_BX)
      counts += count(np.asarray(attn[name]), segment_BX, query_BX, offsets[name])
    return counts

  counts = iter(evidence.over_sentences(subject, count_batch))
  found = [
    _evidence(name, some, next(counts), next(counts), limit) for name, some in offsets.items()
  ]
  return Counted(
    scores=tuple(_score(subject, offset, found) for offset in offsets["enc_self"]),
    kinds=_kinds(limit),
    functions=tuple(f for part in found for f in evidence.functions(subject, part)),
    evidence=tuple(found),
  )


def _evidence(name: str, offsets: Sequence[int], hits_ERNH, cases_ER, limit: float) -> Evidence:
  return Evidence(
    kind=KIND,
    type=name,
    names=tuple(map(_name, offsets)),
    hits_ERNH=hits_ERNH,
    cases_ER=cases_ER,
    limit=limit,
    allowed_R=common(cases_ER.sum(0)),
    one_each=True,
  )


def _kinds(limit: float) -> tuple[Kind, Kind]:
  rule = (
    f"at least {plug.percent(limit)} of the largest weights at one relative position that half of "
    "all tokens have"
  )
  decoder = (
    "the same in the decoder, where positions are counted from the token that a step reads: "
    f"{_name(-1)} is the one before it"
  )
  return Kind(KIND, "enc_self", rule), Kind(KIND, "dec_self", decoder)


def count(attn_NBHXX, segment_BX, query_BX, offsets: Sequence[int]):
  """How often the largest weight is at each relative position, in each sentence.

  A token counts for an offset if the sentence has a position there: the encoder's EOS and the
  decoder's start are positions.

  Args:
    attn_NBHXX: weights of self-attention.
    segment_BX: 0 at padding.
    query_BX: which tokens count.
    offsets: R relative positions.
  Returns:
    (hits_BRNH, cases_BR).
  """
  position_X = np.arange(query_BX.shape[1])
  shift_NBHX = np.argmax(attn_NBHXX, axis=-1) - position_X
  length_B1 = np.sum(np.asarray(segment_BX) > 0, axis=1, keepdims=True)
  hits, cases = [], []
  for offset in offsets:
    target_1X = position_X[None] + offset
    valid_BX = query_BX & (target_1X >= 0) & (target_1X < length_B1)
    hits.append(pointing.by_sentence((shift_NBHX == offset) & valid_BX[:, None]))
    cases.append(np.sum(valid_BX, axis=1))
  return np.stack(hits, axis=1), np.stack(cases, axis=1)


def common(cases_R: np.ndarray) -> np.ndarray:
  """Offsets at which at least half of all tokens have a neighbour: bool [R].

  Five back, in short sentences, is only ever the first token: no evidence of a position.
  """
  return 2 * cases_R >= cases_R.max()


def _score(subject: Subject, offset: int, found: Sequence[Evidence]) -> Score:
  name = _name(offset)
  shares = {
    part.type: part.shares(part.everything)[0, part.names.index(name)]
    for part in found
    if name in part.names
  }
  return evidence.score(subject, name, f"at relative {name}", shares, drawn=offset in NEAR)


def _name(offset: int) -> str:
  return f"position {offset:+d}"
