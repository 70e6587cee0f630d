"""Heads that look at a sentence's least frequent word (Voita et al. 2019, section 5.3)."""

from collections.abc import Iterable, Sequence
import functools
import itertools

import numpy as np

from headprune.analysis import evidence, plug, pointing
from headprune.analysis.evidence import Counted, Evidence
from headprune.analysis.result import Kind
from headprune.analysis.subject import Subject
from headprune.errors import UserError
from headprune.text import sources, textfile

KIND = "rare words"
_CHUNK = 10_000  # lines encoded at a time


def add_options(add) -> None:
  add("--frequencies", help="source text to count words in; by default the training text")
  add(
    "--rare",
    type=float,
    default=0.5,
    help="least share on the rarest token of a head for rare words",
  )
  add("--rare-top", type=int, default=500, help="so many most frequent tokens are not rare")


def prepare(subject: Subject, options) -> plug.Plan:
  limit = plug.check_share("rare", options.rare)
  lines, notes = _read_counted(subject, options.frequencies)
  tokenizer = subject.run.src_tokenizer
  rank_V = ranks(lines, tokenizer)
  counted = plug.checksum(lines)  # training texts may differ, too
  settings = {"rare": limit, "rare_top": options.rare_top, "frequencies": counted}
  limits = {"limit": limit, "top": options.rare_top}
  return plug.Plan(functools.partial(measure, rank_V=rank_V, notes=notes, **limits), settings)


def measure(subject: Subject, rank_V, limit: float, top: int, notes=()) -> Counted:
  """Shares on the rarest token, and the encoder heads whose share is at least `limit`.

  Args:
    subject: a run and its text.
    rank_V: from `ranks`.
    limit: share of a head that has the function.
    top: ranks that are not rare, see `count`.
    notes: what the report should say about the frequencies.
  """

  def count_batch(batch):
    attn_NBHSS = np.asarray(subject.translator.encoder_attention(batch))
    word_BS = pointing.words(batch["src_segment_BS"])
    return count(attn_NBHSS, batch["src_BS"], word_BS, rank_V, top)

  hits_E2NH, cases_E = evidence.over_sentences(subject, count_batch)
  rarest_NH, either_NH = pointing.share(hits_E2NH.sum(0), cases_E.sum())
  found = Evidence(
    kind=KIND,
    type="enc_self",
    names=("rare words",),
    hits_ERNH=hits_E2NH[:, :1],
    cases_ER=cases_E[:, None],
    limit=limit,
  )
  score = functools.partial(evidence.score, subject)
  scores = (
    score("rarest", "on the sentence's least frequent token", {"enc_self": rarest_NH}),
    score("one of two rarest", "on one of its two least frequent tokens", {"enc_self": either_NH}),
  )
  if not cases_E.any():
    notes = *notes, f"No sentence has a word behind rank {top:,} (--rare-top): none is rare."
    scores = ()
  rule = (
    f"at least {plug.percent(limit)} of the largest weights on the sentence's least frequent token"
  )
  return Counted(
    scores=scores,
    kinds=(Kind(KIND, "enc_self", rule),),
    functions=evidence.functions(subject, found),
    numbers={"rare_word_cases": int(cases_E.sum())},
    notes=notes,
    evidence=(found,),
  )


def count(attn_NBHSS, ids_BS, word_BS, rank_V, top: int):
  """How often the largest weight (EOS excluded) is on the sentence's least frequent tokens.

  Args:
    attn_NBHSS: encoder weights.
    ids_BS: token ids.
    word_BS: real tokens without EOS.
    rank_V: rank of each id by frequency, 0 is the most frequent; no two are equal.
    top: sentences whose rarest token is among so many most frequent ones do not count.
  Returns:
    (hits_B2NH, cases_B): on the rarest token; on one of the two rarest.
  """
  rank_BS = np.where(word_BS, rank_V[ids_BS], -1)
  rarest_B1 = rank_BS.max(1, keepdims=True)
  second_B1 = np.where(rank_BS == rarest_B1, -1, rank_BS).max(1, keepdims=True)
  query_BS = word_BS & (rarest_B1 >= top)
  top_NBHS = pointing.largest(attn_NBHSS, word_BS)
  pointed_NBHS = np.take_along_axis(rank_BS[None, :, None], top_NBHS, axis=-1)
  is_rarest = pointed_NBHS == rarest_B1[:, None]
  is_second = (pointed_NBHS == second_B1[:, None]) & (second_B1 >= 0)[:, None]
  counted = lambda hit_NBHS: pointing.by_sentence(hit_NBHS & query_BS[:, None])
  hits_B2NH = np.stack([counted(is_rarest), counted(is_rarest | is_second)], axis=1)
  return hits_B2NH, query_BS.sum(1)


def ranks(lines: Iterable[str], tokenizer) -> np.ndarray:
  """rank_V of each id by its frequency in a text, 0 is the most frequent; ties by id.

  Args:
    lines: the text, of which only some lines at a time are held as ids.
    tokenizer: its EOS is not counted.
  """
  count_V = np.zeros(tokenizer.vocab_size, np.int64)
  rest = iter(lines)
  while chunk := list(itertools.islice(rest, _CHUNK)):
    ids = np.fromiter(itertools.chain.from_iterable(tokenizer.encode(chunk)), np.int64)
    count_V += np.bincount(ids, minlength=len(count_V))
  count_V[tokenizer.eos] = 0
  rank_V = np.empty_like(count_V)
  rank_V[np.argsort(-count_V, kind="stable")] = np.arange(len(count_V))
  return rank_V


def _read_counted(subject: Subject, path: str | None) -> tuple[Sequence[str], tuple[str, ...]]:
  """(source lines to count words in, notes): a file, the training text, or else the subject's."""
  if path is not None:
    return textfile.read_lines(path), ()
  try:
    return sources.read_pairs(subject.run.config.data, ("train",))["train"][0], ()
  except UserError as error:
    note = f"Words are counted in the analysed text itself ({error}); see --frequencies."
    return subject.lines, (note,)
