"""Word alignment by cross-attention heads, against alignments in Pharaoh format (`0-0 1-2 3p2`)."""

from collections.abc import Sequence
import pathlib
import re

import numpy as np

from headprune import sources
from headprune.analysis import conllu
from headprune.errors import UserError

Links = tuple[set, set]  # (source word, target word): the sure links; all possible ones
STEPS = ("writing", "reading")  # the step that predicts a target piece; the next one, its reader


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


def word_spans(line: str) -> list[conllu.Span]:
  """The line's words, which Pharaoh's numbers count: what stands between spaces."""
  return [match.span() for match in re.finditer(r"\S+", line)]


def aligned(attn_NHTS, src_units, tgt_units, shift: int) -> np.ndarray:
  """The source word that each head aligns to each target word: top_NHU, U target units.

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


def count_links(top_NHU, src_words, tgt_words, links: Links):
  """Counts for the alignment error rate: (in sure_NH, in possible_NH, links drawn, sure links).

  Args:
    top_NHU: from `aligned`, source unit of each target unit.
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
