"""From runs and a text to what each sentence says."""

from collections.abc import Callable, Sequence

from headprune.analysis import subject as subject_lib
from headprune.analysis.contributions import measures, prefixes, result
from headprune.analysis.contributions.prefixes import Lengths, Pairs
from headprune.analysis.contributions.result import Measured
from headprune.errors import UserError
from headprune.runs import own_tokenizer
from headprune.runs.run import Run
from headprune.runs.workdir import Workdir

Begin = Callable[[str, int], Callable[[int], None]]  # (what, sentences) -> takes how many are done


def silent(task: str, total: int) -> Callable[[int], None]:
  """A `Begin` that tells nothing."""
  return lambda done: None


def encode(
  run: Run, src_lines: Sequence[str], tgt_lines: Sequence[str], others: Sequence[str] = ()
) -> Pairs:
  """The pairs of a text as ids, without empty and long ones.

  Args:
    run: whose tokenizers to use.
    src_lines: source lines.
    tgt_lines: as many target lines.
    others: workdirs of runs to compare with; positions mean the same for equal tokens alone.
  Raises:
    UserError: nothing is left, or another run's tokens are not the same.
  """
  subject = subject_lib.encode(run, src_lines, tgt_lines)
  sides = subject.source_ids, subject.target_ids
  for path in others:
    loaded = own_tokenizer.load(Workdir.at(path))
    for side, ids, lines in zip(loaded, sides, zip(*subject.text)):
      if side.encode(list(lines)) != ids:
        raise UserError(
          f"{path} and {run.workdir.path} have other tokens for the same text: compare runs that "
          "share a tokenizer"
        )
  return list(zip(*sides))


def measure(
  run: Run,
  text: Pairs,
  lengths: Lengths,
  prefix: str = prefixes.REFERENCE,
  sentences: int = 200,
  checkpoint: str = "last",
  name: str | None = None,
  begin: Begin = silent,
  seed: int = 0,
) -> Measured:
  """What relevance says of a run's words where they follow one kind of prefix.

  Args:
    run: the run.
    text: from `encode`.
    lengths: source and target tokens of all sentences that count.
    prefix: one of prefixes.PREFIXES.
    sentences: at most so many.
    checkpoint: the one that the run was loaded from.
    name: of the run, for people; by default that of its folder.
    begin: called before translation and propagation.
    seed: of random prefixes.
  Raises:
    UserError: there is no sentence of these lengths.
  """
  name = name or run.workdir.path.absolute().name
  if prefix == prefixes.OWN:
    sources = len(prefixes.sources_of(text, lengths))
    progress = begin(f"translating with {name}", sources)
    pairs = prefixes.own(run, text, lengths, sentences, progress)
  elif prefix == prefixes.RANDOM:
    pairs = prefixes.random(text, lengths, sentences, seed)
  else:
    pairs = prefixes.reference(text, lengths, sentences)
  progress = begin(f"relevance in {name} at {checkpoint}, {prefix} prefix", len(pairs))
  found = measures.relevances(run.translator, pairs, progress)
  return result.measured(name, checkpoint, prefix, pairs, found)
