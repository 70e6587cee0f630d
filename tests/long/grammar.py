"""Are the encoder's functions needed, and do they survive? `python -m tests.long.grammar`.

Trains the quick start (a baseline, which is then pruned), or takes a pruned run that is there,
and analyses both. At least one function of the baseline's encoder heads must be left; and once all
heads of a function are closed by hand, what stands in its relation must be wrong more often, by
`--points` at least.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import headprune
from headprune.analysis import result, subject, survey
from headprune.runs.run import Run
from headprune.text import sources
from tests.relations import accuracies, without


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m tests.long.grammar", description=__doc__)
  parser.add_argument("--workdir", help="a pruned run of --config concrete (default: train one)")
  parser.add_argument("--points", type=float, default=5.0)
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    faults = check(pathlib.Path(args.workdir or train(folder)), args.points)
  print(f"{faults} faults")
  raise SystemExit(bool(faults))


def train(folder: str) -> str:
  """A pruned run and its baseline, in a folder of their own."""
  program = [sys.executable, "-m", "headprune", "train", "--config", "concrete"]
  workdir, baseline = f"{folder}/concrete", f"{folder}/baseline"
  flags = [f"--workdir={workdir}", f"--config.init_from={baseline}"]
  subprocess.run(program + flags, check=True)
  return workdir


def check(workdir: pathlib.Path, points: float) -> int:
  """The number of functions that are not needed, and 1 if none is left of the baseline's."""
  run = headprune.load(workdir)
  before, after = (functions(r) for r in (headprune.load(run.config.init_from), run))
  parsed = sources.parsed_corpus(run.config.data, ("test",))["test"]
  kept = sorted(before.keys() & after.keys())
  print(f"kept: {', '.join(kept) or 'none'}")
  whole, faults = accuracies(run, parsed), int(not kept)
  for name, heads in after.items():
    rest = accuracies(without(run, heads), parsed)
    relation = name.split()[0]
    relation = relation if relation in whole else "words"  # a position has none
    needed = 100 * (whole[relation] - rest[relation]) >= points
    faults += not needed
    print(
      f"{name}: {relation} right {whole[relation]:.1%}, without heads"
      f" {', '.join(f'{n + 1}.{h + 1}' for n, h in heads)} {rest[relation]:.1%}; all words"
      f" {whole['words']:.1%} and {rest['words']:.1%}{'' if needed else ': fault'}"
    )
  return faults


def functions(run: Run) -> dict[str, tuple[result.Head, ...]]:
  """Syntactic and positional functions: name -> open encoder heads."""
  dev = sources.read_dev(run.config.data, "")
  options = survey.options(lrp_sentences=0)
  found = survey.survey(subject.encode(run, *dev), options).functions
  return {f.name: f.heads for f in found if f.kind in ("syntactic", "positional")}


if __name__ == "__main__":
  main()
