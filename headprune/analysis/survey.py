"""All analyses of a run: the one list of them, and what they find together."""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import itertools

from headprune.analysis import certainty, chance, correlation, levels, plug
from headprune.analysis import subject as subject_lib
from headprune.analysis.evidence import Counted
from headprune.analysis.measured import (
  alignment,
  bleu_loss,
  closing,
  confidence,
  gate_values,
  gradient,
  idle,
  positional,
  rare_words,
  relevance,
  syntactic,
  target_syntactic,
)
from headprune.analysis.plug import Plan
from headprune.analysis.result import Findings, Kind, Result
from headprune.analysis.subject import Subject
from headprune.errors import check_least

# Those that tell functions. A head with functions of several kinds counts as the first of them.
FUNCTIONS = (
  positional,
  syntactic,
  target_syntactic,
  rare_words,
  alignment,
  idle,  # last: whatever else such a head does comes first
)
# In the order of the report.
ANALYSES = (closing, gradient, relevance, bleu_loss, gate_values, confidence, *FUNCTIONS)


def add_options(add) -> None:
  """Declares all options that say what is analysed and how."""
  add_some_options(add, ANALYSES)
  add("--resamples", type=int, default=1000, help="of the sentences, for intervals; 0: none")
  add("--chance", type=int, default=2, help="models with shuffled heads, for what chance gives")
  add("--seed", type=int, default=0, help="of --resamples and --chance")


def add_some_options(add, analyses: Sequence) -> None:
  """Declares the options that say which text is used, and those of some analyses."""
  subject_lib.add_options(add)
  for analysis in analyses:
    analysis.add_options(add)


def options(**changes) -> argparse.Namespace:
  """The command's options as they are by default, with changes, such as `lrp_sentences=0`."""
  parser = argparse.ArgumentParser()
  add_options(parser.add_argument)
  values = vars(parser.parse_args([]))
  unknown = ", ".join(sorted(set(changes) - set(values)))
  if unknown:
    raise TypeError(f"no such option: {unknown}; there are {', '.join(values)}")
  return argparse.Namespace(**values | changes)


def prepare(subject: Subject, options: argparse.Namespace) -> list[Plan]:
  """Reads and checks all that the analyses need.

  Raises:
    UserError: an option or a file that cannot be used.
  """
  for name in ("resamples", "chance", "seed"):
    check_least(f"--{name}", getattr(options, name), 0)
  if not (options.resamples or options.chance):
    plug.check_unused(options, {"seed": 0}, "--resamples or --chance")
  return prepare_some(subject, options, ANALYSES)


def prepare_some(subject: Subject, options: argparse.Namespace, analyses: Sequence) -> list[Plan]:
  """`prepare` of some analyses alone; `options` are those that `add_some_options` declares."""
  plans = []
  for analysis in analyses:
    plan = analysis.prepare(subject, options)
    if plan is not None:
      name = analysis.__name__.rpartition(".")[2].replace("_", " ")
      plans.append(dataclasses.replace(plan, name=name))
  return plans


def settings(subject: Subject, plans: list[Plan]) -> dict:
  """What two runs must share for their functions to be compared."""
  text = plug.checksum(itertools.chain.from_iterable(subject.text))
  result = {"sentences": len(subject.text), "text": text}
  for plan in plans:
    result |= plan.settings
  return result


def differences(before: dict, after: dict) -> str:
  """How two runs' settings differ, as in "positional 0.9 -> 0.8; idle None -> 0.9"."""
  return "; ".join(
    f"{name} {before.get(name)} -> {after.get(name)}"
    for name in {**before, **after}
    if before.get(name) != after.get(name)
  )


def measure(
  subject: Subject,
  plans: list[Plan],
  options: argparse.Namespace,
  begin: Callable[[str, int], None] | None = None,
) -> Result:
  """Runs the analyses that were prepared, and tells how sure they are.

  Args:
    subject: what they were prepared for; its `progress` is told of each sentence.
    plans: from `prepare`.
    options: say by how many resamples and draws.
    begin: called before each of them: what comes, through how many sentences it goes.
  """
  found = find(subject, plans, begin)
  result = _join(subject, plans, found)
  telling = [plan for plan, part in zip(plans, found) if part.kinds]
  draws = options.chance if telling else 0
  by_chance = chance.count_kinds(subject, telling, result, draws, options.seed, begin)
  evidence = [e for part in found if isinstance(part, Counted) for e in part.evidence]
  result = dataclasses.replace(result, kinds=_with_nearest(result.kinds, subject, evidence))
  return certainty.tell(result, evidence, options.resamples, by_chance, options.seed)


def _with_nearest(kinds: tuple[Kind, ...], subject: Subject, evidence: list) -> tuple[Kind, ...]:
  reached = (levels.level(one, subject.open_heads(one.type)) for one in evidence)
  missed = [one for one in reached if not one.heads and one.best is not None]
  told = {(one.type, one.kind): levels.nearest(one) for one in missed}
  return tuple(dataclasses.replace(k, nearest=told.get((k.type, k.name))) for k in kinds)


def find(
  subject: Subject, plans: list[Plan], begin: Callable[[str, int], None] | None = None
) -> list[Findings]:
  """What each of the analyses finds; the arguments are those of `measure`."""
  found = []
  for i, plan in enumerate(plans, 1):
    if begin:
      sentences = len(subject.text) if plan.sentences is None else plan.sentences
      begin(f"{plan.name}, {i} of {len(plans)}", sentences)
    found.append(plan.measure(subject))
  return found


def _join(subject: Subject, plans: list[Plan], found: list[Findings]) -> Result:
  run = subject.run
  joined = lambda field: tuple(item for part in found for item in getattr(part, field))
  fields = ("scores", "kinds", "functions", "tables", "notes")
  result = Result(
    **{field: joined(field) for field in fields},
    numbers={name: x for part in found for name, x in part.numbers.items()},
    run=run.workdir.path.absolute().name,
    settings=settings(subject, plans),
    sentences=len(subject.text),
    heads=subject.as_lists(run.gates()),
  )
  return dataclasses.replace(result, correlations=correlation.correlate(result))


def survey(subject: Subject, options: argparse.Namespace) -> Result:
  """Prepares and measures: everything about a run's heads."""
  return measure(subject, prepare(subject, options), options)
