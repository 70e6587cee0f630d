"""Tells when the heads of runs get their functions: `headprune trend --workdir runs/x runs/y`.

At each kept checkpoint it counts the open heads that have each kind of function (positional,
syntactic, rare words, aligning, idle; a head may have several) and says what the strongest head
reaches, enough or not. Rules and options are as in `headprune analyze`. It writes trend.json,
trend.csv and figures/trend.svg into the first run's folder. The text is the dev set that each run's
config names, or --text.
"""

import argparse
from collections.abc import Iterator, Sequence
import dataclasses

from headprune import cli
from headprune.analysis import subject as subject_lib
from headprune.analysis import survey, trend_figure
from headprune.analysis import trend as trend_lib
from headprune.analysis.drawing import render
from headprune.analysis.plug import Plan
from headprune.analysis.subject import Subject
from headprune.analysis.trend import Checkpoint
from headprune.errors import UserError
from headprune.files import write_bytes, write_json, write_text
from headprune.meter import Meter
from headprune.runs import config as config_lib
from headprune.runs import metrics, stored
from headprune.runs.run import load
from headprune.runs.workdir import Workdir, name_runs


def main() -> None:
  args = _parse()
  named = () if args.checkpoints == "all" else [x.strip() for x in args.checkpoints.split(",")]
  steps = {path: _steps(path, named) for path in args.workdir}
  names, workdir = name_runs(args.workdir), Workdir.at(args.workdir[0])
  workdir.check_writable()
  with Meter() as meter:
    prepared = _prepare(args, steps, meter)
    runs = [
      list(_follow(names[path], steps[path], *ready, meter)) for path, ready in prepared.items()
    ]
    meter.begin("drawing", 0)
    write(workdir, survey.settings(*prepared[args.workdir[0]]), sum(runs, []))
  for points in runs:
    print(f"{points[0].run}: heads with each kind of function, and what the strongest head reaches")
    print(trend_lib.table(points))
  for note in dict.fromkeys(note for points in runs for point in points for note in point.notes):
    print(f"note: {note}")
  print(f"files: {workdir.trend}, {workdir.trend_table}, {workdir.trend_figure}")


def _steps(path: str, named: Sequence[str]) -> list[str]:
  workdir = Workdir.at(path)
  config_lib.load(workdir)  # which says it if this is no run
  return stored.kept(workdir, named)


def write(workdir: Workdir, settings: dict, points: Sequence[Checkpoint]) -> None:
  """Writes numbers and figure into a run's folder."""
  found = [dataclasses.asdict(point) for point in points]
  write_json(workdir.trend, {"settings": settings, "checkpoints": found})
  write_text(workdir.trend_table, trend_lib.to_csv(points))
  write_bytes(workdir.trend_figure, render(trend_figure.draw(points)))


def _prepare(
  args: argparse.Namespace, steps: dict[str, list[str]], meter: Meter
) -> dict[str, tuple[Subject, list[Plan]]]:
  """Workdir -> its text and what is to be measured on it, the same for all."""
  prepared = {}
  for path, own in steps.items():
    meter.begin(f"reading {path} and its text", 0)
    subject = dataclasses.replace(subject_lib.read(load(path, own[0]), args), progress=meter.add)
    plans = survey.prepare_some(subject, args, survey.FUNCTIONS)
    prepared[path] = subject, plans
    first = args.workdir[0]
    changed = survey.differences(*(survey.settings(*prepared[x]) for x in (first, path)))
    if changed:
      raise UserError(
        f"{first} and {path} would be measured on different things ({changed}): give --text SRC "
        "TGT, --frequencies if these differ, or each a command of its own"
      )
  return prepared


def _follow(
  name: str, steps: Sequence[str], subject: Subject, plans: list[Plan], meter: Meter
) -> Iterator[Checkpoint]:
  """What is found at each step of a run; the subject is the run at the first of them."""
  rows, at = metrics.read(subject.run.workdir), subject
  for step in steps:
    if step != steps[0]:
      at = dataclasses.replace(subject, run=load(subject.run.workdir.path, step))
    begin = lambda task, total: meter.begin(f"{name} at {step}: {task}", total)
    yield trend_lib.checkpoint(name, int(step), rows, at, survey.find(at, plans, begin))


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune trend", description=__doc__)
  add = parser.add_argument
  add("--workdir", nargs="+", required=True, help="runs, finished or not")
  add(
    "--checkpoints", default="all", metavar="LIST",
    help="steps such as 250,500, or all that the runs keep",
  )  # fmt: skip
  survey.add_some_options(add, survey.FUNCTIONS)
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
