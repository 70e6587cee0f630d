"""What pruning did to each function: the heads that had it before and those that have it after."""

import dataclasses

from headprune.analysis.result import Function, Head, Result

UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What happened to a function."""

  function: str
  type: str
  outcome: str  # "kept": a head still has it; "moved": only others have it; "lost"; "new"
  before: tuple[Head, ...]
  after: tuple[Head, ...]


def outcomes(before: Result, after: Result) -> list[Outcome]:
  """What happened to each function.

  In a compact model heads have new numbers: only the layer tells whether a function stayed there.
  """
  old, new = (
    {(f.kind, f.type, f.name): f.heads for f in result.functions} for result in (before, after)
  )
  rows = []
  for key in [*old, *(key for key in new if key not in old)]:
    _, name, function = key
    was, now = old.get(key, ()), new.get(key, ())
    outcome = _outcome(was, now, same_heads(before, after, name))
    rows.append(Outcome(function, name, outcome, was, now))
  return rows


def same_heads(before: Result, after: Result, name: str) -> bool:
  """Whether both have as many heads of an attention type in each layer: the same numbers."""
  shapes = [[len(row) for row in result.heads[name]] for result in (before, after)]
  return shapes[0] == shapes[1]


def _outcome(before: tuple[Head, ...], after: tuple[Head, ...], same_heads: bool) -> str:
  if not before or not after:
    return "lost" if before else "new"
  place = (lambda head: head) if same_heads else (lambda head: head[0])
  return "kept" if {*map(place, before)} & {*map(place, after)} else "moved"


def count_kinds(result: Result) -> dict[str, dict[str, int]]:
  """How many open heads are of each kind (Voita et al. 2019, figure 8).

  Returns:
    Attention type -> kind -> number; the last kind is UNKNOWN. A head with functions of several
    kinds counts as the first of them. Types for which there is no kind are left out.
  """
  counts = {}
  for name in dict.fromkeys(kind.type for kind in result.kinds):
    kinds, found = kinds_of_type(result, name), kinds_of_heads(result, name)
    counts[name] = dict.fromkeys(kinds, 0)
    for head in result.list_open(name):
      counts[name][found.get(head, [UNKNOWN])[0]] += 1
  return counts


def kinds_of_type(result: Result, name: str) -> list[str]:
  """The kinds that heads of an attention type may be of; the last one is UNKNOWN."""
  return [*(kind.name for kind in result.kinds if kind.type == name), UNKNOWN]


def kinds_of_heads(result: Result, name: str) -> dict[Head, list[str]]:
  """The kinds that each head of an attention type is of, in their order; others are left out."""
  kinds, found = kinds_of_type(result, name), {}
  for function in result.functions:
    if function.type == name:
      for head in function.heads:
        found.setdefault(head, set()).add(function.kind)
  return {head: sorted(several, key=kinds.index) for head, several in found.items()}


def describe_kind(result: Result, name: str, kind: str, count: int) -> str:
  """A count and what is known about it: "3 positional (95% interval 2 to 4; 0 by chance)".

  Where there is none: "0 positional (best 68%, needed ≥ 90%)". What adds nothing is left out: an
  interval of one number, no heads by chance where there are none.

  Args:
    result: has the kinds.
    name: attention type.
    kind: its name, or UNKNOWN.
    count: from `count_kinds`.
  """
  parts = []
  for known in result.kinds:
    if (known.type, known.name) == (name, kind):
      if known.nearest:
        parts.append(known.nearest)
      if known.interval and known.interval != (count, count):
        parts.append("95% interval {} to {}".format(*known.interval))
      if known.chance is not None and (count or known.chance):
        parts.append(f"{round(known.chance, 1):g} by chance")
  return f"{count} {kind} ({'; '.join(parts)})" if parts else f"{count} {kind}"


def describe_strength(function: Function) -> str:
  """How strong a function is: "share 95% (94% to 96%), baseline 41%"."""
  text = f"{function.measure} {function.strength:.0%}"
  if function.interval:
    text += " ({:.0%} to {:.0%})".format(*function.interval)
  return text if function.baseline is None else f"{text}, baseline {function.baseline:.0%}"
