"""Functions of heads as tables: which heads have which, and what pruning did to them."""

from collections.abc import Sequence

from headprune.analysis import compare
from headprune.analysis.report import parts
from headprune.analysis.result import TITLES, Column, Result
from headprune.nn.config import TYPES


def describe_kinds(result: Result) -> list[str]:
  """A sentence for each attention type that may have functions: how many heads are of each kind."""
  return [
    f"{TITLES[name].capitalize()}: "
    f"{', '.join(compare.describe_kind(result, name, *item) for item in kinds.items())}."
    for name, kinds in compare.count_kinds(result).items()
  ]


def functions(result: Result) -> str:
  """Which heads have which function."""
  rows = [
    (
      f.name, TITLES[f.type], len(f.heads), f.heads, f.measure, f.strength,
      *(f.interval or (None, None)), f.baseline,
    )
    for f in result.functions
  ]  # fmt: skip
  columns = (
    Column("function", "text"),
    Column("attention", "text"),
    Column("heads"),
    Column("which", "heads"),
    Column("measure", "text"),
    Column("best head", "percent"),
    Column("95%: from", "percent"),
    Column("to", "percent"),
    Column("baseline", "percent"),
  )
  rules = [f"{kind.name.capitalize()}: {kind.rule}." for kind in result.kinds]
  if any(f.interval for f in result.functions):
    rules.append(
      "The interval is that of the best head's share or accuracy, as if it had not been chosen as "
      "the best of many."
    )
  counts = " ".join(describe_kinds(result))
  nothing = f"No open head passes a threshold.{_why(result)}"
  return parts.section(
    "functions",
    "Functions of heads",
    parts.text(f"{counts} A head counts once, under its first kind."),
    parts.table("functions", columns, rows, nothing),
    parts.folded("When a head has a function", parts.text(" ".join(rules))),
  )


def _why(result: Result) -> str:
  shut = [
    f"no head of {TITLES[name]} is open"
    for name in TYPES
    if any(kind.type == name for kind in result.kinds) and not any(result.list_open(name))
  ]
  return f" ({', '.join(shut).capitalize()}.)" if shut else ""


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
  heading = Column("attention", "text"), Column("kind", "text"), *(Column(r.title) for r in runs)
  return parts.section(
    "before",
    f"Before and after: {runs[0].title}",
    parts.text(_rule(before[0], result)),
    parts.table("outcomes", columns, rows, "Neither run has a head with a function."),
    "<h3>Open heads of each kind</h3>",
    parts.table("kinds", heading, kinds, "No functions were looked for."),
  )


def _rule(before: Result, result: Result) -> str:
  """What the outcomes mean."""
  rule = "Kept: a head that had the function still has it. Moved: only other heads do now."
  renumbered = [TITLES[name] for name in TYPES if not compare.same_heads(before, result, name)]
  if not renumbered:
    return rule
  return (
    f"{rule} Where there are more or fewer heads than before ({', '.join(renumbered)}) they have "
    "new numbers: kept means that a head of the same layer has it, moved that only others' do."
  )
