"""The report: one HTML file that needs nothing else, made of a Result."""

import base64
from collections.abc import Sequence
import dataclasses
import html
import pathlib
import textwrap

import numpy as np

from headprune.analysis import compare, tables, template
from headprune.analysis.result import IMPORTANCE, SHARE, TITLES, Column, Result, Score
from headprune.runs.run import Run

_TEMPLATE = pathlib.Path(__file__).with_name("report.html")


@dataclasses.dataclass(frozen=True)
class Picture:
  """An image of the report."""

  kind: str  # "svg+xml" or "gif"
  caption: str
  data: bytes


@dataclasses.dataclass(frozen=True)
class Maps:
  """One pair's attention weights in 256 steps."""

  source: list[str]  # pieces with EOS
  target: list[str]
  weights: dict[str, list]  # attention type -> layer -> head -> [Q][M] in 0..255


def page(
  result: Result,
  before: Sequence[Result] = (),
  pictures: Sequence[Picture] = (),
  maps: Sequence[Maps] = (),
) -> str:
  """The report as one HTML page.

  Args:
    result: what was found.
    before: earlier runs' results; outcomes are told against the first of them.
    pictures: of the gates while pruning.
    maps: attention weights of a few pairs.
  """
  sections = [
    _summary(result),
    _functions(result),
    _outcomes(before, result),
    *map(tables.section, result.tables),
    _importances(result),
    _shares(result),
    _all_heads(result),
    _correlations(result),
    _pictures(pictures),
    _maps(maps),
  ]
  body = "\n".join(filter(None, sections))
  data = template.script_json({"maps": [vars(m) for m in maps], "gates": result.heads})
  return template.fill(_TEMPLATE, run=html.escape(result.run), body=body, maps=data)


def attention_maps(run: Run, pairs: Sequence[tuple[str, str]]) -> list[Maps]:
  """Attention weights of a few sentence pairs."""
  found, heads = [], run.translator.config.heads
  for attn in run.attention(*map(list, zip(*pairs))) if pairs else ():
    weights = {
      name: [[np.rint(w_NHQM[n, h] * 255).astype(int).tolist() for h in range(count)]
             for n, count in enumerate(heads[name])]
      for name, w_NHQM in attn.weights.items()
    }  # fmt: skip
    found.append(Maps(attn.source, attn.target, weights))
  return found


def describe_kinds(result: Result) -> list[str]:
  """A sentence for each attention type that may have functions: how many heads are of each kind."""
  return [
    f"{TITLES[name].capitalize()}: "
    f"{', '.join(compare.describe_kind(result, name, *item) for item in kinds.items())}."
    for name, kinds in compare.count_kinds(result).items()
  ]


def _summary(result: Result) -> str:
  total = sum(len(row) for layers in result.heads.values() for row in layers)
  left = sum(1 for name in result.heads for _ in result.open_heads(name))
  notes = html.escape(" ".join(result.notes))
  return f"""<h1>Heads of {html.escape(result.run)}</h1>
<p class="soft">{left} of {total} heads open. Measured on {result.sentences:,} sentence pairs.
{notes} Heads are named layer.head, both counted from 1; a cross (×) is a closed head.</p>"""


def _functions(result: Result) -> str:
  rows = []
  for f in result.functions:
    rows.append((f.name, TITLES[f.type], len(f.heads), f.heads, compare.describe_strength(f)))
  columns = (
    Column("function", "text"),
    Column("attention", "text"),
    Column("heads"),
    Column("which", "heads"),
    Column("how strong", "text"),
  )
  rules = " ".join(f"{kind.name.capitalize()}: {kind.rule}." for kind in result.kinds)
  counts = " ".join(describe_kinds(result))
  nothing = "<p>No open head passes a threshold.</p>"
  return f"""<h2>Functions of heads</h2>
<p>{html.escape(rules)} How strong: the best of the heads.</p>
<p>{html.escape(counts)} A head counts once, under its first kind.</p>
{tables.sortable(columns, rows) if rows else nothing}"""


def _outcomes(before: Sequence[Result], result: Result) -> str:
  if not before:
    return ""
  rows = [
    (o.function, TITLES[o.type], o.outcome, o.before, o.after)
    for o in compare.outcomes(before[0], result)
  ]
  columns = (
    Column("function", "text"),
    Column("attention", "text"),
    Column("outcome", "text"),
    Column("heads before", "heads"),
    Column("heads after", "heads"),
  )
  runs = [*before, result]
  counts = [compare.count_kinds(run) for run in runs]
  kinds = [
    (TITLES[name], kind, *(count.get(name, {}).get(kind, 0) for count in counts))
    for name, found in counts[-1].items()
    for kind in found
  ]
  heading = Column("attention", "text"), Column("kind", "text"), *(Column(r.run) for r in runs)
  return f"""<h2>Before and after: {html.escape(runs[0].run)}</h2>
<p>Kept: a head that had the function still has it. Moved: only other heads have it now.</p>
{tables.sortable(columns, rows)}
<h3>Open heads of each kind</h3>
{tables.sortable(heading, kinds)}"""


