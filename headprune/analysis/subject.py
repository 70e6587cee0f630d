"""What analyses are made of: a run, and sentence pairs as text and as ids."""

from collections.abc import Callable, Iterator, Sequence
import dataclasses

import numpy as np

from headprune.analysis.result import Head
from headprune.errors import UserError, check_least
from headprune.nn import gates
from headprune.runs import heads as heads_lib
from headprune.runs.run import Run
from headprune.text import batching, sources
from headprune.translator.translator import Translator

MAX_TOKENS = 2048  # padded tokens a side in a batch; its attention weights then stay small
BATCH_SIZE = 128
MAX_LENGTH = 128  # tokens with EOS; longer sentences are left out


@dataclasses.dataclass(frozen=True)
class Subject:
  """A run and the sentence pairs that its heads are measured on."""

  run: Run
  lines: list[str]  # all source lines of the text, also those that are not measured on
  numbers: list[int]  # the line that each pair comes from, from 0
  text: list[tuple[str, str]]  # the pairs
  source_ids: list[list[int]]  # with EOS
  target_ids: list[list[int]]
  progress: Callable[[int], None] = lambda done: None  # takes the number of sentences done since

  @property
  def translator(self) -> Translator:
    return self.run.translator

  def batches(self) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """The pairs, sorted by length: (number of the pair in each row, batch)."""
    sides = self.source_ids, self.target_ids
    for numbers, batch in batching.batches(*sides, BATCH_SIZE, MAX_TOKENS):
      yield numbers, batch
      self.progress(len(numbers))

  def open_heads(self, name: str) -> np.ndarray:
    """Which heads of an attention type exist and are open: bool [N, H]."""
    return gates.open_heads(self.translator.gate_values[name], self.translator.config.heads[name])

  def find_heads(self, name: str, chosen_NH: np.ndarray) -> tuple[Head, ...]:
    """The open heads among those that are chosen."""
    return tuple((int(n), int(h)) for n, h in np.argwhere(chosen_NH & self.open_heads(name)))

  def as_lists(self, values: dict) -> heads_lib.Lists:
    """Type -> array [N, H] as lists with a number for each head that there is."""
    return heads_lib.as_lists(values, self.translator.config.heads)


def encode(
  run: Run, src_lines: Sequence[str], tgt_lines: Sequence[str], sentences: int | None = None
) -> Subject:
  """A run and a text; pairs with an empty or a long side are left out.

  Args:
    run: the run.
    src_lines: source lines.
    tgt_lines: as many target lines.
    sentences: only so many lines, from the first, are measured on.
  Raises:
    UserError: nothing is left.
  """
  sides = run.encode(list(src_lines[:sentences]), list(tgt_lines[:sentences]))
  lengths = [sorted(map(len, pair)) for pair in zip(*sides)]
  numbers = [i for i, (short, long) in enumerate(lengths) if 1 < short and long <= MAX_LENGTH]
  if not numbers:
    raise UserError(f"the text has no pair with 1 to {MAX_LENGTH - 1} tokens a side")
  text = [(src_lines[i], tgt_lines[i]) for i in numbers]
  return Subject(
    run, list(src_lines), numbers, text, *([side[i] for i in numbers] for side in sides)
  )


def add_options(add) -> None:
  """Declares the options that say which text is used."""
  add("--text", nargs=2, metavar=("SRC", "TGT"), help="parallel text instead of the dev set")
  add("--sentences", type=int, default=1000, help="at most so many of each file")


def read(run: Run, options) -> Subject:
  """The subject that the options name.

  Raises:
    UserError: what is wrong with the text or an option.
  """
  check_least("--sentences", options.sentences, 1)
  lines = sources.read_given(options.text, run.config.data, "give --text SRC TGT")
  return encode(run, *lines, options.sentences)
