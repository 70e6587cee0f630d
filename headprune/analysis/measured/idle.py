"""Idle heads: they look at the end of the source, or at the decoder's start, nearly always.

A head that has nothing to say about a token must put its weight somewhere, and these places are in
every sentence (Clark et al. 2019, section 3.2, on BERT's separators). How often heads look at
punctuation is told beside it.
"""

import functools
import unicodedata

import numpy as np

from headprune.analysis import evidence, plug, pointing
from headprune.analysis.evidence import Counted, Evidence
from headprune.analysis.result import TITLES, Kind
from headprune.analysis.subject import Subject
from headprune.nn.config import TYPES
from headprune.text.spans import SPACE

KIND = "idle"
PLACES = {"enc_self": "EOS", "dec_self": "the start", "dec_enc": "EOS"}


def add_options(add) -> None:
  add(
    "--idle",
    type=float,
    default=0.9,
    help="least share on EOS (in the decoder: on the start) of an idle head",
  )


def prepare(subject: Subject, options) -> plug.Plan:
  limit = plug.check_share("idle", options.idle)
  marks = [
    np.array([is_punctuation(piece) for piece in tokenizer.pieces(range(tokenizer.vocab_size))])
    for tokenizer in (subject.run.src_tokenizer, subject.run.tgt_tokenizer)
  ]
  run = functools.partial(measure, src_mark_V=marks[0], tgt_mark_V=marks[1], limit=limit)
  return plug.Plan(run, {"idle": limit})


def measure(subject: Subject, src_mark_V, tgt_mark_V, limit: float) -> Counted:
  """Shares on the end (or start) and on punctuation, and the heads that look at hardly else.

  Args:
    subject: a run and its text.
    src_mark_V: which source ids are punctuation.
    tgt_mark_V: which target ids are.
    limit: share on the end (or start) of an idle head.
  """

  def count_batch(batch):
    attn = subject.translator.attention(batch)
    counts = []
    for name, (query_BQ, end_BM, mark_BM) in places(batch, src_mark_V, tgt_mark_V).items():
      counts += count(np.asarray(attn[name]), query_BQ, end_BM, mark_BM)
    return counts

  counts = iter(evidence.over_sentences(subject, count_batch))
  found, ends, marks = [], {}, {}
  for name in TYPES:
    hits_E2NH, cases_E = next(counts), next(counts)
    ends[name], marks[name] = pointing.share(hits_E2NH.sum(0), cases_E.sum())
    found.append(_evidence(name, hits_E2NH, cases_E, limit))
  score = functools.partial(evidence.score, subject)
  starts = {"dec_self": ends.pop("dec_self")}
  return Counted(
    scores=(
      score("on EOS", "on the source's EOS", ends),
      score("on the start", "on the vector that the decoder starts from", starts),
      score("on punctuation", "on punctuation", marks),
    ),
    kinds=tuple(_kind(name, limit) for name in TYPES),
    functions=tuple(f for part in found for f in evidence.functions(subject, part)),
    evidence=tuple(found),
  )


def _evidence(name: str, hits_E2NH, cases_E, limit: float) -> Evidence:
  return Evidence(
    kind=KIND,
    type=name,
    names=(f"idle on {PLACES[name]}",),
    hits_ERNH=hits_E2NH[:, :1],
    cases_ER=cases_E[:, None],
    limit=limit,
  )


def _kind(name: str, limit: float) -> Kind:
  rule = (
    f"at least {plug.percent(limit)} of the largest weights of {TITLES[name]} on {PLACES[name]}"
  )
  return Kind(KIND, name, rule, useful=False)


def places(batch: dict, src_mark_V, tgt_mark_V) -> dict[str, tuple]:
  """Attention type -> (query_BQ that count, end_BM or start, mark_BM: punctuation).

  Queries are the words of the encoder, the decoder's steps that read a word, and for
  cross-attention those that write one.
  """
  src_BS, tgt_BT = pointing.words(batch["src_segment_BS"]), pointing.words(batch["tgt_segment_BT"])
  src_mark_BS, tgt_mark_BT = (
    src_mark_V[batch["src_BS"]] & src_BS,
    tgt_mark_V[batch["tgt_BT"]] & tgt_BT,
  )
  end_BS = (np.asarray(batch["src_segment_BS"]) > 0) & ~src_BS
  reader_BT = pointing.readers(batch["tgt_segment_BT"])
  start_BT = np.broadcast_to(np.arange(tgt_BT.shape[1]) == 0, tgt_BT.shape)
  read_mark_BT = np.pad(tgt_mark_BT[:, :-1], ((0, 0), (1, 0)))  # of the token that a step reads
  return {
    "enc_self": (src_BS, end_BS, src_mark_BS),
    "dec_self": (reader_BT, start_BT, read_mark_BT),
    "dec_enc": (tgt_BT, end_BS, src_mark_BS),
  }


def count(attn_NBHQM, query_BQ, end_BM, mark_BM):
  """How often the largest weight is at the end or start, and on punctuation.

  Args:
    attn_NBHQM: weights.
    query_BQ: which queries count.
    end_BM: the end, or the start.
    mark_BM: punctuation.
  Returns:
    (hits_B2NH, cases_B).
  """
  top_NBHQ = np.argmax(attn_NBHQM, axis=-1)

  def hits(place_BM):
    hit_NBHQ = np.take_along_axis(place_BM[None, :, None], top_NBHQ, axis=-1)
    return pointing.by_sentence(hit_NBHQ & query_BQ[:, None])

  return np.stack([hits(end_BM), hits(mark_BM)], axis=1), query_BQ.sum(1)


def is_punctuation(piece: str) -> bool:
  """Whether a piece, without marks of word starts, is of Unicode's category P alone."""
  letters = piece.replace(SPACE, "").strip()
  return bool(letters) and all(unicodedata.category(x).startswith("P") for x in letters)
