"""The page: the curve with its runs, and the tables, in one HTML file that needs nothing else."""

from collections.abc import Sequence
import dataclasses
import html
import pathlib

from headprune.analysis import tables, template
from headprune.analysis.result import TITLES, Column
from headprune.curve.aggregate import Group, Setting, Spread, aggregate, control_bleu, groups
from headprune.curve.markdown import markdown, title
from headprune.curve.rows import SPLITS, PValues, Row, names, to_csv
from headprune.nn.config import TYPES

_TEMPLATE = pathlib.Path(__file__).with_name("curve.html")


def page(rows: Sequence[Row], p_values: PValues | None = None) -> str:
  """The page as text.

  Args:
    rows: from rows.rows, at least one.
    p_values: from significance.p_values.
  """
  found = [group for group in groups(rows) if group.settings]
  sections = [
    f"<h1>Quality against heads</h1>\n{_summary(rows)}",
    *(_curve(number, group) for number, group in enumerate(found)),
    _means(rows),
    _runs(rows, p_values),
    _markdown(rows, p_values),
  ]
  data = {"titles": TITLES, "groups": [_data(group, rows, p_values) for group in found]}
  return template.fill(_TEMPLATE, body="\n".join(sections), data=template.script_json(data))


def _summary(rows: Sequence[Row]) -> str:
  count = len({row.run for row in rows})
  return f"""<p class="soft">{count} run{"s" * (count > 1)}. Lines are means over seeds, marks are
single runs: point at one, tap it, or step through them with the arrow keys. Untuned is a model as
it was pruned, before any training. BLEU is in percent, loss in nats a token.</p>"""


def _curve(number: int, group: Group) -> str:
  return f"""<section class="curve" data-group="{number}">
<h2>{html.escape(title(group))}</h2>
<div class="legend"></div><div class="plot"></div><div class="detail" aria-live="polite"></div>
</section>"""


def _data(group: Group, rows: Sequence[Row], p_values: PValues | None) -> dict:
  """What the page's script draws."""
  split, short = group.split, names(rows)
  # A method has one colour before and after training, and each of its forms another.
  colored = lambda setting: dataclasses.replace(setting.rows[0], tuned=True).label
  colors = list(dict.fromkeys(map(colored, group.settings)))
  lines = []
  for label, settings in group.lines.items():
    measured = [setting for setting in settings if setting.bleu[split]]
    lines.append({
      "label": label,
      "tuned": settings[0].tuned,
      "color": colors.index(colored(settings[0])),
      "means": [[setting.kept, setting.bleu[split].mean] for setting in measured],
      "runs": [{"name": short[row.run]} | _run(row, rows, split, p_values)
               for setting in measured for row in setting.rows
               if row.bleu(split) is not None],
    })  # fmt: skip
  bands = [
    {"label": setting.label, "mean": found.mean, "deviation": found.deviation or 0.0}
    for setting in group.unpruned
    if (found := setting.bleu[split])
  ]
  return {"total": group.total, "split": split, "lines": lines, "bands": bands}


def _run(row: Row, rows: Sequence[Row], split: str, p_values: PValues | None) -> dict:
  control = control_bleu(row, rows, split)
  return {
    "seed": row.seed,
    "open": row.open,
    "bleu": row.bleu(split),
    "change": None if control is None else row.bleu(split) - control,
    "p": (p_values or {}).get((row.run, row.tuned)),
    "heads": row.heads,
  }


def _means(rows: Sequence[Row]) -> str:
  columns = (
    Column("method", "text"), Column("may lose heads", "text"), Column("heads"),
    Column("open", "numbered text"), Column("seeds"),
    *(Column(name) for split in SPLITS for name in (f"{split} BLEU", f"{split} ±")),
    *(Column(f"{split} less control", "signed") for split in SPLITS),
  )  # fmt: skip
  cells = [_mean(setting) for setting in aggregate(rows)]
  return f"""<h2>Means over seeds</h2>
{template.download("curve-means.csv", tables.csv(columns, cells))}
{tables.sortable(columns, cells, tall=True)}"""


def _mean(setting: Setting) -> tuple:
  low, high = setting.open
  numbers = [x for split in SPLITS for x in _pair(setting.bleu[split])]
  changes = [_pair(setting.change[split])[0] for split in SPLITS]
  opened = str(low) if low == high else f"{low} to {high}"
  own = setting.label, _short(setting.types), setting.kept, opened, len(setting.rows)
  return *own, *numbers, *changes


def _pair(found: Spread | None) -> tuple:
  return (found.mean, found.deviation) if found else (None, None)


def _short(types: tuple[str, ...]) -> str:
  return "all" if set(types) == set(TYPES) else ", ".join(types)


def _runs(rows: Sequence[Row], p_values: PValues | None) -> str:
  columns = (
    Column("run", "text"), Column("method", "text"), Column("seed"), Column("wanted"),
    Column("open"), *(Column(name) for name in TYPES),
    Column("dev BLEU"), Column("test BLEU"), Column("dev loss"), Column("seconds"), Column("p"),
  )  # fmt: skip
  short = names(rows)
  cells = [
    (
      short[row.run], row.label, row.seed, row.wanted, row.open, *map(sum, row.counts.values()),
      row.dev_bleu, row.test_bleu, row.dev_loss, round(row.seconds),
      (p_values or {}).get((row.run, row.tuned)),
    )
    for row in rows
  ]  # fmt: skip
  width = len(columns) - (p_values is None)
  return f"""<h2>Runs</h2>
{template.download("curve.csv", to_csv(rows, p_values))}
{tables.sortable(columns[:width], [row[:width] for row in cells], tall=True)}"""


def _markdown(rows: Sequence[Row], p_values: PValues | None) -> str:
  return f"""<details><summary>As Markdown</summary>
<pre class="scroll">{html.escape(markdown(rows, p_values))}</pre></details>"""
