"""The report as a page: its parts in order, and the data that its scripts draw."""

from collections.abc import Sequence
import html
import pathlib
import re

from headprune.analysis import template
from headprune.analysis.report import functions, overview, parts, pruning, quality, scores
from headprune.analysis.report import maps as maps_lib
from headprune.analysis.report.maps import Maps
from headprune.analysis.report.pruning import History
from headprune.analysis.report.quality import Quality
from headprune.analysis.result import TITLES, Result, Table

_FOLDER = pathlib.Path(__file__).parent
_SCRIPTS = ("files.js", "maps.js", "lines.js", "pruning.js", "start.js")


def page(
  result: Result,
  before: Sequence[Result] = (),
  *,
  qualities: Sequence[Quality] = (),
  history: History | None = None,
  maps: Sequence[Maps] = (),
) -> str:
  """The report as one HTML page.

  Args:
    result: what was found.
    before: earlier runs' results; outcomes are told against the first of them.
    qualities: what the runs recorded, in order of pruning; the last one is the report's run.
    history: how open the gates were while they were trained.
    maps: attention weights of a few pairs.
  """
  runs = [*before, result]
  sections = [
    overview.picture(runs, bool(maps)),
    pruning.section(history),
    functions.functions(result),
    functions.outcomes(before, result),
    maps_lib.section(result, maps),
    scores.importances(runs, bool(maps)),
    scores.shares(runs, bool(maps)),
    *map(_table, result.tables),
    scores.all_heads(result),
    scores.correlations(result),
  ]
  body = "\n".join(filter(None, sections))
  labels = overview.label_heads(result)
  data = {
    "maps": [vars(m) for m in maps],
    "gates": result.heads,
    "titles": TITLES,
    "labels": {" ".join(map(str, head)): names for head, names in labels.items()},
    "history": history and {name: getattr(history, name) for name in ("steps", "gates", "kind")},
  }
  return template.fill(
    _FOLDER / "page.html",
    [_FOLDER / name for name in _SCRIPTS],
    run=html.escape(result.title),
    top=quality.top(result, qualities),
    contents=_contents(body),
    body=body,
    data=template.script_json(data),
  )


def _contents(body: str) -> str:
  """Links to the sections, by their short names."""
  found = re.findall(r'<section id="([\w-]+)">', body)
  return "".join(f'<a href="#{name}">{name.replace("-", " ")}</a>' for name in found)


def _table(table: Table) -> str:
  name = "-".join(re.findall(r"\w+", table.title.lower()))
  found = parts.table(name, table.columns, table.rows, "Nothing was found.")
  return parts.section(name, table.title, parts.text(table.meaning), found)
