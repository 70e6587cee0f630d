"""Attention maps: the weights of a few sentence pairs, and where the page's script draws them."""

from collections.abc import Sequence
import dataclasses
import html

import numpy as np

from headprune.analysis.report import parts
from headprune.analysis.result import TITLES, Result
from headprune.runs.run import Run

_MOST_LETTERS = 48  # of a sentence, to choose it by


@dataclasses.dataclass(frozen=True)
class Maps:
  """One pair's attention weights in 256 steps."""

  text: tuple[str, str]  # both sides as they were read
  source: list[str]  # pieces with EOS
  target: list[str]
  weights: dict[str, list]  # attention type -> layer -> head -> [Q][M] in 0..255


def attention_maps(run: Run, pairs: Sequence[tuple[str, str]]) -> list[Maps]:
  """Attention weights of a few sentence pairs."""
  found, heads = [], run.translator.config.heads
  for pair, attn in zip(pairs, run.attention(*map(list, zip(*pairs))) if pairs else ()):
    weights = {
      name: [[np.rint(w_NHQM[n, h] * 255).astype(int).tolist() for h in range(count)]
             for n, count in enumerate(heads[name])]
      for name, w_NHQM in attn.weights.items()
    }  # fmt: skip
    found.append(Maps(tuple(pair), attn.source, attn.target, weights))
  return found


def section(result: Result, maps: Sequence[Maps]) -> str:
  """Choices, thumbnails of all heads, and the place of the chosen head's map."""
  if not maps:
    return ""
  sentences = [
    f'<option value="{i}" dir="auto">{html.escape(_shortened(m.text[0]))}</option>'
    for i, m in enumerate(maps)
  ]
  types = []
  for name, title in TITLES.items():
    count = sum(1 for _ in result.list_open(name))
    types.append(f'<option value="{name}">{title}, {count} open</option>')
  return parts.section(
    "maps",
    "Attention maps",
    parts.text(
      "A token of the decoder that looks is named by the piece that it is about to write; one that "
      "is looked at, in decoder self-attention, by the piece that it has read."
    ),
    f"""<div class="controls"><label>Sentence
<select id="sentence">{"".join(sentences)}</select></label>
<label>Type <select id="type">{"".join(types)}</select></label>
<span class="choice" id="view"><button type="button" value="matrix">Matrix</button><button
type="button" value="lines">Lines</button></span></div>
<dl><dt>source</dt><dd id="source" dir="auto"></dd><dt>target</dt><dd
id="target" dir="auto"></dd></dl>
<div id="thumbs"></div><h3 id="head"></h3><p id="pointed" class="soft" aria-live="polite"></p>
<figure data-svg="attention-map"><div id="map" class="scroll"></div></figure>""",
  )


def _shortened(line: str) -> str:
  """A line's beginning, also of one without spaces."""
  return line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 1]}…"
