"""Syntactic heads of the decoder: they follow relations of the target side, back to the left.

The word that looks is the one that a step reads, as in `positional`; the step looks at those that
earlier steps have read. So only governors and dependents to the left can be found, and the baseline
is the offset that is most frequent among them.
"""

from collections.abc import Iterator, Sequence
import functools
import itertools

import numpy as np

from headprune.analysis import conllu, edges, plug, words
from headprune.analysis.edges import Case, Counts, Rule
from headprune.analysis.evidence import Counted
from headprune.analysis.subject import Subject
from headprune.errors import UserError


def add_options(add) -> None:
  add("--target-conllu", nargs="+", help="files of parses of the text's target side")


def prepare(subject: Subject, options) -> plug.Plan | None:
  if not options.target_conllu:
    return None
  files = [conllu.read(path) for path in options.target_conllu]
  parsed = match([target for _, target in subject.text], itertools.chain.from_iterable(files))
  count = sum(sentence is not None for sentence in parsed)
  if not count:
    raise UserError(
      f"--target-conllu {' '.join(options.target_conllu)}: no sentence is a line of the text's "
      "target side, which is what must be parsed"
    )
  # Its sentences are those of the other decoder kinds.
  rule = edges.rule_of(options, type="dec_self", text="text", excluded="the start")
  settings = edges.settings(rule, count, plug.checksum(map(str, parsed)))
  return plug.Plan(functools.partial(measure, parsed=parsed, rule=rule), settings)


def measure(subject: Subject, parsed: Sequence[conllu.Sentence | None], rule: Rule) -> Counted:
  """Accuracy of every decoder self-attention head on each edge, and the heads that beat baselines.

  Args:
    subject: a run and its text.
    parsed: from `match`, of each of the text's pairs.
    rule: when a head is syntactic.
  """
  known = sum(sentence is not None for sentence in parsed)
  notes = [f"The target's syntax is that of {known:,} of {len(parsed):,} sentences."]
  return edges.findings(subject, count(subject, parsed, rule.relations), rule, notes)


def match(lines: Sequence[str], parsed: Iterator[conllu.Sentence]) -> list[conllu.Sentence | None]:
  """The parse of each line, its spans in the line; None where there is none.

  A line is found by its text, whatever its spaces and case.
  """
  by_text = {}
  for sentence in parsed:
    by_text.setdefault(words.squeeze(sentence.text), sentence)
  return [
    None if (found := by_text.get(words.squeeze(line))) is None else _in_line(found, line)
    for line in lines
  ]


def _in_line(sentence: conllu.Sentence, line: str) -> conllu.Sentence:
  spans = words.move_spans(sentence.spans, sentence.text, line)
  return conllu.Sentence(line, spans, sentence.heads, sentence.relations)


def count(
  subject: Subject, parsed: Sequence[conllu.Sentence | None], relations: Sequence[str]
) -> Counts:
  """How often each head's largest weight, the start vector excluded, follows each edge."""
  tokenizer = subject.run.tgt_tokenizer
  cases, members = [], []
  for sentence in parsed:
    units = ([], [])
    if sentence is not None:
      units = words.units(sentence.spans, tokenizer.spans(sentence.text))
    members.append(units[1])
    cases.append(
      [] if sentence is None else to_the_left(edges.find_cases(sentence, units[0], relations))
    )

  def tops() -> Iterator[tuple[int, np.ndarray]]:
    for rows, batch in subject.batches():
      attn_NBHTT = np.asarray(subject.translator.attention(batch)["dec_self"])
      for row, i in enumerate(rows):
        if cases[i]:
          # Step t reads piece t - 1: without the start's row and column, rows are pieces.
          yield i, edges.pointed_units(attn_NBHTT[:, row, :, 1:, 1:], members[i])

  return edges.count(cases, tops(), subject.open_heads("dec_self").shape)


def to_the_left(cases: Sequence[Case]) -> list[Case]:
  """The cases with a right answer to the left, and only those answers."""
  kept = []
  for case in cases:
    left = tuple(target for target in case.targets if target < case.query)
    if left:
      kept.append(Case(case.edge, case.query, left))
  return kept
