"""Are the encoder's functions needed, and do they survive? `python -m tests.long.grammar`.

Trains the quick start (a baseline, which is then pruned), or takes a pruned run that is there,
and analyses both. At least one function of the baseline's encoder heads must be left; and once all
heads of a function are closed by hand, what stands in its relation must be wrong more often, by
`--points` at least. A noun with its determiner and adjectives is right if all of them are, and a
target word, teacher-forced, if each of its pieces is the likeliest.
"""

import argparse
from collections.abc import Iterator, Sequence
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import headprune
from headprune.analysis import result, subject, survey, words
from headprune.runs.run import Run
from headprune.text import sources
from headprune.text.grammar import Pair


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


def without(run: Run, heads: Sequence[result.Head]) -> Run:
  """The run with encoder heads closed."""
  gate_NH = run.gates()["enc_self"].copy()
  for head in heads:
    gate_NH[head] = 0.0
  return run.with_gates(enc_self=gate_NH)


def functions(run: Run) -> dict[str, tuple[result.Head, ...]]:
  """Syntactic and positional functions: name -> open encoder heads."""
  dev = sources.read_dev(run.config.data, "")
  options = survey.options(lrp_sentences=0)
  found = survey.survey(subject.encode(run, *dev), options).functions
  return {f.name: f.heads for f in found if f.kind in ("syntactic", "positional")}


def accuracies(run: Run, pairs: list[Pair]) -> dict[str, float]:
  """Share of what is right: in each relation ("amod"), and of all "words"."""
  lines = [pair.source for pair in pairs], [pair.target for pair in pairs]
  _, ids = run.encode(*lines)
  right = {"words": []}
  for pair, logits_TV, target in zip(pairs, run.logits(*lines), ids):
    hit_T = np.argmax(logits_TV, axis=-1) == target
    _, units = words.units(words.spans(pair.target), run.tgt_tokenizer.spans(pair.target))
    hits = {i: bool(hit_T[units[j]].all()) for i, j in pair.links}  # of source words' translations
    right["words"] += hits.values()
    for relation, group in groups(pair):
      right.setdefault(relation, []).append(all(hits[i] for i in group))
  return {relation: float(np.mean(hits)) for relation, hits in right.items()}


def groups(pair: Pair) -> Iterator[tuple[str, set[int]]]:
  """The source words that stand in each relation of a sentence: a noun's phrase, or two words."""
  for i, row in enumerate(pair.rows):
    noun = row.head - 1 if row.relation in ("det", "amod") else i
    if pair.rows[noun].tag == "NOUN":
      dependents = {
        j for j, r in enumerate(pair.rows) if r.head - 1 == noun and r.relation in ("det", "amod")
      }
      yield row.relation, {noun, *dependents}
    elif row.head:
      yield row.relation, {i, row.head - 1}


if __name__ == "__main__":
  main()
