"""The top of the report: quality before and after, and which heads live and what they do."""

from collections.abc import Sequence
import dataclasses
import html

from headprune.analysis import compare, tables
from headprune.analysis.report import grid, parts
from headprune.analysis.result import TITLES, Column, Head, Result
from headprune.nn.config import TYPES
from headprune.runs.summary import Summary

_MEASURES = (  # field of the summary, what it is called, digits
  ("dev_bleu", "dev BLEU", 2),
  ("test_bleu", "test BLEU", 2),
  ("dev_loss", "dev loss", 4),
  ("dev_perplexity", "perplexity", 2),
)
_UNKNOWN = "var(--unknown)"
_SCALE = 1.2


@dataclasses.dataclass(frozen=True)
class Quality:
  """What a run recorded when it was trained."""

  run: str
  summary: Summary | None  # None: not finished, or another checkpoint is shown
  heads: dict  # attention type -> layer -> test-time gates


def top(result: Result, qualities: Sequence[Quality]) -> str:
  """The title, what the text was, and how good the runs are, in order of pruning."""
  notes = " ".join(result.notes)
  sentence = (
    f"{_count(result.heads)} heads open. Measured on {result.sentences:,} sentence pairs. {notes}"
  )
  return f"""<h1>Heads of {html.escape(result.run)}</h1>
{parts.text(sentence, soft=True)}
{_qualities(qualities)}"""


def _qualities(qualities: Sequence[Quality]) -> str:
  rows = []
  for field, name, digits in _MEASURES:
    values = [getattr(quality.summary, field, None) for quality in qualities]
    if values[-1:] != [None] and values:
      cells = ["" if value is None else f"{value:.{digits}f}" for value in values]
      change = ""
      if len(values) > 1 and values[0] is not None:  # of the numbers that stand beside it
        change = f"{float(cells[-1]) - float(cells[0]):+.{digits}f}"
      rows.append((name, *cells, change))
  if not rows:
    return ""
  rows.append(("heads open", *(_count(quality.heads) for quality in qualities), ""))
  several = len(qualities) > 1
  head = "".join(f"<th>{html.escape(quality.run)}</th>" for quality in qualities)
  head += "<th>change</th>" * several
  lines = "".join(
    f'<tr><th class="text">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}'
    f"{f'<td>{change}</td>' * several}</tr>"
    for name, *cells, change in rows
  )
  signature = qualities[-1].summary.signature
  return f"""<div class="scroll"><table class="quality"><thead><tr><th></th>{head}</tr></thead>
<tbody>{lines}</tbody></table></div>
{parts.text(f"As the runs recorded it. Loss in nats a token; BLEU: {signature}", soft=True)}"""


def _count(heads: dict) -> str:
  gates = [gate for layers in heads.values() for row in layers for gate in row]
  return f"{sum(gate > 0 for gate in gates)} of {len(gates)}"


def picture(runs: Sequence[Result], maps: bool) -> str:
  """All heads of each run, coloured by what they do.

  Args:
    runs: the last one is the report's; functions are coloured as its kinds are.
    maps: whether a click on a head of the last run shows its map.
  """
  kinds = list(dict.fromkeys(kind.name for kind in runs[-1].kinds))
  rows = [_of_run(run, kinds, len(runs) > 1, maps and run is runs[-1]) for run in runs]
  hint = " Click a head to see where it looks." if maps else ""
  return parts.section(
    "overview",
    "Which heads live, and what they do",
    _legend(runs[-1], kinds),
    *rows,
    parts.text(
      "Layer 1 is the lowest row; heads are named layer.head, both counted from 1. A head with "
      f"several functions has several colours, an outline is a closed head.{hint}",
      soft=True,
    ),
  )


