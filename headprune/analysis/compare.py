"""What pruning did to each function: the heads that had it before and those that have it after."""

from collections.abc import Sequence

Head = tuple[int, int]  # layer and head, from 0
Labels = Sequence[Sequence[Sequence[str]]]  # layer -> head -> names of functions

KINDS = ("positional", "syntactic", "rare words", "unknown")


def holders(labels: Labels, gates: Sequence[Sequence[float]]) -> dict[str, list[Head]]:
  """Function -> the open heads that have it.

  Args:
    labels: from functions.label.
    gates: layer -> head -> test-time gate; heads without an entry are not there.
  """
  found = {}
  for n, row in enumerate(gates):
    for h, gate in enumerate(row):
      for name in labels[n][h] if gate > 0 else ():
        found.setdefault(name, []).append((n, h))
  return found


def outcomes(before: dict, after: dict, same_heads: bool) -> list[dict]:
  """What happened to each function.

  Args:
    before: function -> heads, from `holders`.
    after: the same of the pruned model.
    same_heads: whether head h of a layer is the same one in both. In a compact model, whose heads
      have new numbers, only the layer tells whether a function stayed where it was.
  Returns:
    Rows with function, outcome ("kept": a head still has it; "moved": only others have it;
    "lost"; "new") and the heads before and after.
  """
  place = tuple if same_heads else (lambda head: head[0])  # JSON has lists for heads
  rows = []
  for name in [*before, *(name for name in after if name not in before)]:
    old, new = before.get(name, []), after.get(name, [])
    if not old or not new:
      outcome = "lost" if old else "new"
    else:
      outcome = "kept" if {*map(place, old)} & {*map(place, new)} else "moved"
    rows.append({"function": name, "outcome": outcome, "before": old, "after": new})
  return rows


def kind(names: Sequence[str]) -> str:
  """The one kind a head is counted as; a head with several counts as the first of KINDS."""
  kinds = {_kind(name) for name in names} or {"unknown"}
  return min(kinds, key=KINDS.index)


def _kind(name: str) -> str:
  if name.startswith("position "):
    return "positional"
  return "rare words" if name == "rare words" else "syntactic"


def count_kinds(labels: Labels, gates: Sequence[Sequence[float]]) -> dict[str, int]:
  """How many open heads are of each kind (Voita et al. 2019, figure 8)."""
  counts = dict.fromkeys(KINDS, 0)
  for n, row in enumerate(gates):
    for h, gate in enumerate(row):
      if gate > 0:
        counts[kind(labels[n][h])] += 1
  return counts
