"""Which heads are open in each run, in one small file that `gates.fixed_from` can name."""

from collections.abc import Sequence

from headprune.curve.rows import UNPRUNED, Row, names
from headprune.runs.heads import Lists


def structures(rows: Sequence[Row]) -> dict[str, Lists]:
  """Short name of each pruned run -> 1 for each open head, else 0; `FILE#NAME` finds one."""
  pruned = [row for row in rows if row.method not in UNPRUNED]
  short = names(pruned)
  return {
    short[row.run]: {
      name: [[int(gate > 0) for gate in layer] for layer in layers]
      for name, layers in row.heads.items()
    }
    for row in pruned
  }
