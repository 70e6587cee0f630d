"""Word alignment by cross-attention heads, against alignments in Pharaoh format (`0-0 1-2 3p2`)."""

from collections.abc import Sequence
import functools
import pathlib
import re

import numpy as np

from headprune.analysis import annotations, evidence, plug, words
from headprune.analysis.evidence import Counted, Evidence
from headprune.analysis.result import Kind, Score
from headprune.analysis.subject import Subject
from headprune.errors import UserError
from headprune.text import textfile

KIND = "aligning"
AT_MOST = 0.5
STEPS = ("writing", "reading")  # the step that predicts a target piece; the next one, its reader

Links = tuple[set, set]  # (source word, target word): the sure links; all possible ones


def add_options(add) -> None:
  add("--alignments", help="word alignments of the text in Pharaoh format")
  add("--aligning", type=float, default=AT_MOST, help="highest error rate of an aligning head")


def prepare(subject: Subject, options) -> plug.Plan | None:
  settings = {"aligning": plug.check_share("aligning", options.aligning)}
  if options.alignments is None:
    links = [(set(pair.links),) * 2 for pair in annotations.known(subject, options)]
    if not links:
      plug.check_unused(options, {"aligning": AT_MOST}, "--alignments")
      return None
    settings["alignments"] = annotations.SETTING
  else:
    links, needed = read(options.alignments), 1 + max(subject.numbers)
    if len(links) < needed:
      raise UserError(f"{options.alignments} has {len(links)} lines for {needed} sentence pairs")
    if not any(links[number][1] for number in subject.numbers):
      raise UserError(f"{options.alignments}: no link for any of the sentence pairs")
    _check_inside(subject, links, options.alignments)
    used = (str([sorted(side) for side in links[number]]) for number in subject.numbers)
    settings["alignments"] = plug.checksum(used)
  run = functools.partial(measure, links=links, limit=options.aligning)
  return plug.Plan(run, settings)


def measure(subject: Subject, links: Sequence[Links], limit: float) -> Counted:
  """Error rates of every cross-attention head, and the heads with one of at most `limit`.

  Args:
    subject: a run and its text.
    links: of all lines that the subject's pairs come from.
    limit: of either step.
  """
  hits_E2NH, cases_E2 = count(subject, links)
  found = Evidence(
    kind=KIND,
    type="dec_enc",
    names=("word alignment",) * len(STEPS),
    measure=evidence.ERROR_RATE,
    hits_ERNH=hits_E2NH,
    cases_ER=cases_E2,
    limit=1.0 - limit,
  )
  scores = [
    Score(
      key=f"alignment-error-{step}",
      title=f"alignment error, {step}",
      meaning=f"alignment error rate of the steps that are {step} a target word",
      values=subject.as_lists({"dec_enc": 1.0 - share_NH}),
    )
    for step, share_NH in zip(STEPS, found.shares(found.everything)[0])
  ]
  rule = f"an alignment error rate of at most {plug.percent(limit)}"
  return Counted(
    scores=tuple(scores),
    kinds=(Kind(KIND, "dec_enc", rule),),
    functions=evidence.functions(subject, found),
    evidence=(found,),
  )


def read(path: str | pathlib.Path) -> list[Links]:
  """Reads word alignments, one sentence a line; `i-j` is sure, `ipj` or `i?j` is possible.

  Raises:
    UserError: something else on a line.
  """
  links = []
  for number, line in enumerate(textfile.read_lines(path), 1):
    sure, possible = set(), set()
    for item in line.split():
      match = re.fullmatch(r"(\d+)([-p?])(\d+)", item)
      if not match:
        raise UserError(f"{path}, line {number}: {item!r} is not a link such as 0-1 or 0p1")
      link = int(match[1]), int(match[3])
      possible.add(link)
      if match[2] == "-":
        sure.add(link)
    links.append((sure, possible))
  return links


def _check_inside(subject: Subject, links: Sequence[Links], path: str) -> None:
  """Raises a UserError for the first link of a word that its sentence does not have."""
  for number, pair in zip(subject.numbers, subject.text):
    src, tgt = (len(words.spans(line)) for line in pair)
    for i, j in sorted(links[number][1]):
      if i >= src or j >= tgt:
        raise UserError(
          f"{path}, line {number + 1}: {i}-{j} is outside of its sentences, which have {src} and "
          f"{tgt} words (what stands between spaces, from 0 on): give the alignments of this text"
        )


def count(subject: Subject, links: Sequence[Links]) -> tuple[np.ndarray, np.ndarray]:
  """What the error rates of the heads at each of STEPS are made of: (hits_E2NH, cases_E2).

  AER = 1 - (|A and S| + |A and P|) / (|A| + |S|) = 1 - hits / cases (Och and Ney 2003), with A the
  links that a head draws, S the sure and P the possible ones.
  """
  tokenizers = subject.run.src_tokenizer, subject.run.tgt_tokenizer
  hits_E2NH = np.zeros((len(subject.text), len(STEPS), *subject.open_heads("dec_enc").shape), int)
  cases_E2 = np.zeros(hits_E2NH.shape[:2], int)
  for rows, batch in subject.batches():
    attn_NBHTS = np.asarray(subject.translator.attention(batch)["dec_enc"])
    for row, i in enumerate(rows):
      (src_words, src_units), (tgt_words, tgt_units) = (
        words.units(words.spans(line), tokenizer.spans(line))
        for line, tokenizer in zip(subject.text[i], tokenizers)
      )
      if src_units and tgt_units:  # a tokenizer may have pieces for a line of spaces alone
        for shift in range(len(STEPS)):
          top_NHU = align(attn_NBHTS[:, row], src_units, tgt_units, shift)
          counts = count_links(top_NHU, src_words, tgt_words, links[subject.numbers[i]])
          hits_E2NH[i, shift], cases_E2[i, shift] = counts
  return hits_E2NH, cases_E2


def align(attn_NHTS, src_units, tgt_units, shift: int) -> np.ndarray:
  """The source unit that each head aligns to each target unit: top_NHU.

  Args:
    attn_NHTS: one pair's cross-attention.
    src_units: pieces of each source unit.
    tgt_units: pieces of each target unit.
    shift: 0 takes the steps that write a word's pieces, 1 those that read them.
  """
  mass = [attn_NHTS[..., pieces].sum(-1) for pieces in src_units]
  mass_NHTU = np.stack(mass, axis=-1)
  rows = [mass_NHTU[..., np.array(pieces) + shift, :].mean(-2) for pieces in tgt_units]
  return np.argmax(np.stack(rows, axis=-2), axis=-1)


def count_links(top_NHU, src_words, tgt_words, links: Links) -> tuple[np.ndarray, int]:
  """One sentence's counts for the error rate.

  Args:
    top_NHU: from `align`, source unit of each target unit.
    src_words: unit of each source word, -1 for none.
    tgt_words: unit of each target word.
    links: the right ones, of words.
  Returns:
    (hits_NH, cases): drawn links that are sure, plus those that are possible (sure ones are);
    links drawn, plus sure links.
  """
  sure, possible = (
    {(src_words[i], tgt_words[j]) for i, j in side if min(src_words[i], tgt_words[j]) >= 0}
    for side in links
  )
  right = [*sure, *possible]
  hits_NH = sum((top_NHU[..., t] == s for s, t in right), np.zeros(top_NHU.shape[:2], int))
  return hits_NH, top_NHU.shape[-1] + len(sure)
