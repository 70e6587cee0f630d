"""Word alignment by cross-attention heads, against alignments in Pharaoh format (`0-0 1-2 3p2`)."""

from collections.abc import Sequence
import functools
import pathlib
import re

import numpy as np

from headprune.analysis import annotations, plug, words
from headprune.analysis.result import Findings, Function, Kind, Score
from headprune.analysis.subject import Subject
from headprune.errors import UserError
from headprune.text import sources

KIND = "aligning"
STEPS = ("writing", "reading")  # the step that predicts a target piece; the next one, its reader

Links = tuple[set, set]  # (source word, target word): the sure links; all possible ones


def add_options(add) -> None:
  add("--alignments", help="word alignments of the text in Pharaoh format")
  add("--aligning", type=float, default=0.5, help="alignment error rate at most")


def prepare(subject: Subject, options) -> plug.Plan | None:
  settings = {"aligning": options.aligning}
  if options.alignments is None:
    links = [(set(pair.links),) * 2 for pair in annotations.known(subject, options)]
    if not links:
      return None
    settings["alignments"] = annotations.SETTING
  else:
    links, needed = read(options.alignments), 1 + max(subject.numbers)
    if len(links) < needed:
      raise UserError(f"{options.alignments} has {len(links)} lines for {needed} sentence pairs")
  run = functools.partial(measure, subject, links, options.aligning)
  return plug.Plan(run, settings)


def measure(subject: Subject, links: Sequence[Links], limit: float) -> Findings:
  """Error rates of every cross-attention head, and the heads with one of at most `limit`.

  Args:
    subject: a run and its text.
    links: of all lines that the subject's pairs come from.
    limit: of either step.
  """
  error_2NH = error_rates(subject, links)
  best_NH = error_2NH.min(0)
  heads = subject.find_heads("dec_enc", best_NH <= limit)
  functions = ()
  if heads:
    strength = min(float(best_NH[head]) for head in heads)
    functions = (Function(KIND, "word alignment", "dec_enc", heads, "error rate", strength),)
  scores = [
    Score(
      key=f"alignment-error-{step}",
      title=f"alignment error, {step}",
      meaning=f"alignment error rate of the steps that are {step} a target word",
      values=subject.as_lists({"dec_enc": error_NH}),
    )
    for step, error_NH in zip(STEPS, error_2NH)
  ]
  rule = f"an alignment error rate of at most {limit:.0%}"
  return Findings(scores=tuple(scores), kinds=(Kind(KIND, "dec_enc", rule),), functions=functions)


def read(path: str | pathlib.Path) -> list[Links]:
  """Reads word alignments, one sentence a line; `i-j` is sure, `ipj` or `i?j` is possible.

  Raises:
    UserError: something else on a line.
  """
  links = []
  for number, line in enumerate(sources.read_lines(path), 1):
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


def error_rates(subject: Subject, links: Sequence[Links]) -> np.ndarray:
  """The alignment error rate of each head at each of STEPS: [2, N, H]."""
  tokenizers, counts = (subject.run.src_tokenizer, subject.run.tgt_tokenizer), 0
  for rows, batch in subject.batches():
    attn_NBHTS = np.asarray(subject.translator.attention(batch)["dec_enc"])
    for row, i in enumerate(rows):
      (src_words, src_units), (tgt_words, tgt_units) = (
        words.units(words.spans(line), tokenizer.spans(line))
        for line, tokenizer in zip(subject.text[i], tokenizers)
      )
      tops = (align(attn_NBHTS[:, row], src_units, tgt_units, shift) for shift in range(len(STEPS)))
      right = links[subject.numbers[i]]
      counts += np.stack([count_links(top_NHU, src_words, tgt_words, right) for top_NHU in tops])
  return np.stack([error_rate(counts_4NH) for counts_4NH in counts])


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


def count_links(top_NHU, src_words, tgt_words, links: Links) -> np.ndarray:
  """Counts for the error rate: in sure links, in possible ones, links drawn, sure links; [4, N, H].

  Args:
    top_NHU: from `align`, source unit of each target unit.
    src_words: unit of each source word, -1 for none.
    tgt_words: unit of each target word.
    links: the right ones, of words.
  """
  sure, possible = (
    {(src_words[i], tgt_words[j]) for i, j in side if _inside(i, src_words, j, tgt_words)}
    for side in links
  )
  hits = lambda right: sum(top_NHU[..., t] == s for s, t in right)
  counts = hits(sure), hits(possible), top_NHU.shape[-1], len(sure)
  return np.stack([np.broadcast_to(count, top_NHU.shape[:2]) for count in counts])


def _inside(i: int, src_words: Sequence[int], j: int, tgt_words: Sequence[int]) -> bool:
  return i < len(src_words) and j < len(tgt_words) and min(src_words[i], tgt_words[j]) >= 0


def error_rate(counts_4NH) -> np.ndarray:
  """AER = 1 - (|A and S| + |A and P|) / (|A| + |S|) of each head (Och and Ney 2003): [N, H]."""
  in_sure, in_possible, drawn, sure = counts_4NH
  return 1.0 - (in_sure + in_possible) / np.maximum(drawn + sure, 1)
