"""Scores of heads: grids, of several runs side by side, the table of all heads, correlations."""

from collections.abc import Iterator, Sequence
import html

from headprune.analysis.report import grid, parts
from headprune.analysis.report.overview import label_heads
from headprune.analysis.result import IMPORTANCE, SHARE, TITLES, Column, Result, Score


def importances(runs: Sequence[Result], maps: bool) -> str:
  """How much each head matters, and how sure it is.

  Args:
    runs: the last one is the report's; the others stand beside it.
    maps: whether a click on a head of the last run shows its map.
  """
  found = []
  for score in _drawn(runs[-1], IMPORTANCE):
    panels = [(name, TITLES[name], score) for name in score.values]
    found.append(f"<h3>{html.escape(score.heading)}</h3>{parts.text(score.meaning, soft=True)}")
    found += _figures(score.key, panels, runs, maps)
  return parts.section("importance", "Heads by layer", *found)


def shares(runs: Sequence[Result], maps: bool) -> str:
  """How often the largest weight of each head is at one kind of place; arguments as above."""
  panels = []
  for score in _drawn(runs[-1], SHARE):
    for name in score.values:
      panels.append((name, f"{score.title}, {TITLES[name]}", score))
  if not panels:
    return ""
  intro = "How often a head's largest weight is there; the full colour would be always."
  grids = _figures("shares", panels, runs, maps)
  return parts.section("shares", "Where heads look", parts.text(intro), *grids)


def _drawn(result: Result, kind: str) -> list[Score]:
  return [score for score in result.scores if score.drawn and score.kind == kind]


def _full(score: Score, runs: Sequence[Result]) -> float:
  """The value of full colour: the largest of open heads of all runs, or what the score says."""
  if score.full is not None:
    return score.full
  values = [
    other.values[name][n][h]
    for run in runs
    for other in run.scores
    if other.key == score.key
    for name in other.values
    for n, h in run.list_open(name)
  ]
  return max([*values, 1e-9])


def _figures(
  key: str, panels: Sequence[tuple[str, str, Score]], runs: Sequence[Result], maps: bool
) -> list[str]:
  """Grids of (type, title, score); those of types without an open head are folded away."""
  live, folded = [], {}
  for name, title, score in panels:
    picture = f'<div class="pair">{"".join(_pair(name, title, score, runs, maps))}</div>'
    is_live = any(runs[-1].list_open(name))
    (live if is_live else folded.setdefault(name, [])).append(picture)
  found = [parts.figure(key, live)] if live else []
  for name, pictures in folded.items():
    reason = f"{TITLES[name].capitalize()}: no head is open in {runs[-1].title}"
    found.append(parts.folded(reason, parts.figure(f"{key}-{name}", pictures)))
  return found


def _pair(name: str, title: str, score: Score, runs: Sequence[Result], maps: bool) -> Iterator[str]:
  """The grid of each run that has the score."""
  full = _full(score, runs)
  for run in runs:
    same = {other.key: other.values for other in run.scores}.get(score.key, {})
    if name in same:
      heading = f"{title} · {run.title}" if len(runs) > 1 else title
      own = name if maps and run is runs[-1] else ""
      yield grid.of_score(heading, same[name], run.heads[name], full, own)


def all_heads(result: Result) -> str:
  """The table of all heads, those that are open first."""
  scores = [score for score in result.scores if score.kind == IMPORTANCE]
  labels, rows = label_heads(result), {True: [], False: []}
  for name, layers in result.heads.items():
    for n, h in ((n, h) for n, row in enumerate(layers) for h in range(len(row))):
      values = [s.values[name][n][h] if name in s.values else None for s in scores]
      functions = ", ".join(labels.get((name, n, h), ()))
      rows[layers[n][h] > 0].append((TITLES[name], (n, h), *values, functions))
  columns = (
    Column("type", "text"),
    Column("head", "head"),
    *(Column(score.title) for score in scores),
    Column("functions", "wrapped text"),
  )
  closed = parts.table("closed-heads", columns, rows[False], "", tall=True)
  return parts.section(
    "heads",
    "All heads",
    parts.table("open-heads", columns, rows[True], "No head is open.", tall=True),
    parts.folded(f"Closed heads: {len(rows[False])}", closed) if rows[False] else "",
  )


def correlations(result: Result) -> str:
  """Whether the importances agree."""
  found = []
  for one in result.correlations:
    names = [result.score(key).title for key in one.scores]
    rows = [(name, *row) for name, row in zip(names, one.matrix)]
    columns = Column("score", "text"), *(Column(name, "signed") for name in names)
    count = sum(1 for _ in result.list_open(one.type))
    found.append(f"<h3>{TITLES[one.type].capitalize()}, n = {count} open heads</h3>")
    found.append(parts.table(f"correlations-{one.type}", columns, rows, ""))
  if not found:
    return ""
  intro = "Spearman's rank correlation over the open heads; with few of them it says little."
  return parts.section("agreement", "Do the scores agree?", parts.text(intro), *found)