def _importances(result: Result) -> str:
  parts = []
  for score in _drawn(result, IMPORTANCE):
    grids = "".join(_grid(result, score, name, TITLES[name]) for name in score.values)
    title = f"<h3>{html.escape(score.heading)}</h3>"
    meaning = f'<p class="soft">{html.escape(score.meaning)}</p>'
    parts.append(f'{title}{meaning}<div class="grids">{grids}</div>')
  return "<h2>Heads by layer</h2>" + "\n".join(parts) if parts else ""


def _shares(result: Result) -> str:
  parts = []
  for score in _drawn(result, SHARE):
    for name in score.values:
      title = score.title if name == "enc_self" else f"{score.title}, {TITLES[name]}"
      parts.append(_grid(result, score, name, title))
  if not parts:
    return ""
  return f"""<h2>Where heads look</h2>
<p>How often a head's largest weight is there; the full colour would be always.</p>
<div class="grids">{"".join(parts)}</div>"""


def _drawn(result: Result, kind: str) -> list[Score]:
  return [score for score in result.scores if score.drawn and score.kind == kind]


def _grid(result: Result, score: Score, name: str, title: str) -> str:
  values = [x for layers in score.values.values() for row in layers for x in row]
  full = max([*values, 1e-9]) if score.full is None else score.full
  grid = tables.grid(score.values[name], result.heads[name], full)
  return f"<div><h4>{html.escape(title)}</h4>{grid}</div>"


def _all_heads(result: Result) -> str:
  scores = [score for score in result.scores if score.kind == IMPORTANCE]
  labels = {}
  for f in result.functions:
    for head in f.heads:
      labels.setdefault((f.type, *head), []).append(f.name)
  rows = []
  for name, layers in result.heads.items():
    for n, h in ((n, h) for n, row in enumerate(layers) for h in range(len(row))):
      values = [s.values[name][n][h] if name in s.values else None for s in scores]
      functions = ", ".join(labels.get((name, n, h), ()))
      rows.append((TITLES[name], (n, h), *values, functions))
  columns = (
    Column("type", "text"),
    Column("head", "head"),
    *(Column(score.title) for score in scores),
    Column("functions", "wrapped text"),
  )
  return f"<h2>All heads</h2>{tables.sortable(columns, rows, tall=True)}"


def _correlations(result: Result) -> str:
  parts = []
  for found in result.correlations:
    names = [result.score(key).title for key in found.scores]
    rows = [(name, *row) for name, row in zip(names, found.matrix)]
    columns = Column("score", "text"), *(Column(name, "signed") for name in names)
    parts.append(f"<h3>{TITLES[found.type]}</h3>{tables.sortable(columns, rows)}")
  if not parts:
    return ""
  return "<h2>Do the scores agree?</h2><p>Spearman's rank correlation over the open heads.</p>" + (
    "\n".join(parts)
  )


def _pictures(pictures: Sequence[Picture]) -> str:
  parts = []
  for picture in pictures:
    source = f"data:image/{picture.kind};base64,{base64.b64encode(picture.data).decode()}"
    image = f'<img src="{source}" alt="{picture.caption}">'
    parts.append(f"<figure>{image}<figcaption>{picture.caption}</figcaption></figure>")
  return "<h2>Gates while pruning</h2>" + "\n".join(parts) if parts else ""


def _maps(maps: Sequence[Maps]) -> str:
  if not maps:
    return ""
  sentences = [
    f'<option value="{i}">{html.escape(_beginning(m.source))}</option>' for i, m in enumerate(maps)
  ]
  types = [f'<option value="{name}">{title}</option>' for name, title in TITLES.items()]
  return f"""<h2>Attention maps</h2>
<p>Each row is a token that looks, each column one that is looked at; choose a head, then point at a
cell. Rows of the decoder are named by the piece that it is about to write.</p>
<p><label>Sentence <select id="sentence">{"".join(sentences)}</select></label>
<label>Type <select id="type">{"".join(types)}</select></label></p>
<div id="thumbs"></div><p id="pointed" class="soft"></p><div id="map" class="scroll"></div>"""


def _beginning(pieces: Sequence[str], length: int = 48) -> str:
  """The first words of a sentence, without EOS and the marks of sub-words."""
  marked = any(piece.startswith("\u2581") for piece in pieces)
  text = "".join(pieces[:-1]).replace("\u2581", " ") if marked else " ".join(pieces[:-1])
  return textwrap.shorten(text, length, placeholder=" …")
