"""Tables of all runs as Markdown, for a terminal or a README."""

from collections.abc import Callable, Sequence

from headprune.analysis.result import TITLES
from headprune.curve.aggregate import Group, Setting, Spread, groups, hits
from headprune.curve.points import BASELINE, CONTROL
from headprune.curve.rows import MRT, PValues, Row
from headprune.curve.significance import LEVEL
from headprune.nn.config import TYPES


def markdown(rows: Sequence[Row], p_values: PValues | None = None) -> str:
  """Tables with a line for each number of heads and a column for each method.

  Args:
    rows: from rows.rows.
    p_values: from significance.p_values.
  """
  parts = [_group(group, p_values) for group in groups(rows)]
  reached, learned = hits(rows)
  if learned:
    parts.append(f"Wanted count hit in {reached} of {learned} runs that learned what to keep.")
  return "\n\n".join(parts) + "\n"


def _group(group: Group, p_values: PValues | None) -> str:
  parts = [_unpruned(group)]
  if not group.settings:
    return parts[0]
  n = len(max(group.settings, key=lambda setting: len(setting.rows)).rows)
  parts.append(
    f"{group.split.capitalize()} BLEU by heads kept of {group.total} ({title(group)}): "
    "mean ± standard deviation, in brackets the mean difference to the control of the same seed; "
    f"{seeds(n)} unless n is given."
  )
  parts.append(_table(group.settings, lambda setting: _bleu(setting, group.split, n)))
  if p_values is not None:
    parts.append(
      f"Runs that differ from their control with p < {LEVEL} (paired bootstrap of sacreBLEU):"
    )
    parts.append(_table(group.settings, lambda setting: _significant(setting, p_values)))
  if len(group.types) > 1:
    parts.append(f"Open heads, means: {' / '.join(TITLES[name] for name in TYPES)}.")
    parts.append(_table([setting for setting in group.settings if setting.tuned], _open))
  return "\n\n".join(parts)


def title(group: Group) -> str:
  """The attention types of a group in words, and its text where others have another."""
  every = set(group.types) == set(TYPES)
  types = "all attention types" if every else ", ".join(TITLES[name] for name in group.types)
  return f"{types}; {group.text}" if group.text else types


def seeds(n: int) -> str:
  return "1 seed" if n == 1 else f"{n} seeds"


def _unpruned(group: Group) -> str:
  """How good the models are that were not pruned."""
  meanings = {
    BASELINE: "Baseline",
    CONTROL: "Control, trained on as long without gates",
    MRT: "Minimum risk training without gates",
  }
  found = [
    f"{one.label.replace(one.method, meanings[one.method], 1)}: "
    f"{_spread(one.bleu[group.split])} ({seeds(len(one.rows))})."
    for one in group.unpruned
  ]
  of = f" ({group.text})" if group.text else ""
  return " ".join([f"{group.split.capitalize()} BLEU with all heads{of}.", *found])


def _spread(found: Spread | None) -> str:
  if found is None:
    return "not measured"
  return f"{found.mean:.1f}" + ("" if found.deviation is None else f" ± {found.deviation:.1f}")


def _bleu(setting: Setting, split: str, n: int) -> str:
  cell, change = _spread(setting.bleu[split]), setting.change[split]
  if change:
    few = f", n={change.n}" if change.n < len(setting.rows) else ""  # others have no control
    cell += f" ({signed(change.mean)}{few})"
  return cell if len(setting.rows) == n else f"{cell}, n={len(setting.rows)}"


def signed(value: float) -> str:
  """A difference with one digit, without a sign on zero."""
  text = f"{value:+.1f}"
  return "0.0" if text in ("+0.0", "-0.0") else text


def _significant(setting: Setting, p_values: PValues) -> str:
  found = [p_values[row.run, row.tuned] for row in setting.rows if (row.run, row.tuned) in p_values]
  return f"{sum(p < LEVEL for p in found)} of {len(found)}" if found else ""


def _open(setting: Setting) -> str:
  return " / ".join(f"{count:.1f}" for count in setting.by_type.values())


def _table(settings: Sequence[Setting], cell: Callable[[Setting], str]) -> str:
  """Numbers of heads, most first, by methods."""
  cells = {}
  for setting in settings:
    cells.setdefault((setting.kept, setting.label), []).append(cell(setting))
  labels = list(dict.fromkeys(setting.label for setting in settings))
  lines = [["heads", *(label.replace("|", "\\|") for label in labels)]]
  lines.append(["---"] * (1 + len(labels)))
  for kept in sorted({setting.kept for setting in settings}, reverse=True):
    lines.append([str(kept), *("; ".join(cells.get((kept, label), ())) for label in labels)])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)
