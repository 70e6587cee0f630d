"""Tells what the heads of a run do: `headprune analyze --workdir runs/x`.

Writes analysis.json, figures and a self-contained report.html into the workdir. By default the text
is the dev set that the run's config names. Syntax needs --conllu or --target-conllu, alignment
--alignments, except on the built-in corpus "grammar", which knows parses of its source and links.
"""

import argparse
from collections.abc import Sequence
import dataclasses

from headprune import cli
from headprune.analysis import compare, drawing, figures, survey, tables
from headprune.analysis import result as result_lib
from headprune.analysis import subject as subject_lib
from headprune.analysis.report import functions, pruning
from headprune.analysis.report import page as page_lib
from headprune.analysis.report.maps import attention_maps
from headprune.analysis.report.quality import Quality
from headprune.analysis.result import LAST, TITLES, Result
from headprune.analysis.subject import Subject
from headprune.errors import UserError, check_least
from headprune.files import write_bytes, write_text
from headprune.meter import Meter
from headprune.runs import held_out, metrics, stored
from headprune.runs.config import origin
from headprune.runs.run import Run, load
from headprune.runs.workdir import Workdir, name_runs


def main() -> None:
  args = _parse()
  check_least("--maps", args.maps, 0)
  with Meter() as meter:
    _analyze(args, meter)


def _analyze(args: argparse.Namespace, meter: Meter) -> None:
  meter.begin(f"reading {args.workdir}", 0)
  run = load(args.workdir, args.checkpoint)
  step = stored.last_step(run.workdir) if args.checkpoint == LAST else None
  run.workdir.check_writable()
  names = name_runs([*args.before, args.workdir])
  before = [dataclasses.replace(_read_before(path), run=names[path]) for path in args.before]
  meter.begin("reading the text", 0)
  subject = dataclasses.replace(subject_lib.read(run, args), progress=meter.add)
  plans = survey.prepare(subject, args)
  for path, earlier in zip(args.before, before):
    _check_alike(path, earlier.settings, survey.settings(subject, plans))
  qualities = _qualities(subject, args, before)
  meter.clear()
  print(f"{len(subject.text):,} sentence pairs")
  result = survey.measure(subject, plans, args, meter.begin)
  result = dataclasses.replace(result, checkpoint=args.checkpoint, step=step)
  meter.begin("drawing", 0)
  result_lib.write(run.workdir, result)
  result = dataclasses.replace(result, run=names[args.workdir])
  history = draw(run, result, before)
  maps = attention_maps(run, subject.text[: args.maps])
  page = page_lib.page(result, before, qualities=qualities, history=history, maps=maps)
  write_text(run.workdir.report, page)
  meter.clear()
  _print(result, before)
  print(f"report: {run.workdir.report}")


def draw(run: Run, result: Result, before: Sequence[Result]) -> pruning.History | None:
  """Writes the figures into the run's folder.

  Args:
    run: whose folder takes them, and has the gates' history.
    result: what was found.
    before: earlier runs.
  Returns:
    How open the gates were while they were trained, for the report; None if the run learned none.
  """
  workdir, kind = run.workdir, run.config.gates.kind
  drawn = {"retained": figures.retained(result.heads)}
  for score in (score for score in result.scores if score.drawn):
    gates = {name: result.heads[name] for name in score.values}
    drawn[score.key] = figures.score_grid(score.values, score.heading, gates)
  if result.kinds:
    results = [*before, result]
    counts = [compare.count_kinds(one) for one in results]
    drawn["functions"] = figures.functions_retained(counts, [one.title for one in results])
  steps, layers = figures.gate_history(metrics.read(workdir), kind)
  if steps:
    drawn["gates"] = figures.gate_trajectories(steps, layers, kind)
  for name, figure in drawn.items():
    write_bytes(workdir.figures / f"{name}.svg", drawing.render(figure))
  if not steps:
    return None
  animation = figures.gate_animation(steps, layers, kind)
  write_bytes(workdir.figures / "gates.gif", animation)
  return pruning.history(steps, layers, animation, kind)


def _qualities(subject: Subject, args, before: Sequence[Result]) -> list[Quality]:
  """What this run recorded, and before it the earlier ones or else the run that it started from."""
  run, start = subject.run, origin(subject.run.config)
  earlier_paths = args.before or ([run.config.init_from] if start else [])
  names = name_runs([*earlier_paths, args.workdir])
  earlier = []
  for path, found in zip(args.before, before):
    there = Workdir.at(path)
    comparable = held_out.comparable(run.config, there)
    summary = there.read_summary(found.checkpoint)
    earlier.append(Quality(found.title, summary, found.heads, comparable))
  if not before and start and (summary := start.read_summary(run.config.init_checkpoint)):
    comparable = held_out.comparable(run.config, start)
    earlier = [Quality(names[run.config.init_from], summary, start.read_heads(), comparable)]
  summary = run.workdir.read_summary(args.checkpoint)
  own = Quality(names[args.workdir], summary, subject.as_lists(run.gates()))
  return [*earlier, own]


def _print(result: Result, before: Sequence[Result]) -> None:
  for name, sentence in zip(compare.count_kinds(result), functions.describe_kinds(result)):
    print(f"  {sentence}")
    for function in (f for f in result.functions if f.type == name):
      strength = compare.describe_strength(function)
      print(f"    {function.name:<18} {tables.name_heads(function.heads)}: {strength}")
  for note in result.notes:
    print(f"  note: {note}")
  for row in compare.outcomes(before[0], result) if before else ():
    print(f"  {row.outcome:<6} {row.function} ({TITLES[row.type]})")


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune analyze", description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="a trained run")
  add("--checkpoint", default=LAST, help="last, best, or a step")
  add("--before", nargs="+", default=[], metavar="WORKDIR", help="analysed runs to compare with")
  add("--maps", type=int, default=4, help="sentences whose attention maps are in the report")
  survey.add_options(add)
  return parser.parse_args()


def _read_before(path: str) -> Result:
  workdir = Workdir.at(path)
  if not workdir.analysis.is_file():
    raise UserError(f"--before {path}: no analysis.json; run headprune analyze on it first")
  result = result_lib.read(workdir)
  if result_lib.is_outdated(result, workdir):
    raise UserError(
      f"--before {path} was trained on since it was analysed at step {result.step}: run headprune "
      "analyze on it again"
    )
  return result


def _check_alike(path: str, before: dict, after: dict) -> None:
  """Raises a UserError if an earlier run was analysed otherwise: functions would seem to change."""
  changed = survey.differences(before, after)
  if changed:
    raise UserError(
      f"--before {path} was analysed otherwise ({changed}): analyse it again with the same "
      "arguments, both with one --frequencies if these differ"
    )


if __name__ == "__main__":
  cli.run(main)
