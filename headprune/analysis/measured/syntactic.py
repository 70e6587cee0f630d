"""Syntactic heads: they follow relations of parsed sentences (Voita et al. 2019, section 5.2)."""

from collections.abc import Iterator, Sequence
import functools
import itertools

import numpy as np

from headprune.analysis import annotations, conllu, edges, plug, words
from headprune.analysis.edges import Counts, Rule
from headprune.analysis.evidence import Counted
from headprune.analysis.subject import BATCH_SIZE, MAX_LENGTH, MAX_TOKENS, Subject
from headprune.text import batching
from headprune.text.whitespace import Whitespace

# Of the options that both sides have in common.
_DEFAULTS = {"relations": "nsubj,obj,amod,advmod", "syntactic": 0.1, "min_cases": 50}


def add_options(add) -> None:
  add("--conllu", nargs="+", help="files of parsed source sentences (plain or .gz): adds syntax")
  add("--relations", default=_DEFAULTS["relations"], help="comma-separated; exact names")
  add(
    "--syntactic", type=float, default=_DEFAULTS["syntactic"],
    help="least accuracy of a syntactic head, above the most frequent offset's",
  )  # fmt: skip
  add(
    "--min-cases", type=int, default=_DEFAULTS["min_cases"],
    help="least cases of a relation that can make a head syntactic",
  )  # fmt: skip


def prepare(subject: Subject, options) -> plug.Plan | None:
  # A vocabulary of whole words wants text that is split as it was in training.
  spaced = isinstance(subject.run.src_tokenizer, Whitespace)
  own = [] if options.conllu else annotations.known(subject, options)
  if not (options.conllu or own):
    if not options.target_conllu:
      plug.check_unused(options, _DEFAULTS, "--conllu or --target-conllu")
    return None
  files = [conllu.read(path, spaced)[: options.sentences] for path in options.conllu or ()]
  blocks = [pair.conllu.splitlines() for pair in own[: options.sentences]]
  files += [conllu.parse(block, annotations.SETTING, spaced) for block in blocks]
  parsed = list(itertools.chain.from_iterable(files))
  rule = edges.rule_of(options, text=_drawn_with(subject, parsed))
  which = annotations.SETTING if own else plug.checksum(map(str, parsed))
  run = functools.partial(measure, parsed=parsed, rule=rule)
  return plug.Plan(run, edges.settings(rule, len(parsed), which), sentences=len(parsed))


def _drawn_with(subject: Subject, parsed: Sequence[conllu.Sentence]) -> str:
  """Which sentences the parsed ones are resampled with: the text's, if they are the same."""
  lines = [source for source, _ in subject.text]
  return "text" if lines == [sentence.text for sentence in parsed] else "parsed source"


def measure(subject: Subject, parsed: Sequence[conllu.Sentence], rule: Rule) -> Counted:
  """Accuracy of every encoder head on each edge, and the heads that beat an edge's baseline.

  Args:
    subject: the run; its text is not used.
    parsed: sentences with their syntax.
    rule: when a head is syntactic.
  """
  ids = subject.run.src_tokenizer.encode([sentence.text for sentence in parsed])
  fitting = [pair for pair in zip(parsed, ids) if 1 < len(pair[1]) <= MAX_LENGTH]
  some = "" if len(fitting) == len(parsed) else f" of {len(parsed):,}"
  which = some and f", those with 1 to {MAX_LENGTH - 1} tokens"
  notes = [f"Syntax is that of {len(fitting):,}{some} parsed sentences{which}."]
  return edges.findings(subject, count(subject, fitting, rule.relations), rule, notes)


def count(
  subject: Subject,
  fitting: Sequence[tuple[conllu.Sentence, list[int]]],
  relations: Sequence[str],
) -> Counts:
  """How often each encoder head's largest weight follows each edge.

  Args:
    subject: the run; its text is not used.
    fitting: sentences and their ids with EOS, none longer than MAX_LENGTH.
    relations: names as in the files.
  """
  tokenizer = subject.run.src_tokenizer
  units = [words.units(s.spans, tokenizer.spans(s.text)) for s, _ in fitting]
  cases = [
    edges.find_cases(s, unit_of_word, relations)
    for (s, _), (unit_of_word, _) in zip(fitting, units)
  ]

  def tops() -> Iterator[tuple[int, np.ndarray]]:
    sides = [ids for _, ids in fitting], [[]] * len(fitting)
    for rows, batch in batching.batches(*sides, BATCH_SIZE, MAX_TOKENS):
      attn_NBHSS = np.asarray(subject.translator.encoder_attention(batch))
      for row, i in enumerate(rows):
        yield i, edges.pointed_units(attn_NBHSS[:, row], units[i][1])
      subject.progress(len(rows))

  return edges.count(cases, tops(), subject.open_heads("enc_self").shape)
