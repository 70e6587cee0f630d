"""The report: one HTML file that needs nothing else, from the dict that `survey` makes."""

import base64
from collections.abc import Iterable, Sequence
import html
import json
import pathlib
import string
import textwrap

from headprune.analysis import compare, figures

_TEMPLATE = pathlib.Path(__file__).with_name("report.html")
_SCORES = {
  "gate": "test-time gate",
  "p_open": "P(open)",
  "confidence": "confidence",
  "relevance": "relevance",
  "gradient": "gradient",
  "loss": "loss if closed",
  "bleu": "BLEU lost if closed",
}
_MEANINGS = {
  "confidence": "mean over tokens of the largest weight, EOS excluded",
  "relevance": "share of the layer's relevance for the most likely word (LRP)",
  "gradient": "mean |g dL / dg| over sentences, g a head's gate; each layer divided by its l2 norm",
  "loss": "increase of -log p per target token when this head alone is closed",
  "bleu": "percent points of BLEU lost when this head alone is closed",
}


def write(result: dict, path: pathlib.Path, pictures: dict[str, bytes]) -> None:
  """Writes the report.

  Args:
    result: from survey.survey, with "maps" (survey.maps) and, if there was something to compare
      with, "before" (earlier runs, the first of which outcomes refer to) and "outcomes".
    path: the HTML file.
    pictures: "gates.svg" and "gates.gif", of a run that learned its gates.
  """
  sections = [
    _summary(result),
    _functions(result),
    _outcomes(result),
    _relations(result),
    _grids(result),
    _shares(result),
    _all_heads(result),
    _correlations(result),
    _gates(pictures),
    _maps(result),
  ]
  page = string.Template(_TEMPLATE.read_text(encoding="utf-8"))
  body = "\n".join(filter(None, sections))
  maps = _json({"maps": result["maps"], "gates": result["heads"]})
  text = page.substitute(run=html.escape(result["run"]), body=body, maps=maps)
  path.write_text(text, encoding="utf-8")


def name_head(head: Sequence[int]) -> str:
  """Layer and head as people count them, from 1."""
  return f"{head[0] + 1}.{head[1] + 1}"


def _json(value) -> str:
  """JSON that cannot end its <script> element."""
  return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _summary(result: dict) -> str:
  count = result["sentences"]
  total = sum(len(row) for layers in result["heads"].values() for row in layers)
  left = sum(gate > 0 for layers in result["heads"].values() for row in layers for gate in row)
  parsed = f" and {count['parsed']:,} parsed sentences" if count["parsed"] else ""
  return f"""<h1>Heads of {html.escape(result["run"])}</h1>
<p class="soft">{left} of {total} heads open. Measured on {count["text"]:,} sentence pairs{parsed};
-log p {result["loss"]:.4f} per target token. Heads are named layer.head, both counted from 1;
a cross (×) is a closed head.</p>"""


def _functions(result: dict) -> str:
  limits = result["options"]["limits"]
  rows = [
    [_text(name), len(heads), _heads(heads), _strength(result, name, heads)]
    for name, heads in result["functions"].items()
  ]
  kinds = ", ".join(f"{count} {kind}" for kind, count in result["kinds"].items())
  found = _table([("function", True), "heads", ("which", True), ("how strong", True)], rows)
  nothing = "<p>No open encoder head passes a threshold.</p>"
  return f"""<h2>Functions of encoder heads</h2>
<p>Positional: at least {limits["positional"]:.0%} of the largest weights at one relative position
that half of all tokens have. Syntactic: at least {100 * limits["syntactic"]:.0f} points above
always pointing at the relation's most frequent offset, in at least {limits["cases"]} cases.
Rare words: at least {limits["rare"]:.0%} of the largest weights on the sentence's least frequent
token. A head counts once, under its first kind: {kinds}.</p>
{found if rows else nothing}
{"" if result["aligning"] is None else f"<p>{aligning(result)}.</p>"}"""


def aligning(result: dict) -> str:
  """How many open heads of cross-attention align words, and which."""
  heads = result["aligning"]
  total = sum(gate > 0 for row in result["heads"]["dec_enc"] for gate in row)
  limit = result["options"]["limits"]["aligning"]
  which = f": {', '.join(map(name_head, heads))}" if heads else ""
  return (
    f"{len(heads)} of {total} open cross-attention heads align words (error rate of at most "
    f"{limit:.0%}){which}"
  )


