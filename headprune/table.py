"""Compares finished runs: `headprune table runs/*`.

Prints, as Markdown, BLEU by method and number of heads: means over the seeds, their standard
deviation, and the difference to the control of the same seed, a run that was trained on as long
from the same start without gates. Runs that differ in more than their seed stand apart, under a
name that says in what, models of another size or text in tables of their own. A run's method is
told by its config: baseline, control, mrt, l0, topk, scratch, or what config.gates.chosen_by says
(fixed if nothing). Folders without a finished run are left out, and a note names them. With --out
it also writes curve.csv (a line a run), curve.md, curve.html (an interactive page that needs
nothing else), figures, and structures.json, whose entries --config.gates.fixed_from takes as
FOLDER/structures.json#NAME.
"""

import argparse
import pathlib

from headprune import cli
from headprune.curve import aggregate, output, significance, speeds
from headprune.curve import rows as rows_lib
from headprune.curve.structures import structures
from headprune.errors import UserError
from headprune.files import write_json
from headprune.runs.workdir import Workdir


def main() -> None:
  args = _parse()
  rows = rows_lib.rows(args.runs)
  if not rows:
    raise UserError("none of these folders is a finished run: name some, such as runs/*")
  if args.structures:
    write_json(pathlib.Path(args.structures), structures(rows), indent=None)
  if args.out:
    Workdir.at(args.out).check_writable()
  p_values = None
  if args.significance:
    p_values = significance.p_values(rows, aggregate.common_split(rows))
  timed = speeds.measure(rows) if args.speed else ()
  print(output.text(rows, p_values, timed), end="")
  if args.out:
    output.write(rows, pathlib.Path(args.out), p_values, timed)
    print(f"\nfiles: {args.out}")


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune table", description=__doc__)
  add = parser.add_argument
  add("runs", nargs="+", metavar="RUN", help="folders of runs; others among them are left out")
  add(
    "--out", metavar="FOLDER",
    help="also write tables, figures, a page and structures there",
  )  # fmt: skip
  add(
    "--significance", action="store_true",
    help="test each run against its control by sacreBLEU's paired bootstrap (needs the text)",
  )  # fmt: skip
  add(
    "--speed", action="store_true",
    help="time the compact models of the first seed against the unpruned one (minutes)",
  )  # fmt: skip
  add(
    "--structures", metavar="FILE",
    help="write the open heads of all runs to a JSON file",
  )  # fmt: skip
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