def _of_run(run: Result, kinds: Sequence[str], named: bool, maps: bool) -> str:
  grids, labels = [], label_heads(run)
  for name, gates in run.heads.items():
    found = compare.kinds_of_heads(run, name)

    def cell(head: Head, name=name, gates=gates, found=found) -> grid.Cell:
      own = found.get(head, ())
      doing = ", ".join(labels.get((name, *head), ())) or compare.UNKNOWN
      tip = f"{TITLES[name]} {tables.name_head(head)}: "
      if gates[head[0]][head[1]] == 0:
        return grid.Cell("", tip + "closed")
      colors = tuple(_color(kinds, kind) for kind in own) or (_UNKNOWN,)
      return grid.Cell("".join(kind[0].upper() for kind in own), tip + doing, colors)

    title = f"{TITLES[name]}: {_count({name: gates})}"
    grids.append(grid.draw(title, list(map(len, gates)), cell, name if maps else "", _SCALE))
  title = f"<h3>{html.escape(run.run)}</h3>" if named else ""
  return title + parts.figure(f"{run.run}-functions", grids)


def _legend(result: Result, kinds: Sequence[str]) -> str:
  counts = dict.fromkeys([*kinds, compare.UNKNOWN], 0)
  total = 0
  for name, layers in result.heads.items():
    found = compare.kinds_of_heads(result, name)
    total += sum(map(len, layers))
    for head in result.open_heads(name):
      counts[found.get(head, [compare.UNKNOWN])[0]] += 1
  items = [
    f'<li><i style="background:{_color(kinds, kind)}">{kind[0].upper() if kind in kinds else ""}'
    f"</i>{html.escape(kind)} {count}</li>"
    for kind, count in counts.items()
  ]
  closed = f'<li><i class="shut"></i>closed {total - sum(counts.values())}</li>'
  return f'<ul class="legend">{"".join(items)}{closed}</ul>'


def _color(kinds: Sequence[str], kind: str) -> str:
  return f"var(--c{kinds.index(kind) % 8})" if kind in kinds else _UNKNOWN


def label_heads(result: Result) -> dict[tuple[str, int, int], list[str]]:
  """The functions of each head that has any: (type, layer, head) -> names."""
  labels = {}
  for function in result.functions:
    for head in function.heads:
      labels.setdefault((function.type, *head), []).append(function.name)
  return labels


def describe_kinds(result: Result) -> list[str]:
  """A sentence for each attention type that may have functions: how many heads are of each kind."""
  return [
    f"{TITLES[name].capitalize()}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}."
    for name, kinds in compare.count_kinds(result).items()
  ]


def functions(result: Result) -> str:
  """Which heads have which function."""
  rows = []
  for f in result.functions:
    strength = f"{f.measure} {f.strength:.0%}"
    strength += "" if f.baseline is None else f", baseline {f.baseline:.0%}"
    rows.append((f.name, TITLES[f.type], len(f.heads), f.heads, strength))
  columns = (
    Column("function", "text"),
    Column("attention", "text"),
    Column("heads"),
    Column("which", "heads"),
    Column("how strong", "text"),
  )
  rules = " ".join(f"{kind.name.capitalize()}: {kind.rule}." for kind in result.kinds)
  counts = " ".join(describe_kinds(result))
  nothing = f"No open head passes a threshold.{_why(result)}"
  return parts.section(
    "functions",
    "Functions of heads",
    parts.text(f"{counts} A head counts once, under its first kind."),
    parts.table("functions", columns, rows, nothing),
    parts.folded("When a head has a function", parts.text(f"{rules} How strong: the best head.")),
  )


def _why(result: Result) -> str:
  closed = [
    f"all heads of {TITLES[name]} are closed"
    for name in TYPES
    if any(kind.type == name for kind in result.kinds) and not any(result.open_heads(name))
  ]
  return f" (Of those that may have functions, {' and '.join(closed)}.)" if closed else ""


def outcomes(before: Sequence[Result], result: Result) -> str:
  """What pruning did to each function, against the first of the earlier runs."""
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
  return parts.section(
    "before",
    f"Before and after: {runs[0].run}",
    parts.text("Kept: a head that had the function still has it. Moved: only other heads do now."),
    parts.table("outcomes", columns, rows, "Neither run has a head with a function."),
    "<h3>Open heads of each kind</h3>",
    parts.table("kinds", heading, kinds, "No functions were looked for."),
  )