def _strength(result: dict, name: str, heads) -> tuple:
  """The best share among the heads, and its baseline."""
  values = result["encoder"]["rarest" if name == "rare words" else name]
  best = max(values[n][h] for n, h in heads)
  baseline = result["relations"].get(name, {}).get("baseline")
  return _text(f"{best:.0%}" + ("" if baseline is None else f", baseline {baseline:.0%}"))


def _outcomes(result: dict) -> str:
  if "outcomes" not in result:
    return ""
  rows = [
    [_text(r["function"]), _text(r["outcome"]), _heads(r["before"]), _heads(r["after"])]
    for r in result["outcomes"]
  ]
  columns = [("function", True), ("outcome", True), ("heads before", True), ("heads after", True)]
  runs = [*result["before"], result]
  counts = [[_text(kind), *(run["kinds"][kind] for run in runs)] for kind in compare.KINDS]
  return f"""<h2>Before and after: {html.escape(runs[0]["run"])}</h2>
<p>Kept: a head that had the function still has it. Moved: only other heads have it now.</p>
{_table(columns, rows)}
<h3>Open encoder heads of each kind</h3>
{_table([("kind", True), *(run["run"] for run in runs)], counts)}"""


def _relations(result: dict) -> str:
  rows = []
  gates = result["heads"]["enc_self"]
  open_heads = [(n, h) for n, row in enumerate(gates) for h, gate in enumerate(row) if gate > 0]
  for name, facts in result["relations"].items() if open_heads else ():
    accuracy, best = max((result["encoder"][name][n][h], (n, h)) for n, h in open_heads)
    difference = f"{100 * (accuracy - facts['baseline']):+.1f}"
    shares = _percent(accuracy), _percent(facts["baseline"]), difference
    rows.append([_text(name), facts["cases"], *shares, f"{facts['offset']:+d}", _head(best)])
  if not rows:
    return ""
  columns = [("relation", True), "cases", "best head", "baseline", "difference", "offset", "head"]
  return f"""<h2>Syntactic relations</h2>
<p>How often the largest weight (EOS excluded) is on the related word. A word's weight is the sum
over its pieces; the weights of the word that looks are the mean over its pieces.</p>
{_table(columns, rows)}"""


def _grids(result: dict) -> str:
  parts = []
  for score, by_type in result["scores"].items():
    title, meaning = _SCORES.get(score, score), _MEANINGS.get(score, "")
    values = [x for layers in by_type.values() for row in layers for x in row]
    top = max([*values, 1e-9])
    tables = "".join(
      f"<div><h4>{figures.TITLES[name]}</h4>{_grid(layers, result['heads'][name], top)}</div>"
      for name, layers in by_type.items()
    )
    explained = f'<p class="soft">{meaning}</p>' if meaning else ""
    title = f"<h3>{title[0].upper()}{title[1:]}</h3>"
    parts.append(f'{title}{explained}<div class="grids">{tables}</div>')
  return "<h2>Heads by layer</h2>" + "\n".join(parts)


def shown_shares(result: dict) -> list[str]:
  """Names of the shares that are drawn: all but those of positions further away than one."""
  near = {f"position {offset:+d}" for offset in (-1, 0, 1)}
  return [n for n in result["encoder"] if not n.startswith("position ") or n in near]


def _shares(result: dict) -> str:
  gates = result["heads"]["enc_self"]
  parts = [
    f"<div><h4>{html.escape(name)}</h4>{_grid(result['encoder'][name], gates, 1.0)}</div>"
    for name in shown_shares(result)
  ]
  return f"""<h2>Where encoder heads look</h2>
<p>How often a head's largest weight is there; the full colour would be always.</p>
<div class="grids">{"".join(parts)}</div>"""


def _grid(layers, gates, top: float) -> str:
  width = max(map(len, layers))
  head = "".join(f"<th>{h + 1}</th>" for h in range(width))
  rows = []
  for n in reversed(range(len(layers))):
    cells = []
    for value, gate in zip(layers[n], gates[n]):
      shade = min(1.0, max(0.0, value / top))
      look = f'style="--x:{shade:.3f}"' if gate > 0 else 'class="shut"'
      cells.append(f"<td {look}>{_number(value) if gate > 0 else '×'}</td>")
    rows.append(f"<tr><th>{n + 1}</th>{''.join(cells)}{'<td></td>' * (width - len(cells))}</tr>")
  return f'<table class="grid"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _all_heads(result: dict) -> str:
  scores = result["scores"]
  rows = []
  for name, layers in result["heads"].items():
    for n, row in enumerate(layers):
      for h in range(len(row)):
        values = [_number(s[name][n][h]) if name in s else "" for s in scores.values()]
        labels = ", ".join(result["labels"][n][h]) if name == "enc_self" else ""
        rows.append([_text(figures.TITLES[name]), _head((n, h)), *values, _wrapped(labels)])
  columns = [("type", True), "head", *(_SCORES.get(s, s) for s in scores), ("functions", True)]
  return f"<h2>All heads</h2>{_table(columns, rows, tall=True)}"


def _correlations(result: dict) -> str:
  parts = []
  for name, found in result["correlations"].items():
    names = [_SCORES.get(score, score) for score in found["names"]]
    rows = [[_text(r), *(f"{x:+.2f}" for x in row)] for r, row in zip(names, found["matrix"])]
    parts.append(f"<h3>{figures.TITLES[name]}</h3>{_table([('score', True), *names], rows)}")
  if not parts:
    return ""
  return "<h2>Do the scores agree?</h2><p>Spearman's rank correlation over the open heads.</p>" + (
    "\n".join(parts)
  )


def _gates(pictures: dict[str, bytes]) -> str:
  kinds = {"svg": "image/svg+xml", "gif": "image/gif"}
  captions = {
    "gates.svg": "P(open) of each head while the gates were trained.",
    "gates.gif": "P(gate = 0) of each layer and head; black is closed.",
  }
  parts = []
  for name, data in pictures.items():
    source = f"data:{kinds[name.rpartition('.')[2]]};base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{captions[name]}">'
    parts.append(f"<figure>{image}<figcaption>{captions[name]}</figcaption></figure>")
  return "<h2>Gates while pruning</h2>" + "\n".join(parts) if parts else ""


def _maps(result: dict) -> str:
  if not result["maps"]:
    return ""
  sentences = [
    f'<option value="{i}">{html.escape(_start(m["source"]))}</option>'
    for i, m in enumerate(result["maps"])
  ]
  types = [f'<option value="{name}">{figures.TITLES[name]}</option>' for name in result["heads"]]
  return f"""<h2>Attention maps</h2>
<p>Each row is a token that looks, each column one that is looked at; choose a head, then point at a
cell. Rows of the decoder are named by the piece that it is about to write.</p>
<p><label>Sentence <select id="sentence">{"".join(sentences)}</select></label>
<label>Type <select id="type">{"".join(types)}</select></label></p>
<div id="thumbs"></div><p id="says" class="soft"></p><div id="map" class="scroll"></div>"""


def _start(pieces: Sequence[str], length: int = 48) -> str:
  """The beginning of a sentence, without EOS and the marks of sub-words."""
  marked = any(piece.startswith("\u2581") for piece in pieces)
  text = "".join(pieces[:-1]).replace("\u2581", " ") if marked else " ".join(pieces[:-1])
  return textwrap.shorten(text, length, placeholder=" …")


def _table(columns: Iterable, rows: list[list], tall: bool = False) -> str:
  """A sortable table; a column is its name, or (name, whether it is text)."""
  head = []
  for column in columns:
    name, is_text = column if isinstance(column, tuple) else (column, False)
    look = ' class="text"' if is_text else ""
    head.append(f"<th{look}><button>{html.escape(name)}</button></th>")
  body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
  scroll = "scroll tall" if tall else "scroll"
  return f"""<div class="{scroll}"><table class="sortable"><thead><tr>{"".join(head)}</tr></thead>
<tbody>{body}</tbody></table></div>"""


def _cell(value) -> str:
  """A number or string as it is, or (attributes of the cell, text)."""
  look, text = value if isinstance(value, tuple) else ("", str(value))
  return f"<td{look}>{html.escape(text)}</td>"


def _text(value: str) -> tuple[str, str]:
  return ' class="text"', value


def _wrapped(value: str) -> tuple[str, str]:
  return ' class="text wrap"', value


def _heads(heads: Iterable) -> tuple[str, str]:
  return _wrapped(", ".join(map(name_head, heads)) or "none")


def _head(head: Sequence[int]) -> tuple[str, str]:
  """Sorts 1.10 behind 1.9."""
  return f' data-value="{1000 * head[0] + head[1]}"', name_head(head)


def _percent(value: float) -> str:
  return f"{100 * value:.1f}%"


def _number(value: float) -> str:
  """Three digits, without a sign on zero."""
  return f"{value:.3f}".replace("-0.000", "0.000")
