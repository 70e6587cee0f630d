"""What was found as text: the table on the terminal, and a page that needs nothing else."""

import base64
from collections.abc import Mapping
import html
import pathlib

from headprune.analysis import tables, template
from headprune.analysis.contributions.result import Line, Mean, Result
from headprune.analysis.result import Column
from headprune.layout import aligned

_TEMPLATE = pathlib.Path(__file__).with_name("contributions.html")
_CAPTIONS = {
  "contributions": "By target position: the source's part of all relevance (the words that were "
  "written before have the rest), and how widely the contributions of source and of target words "
  "are spread.",
  "contributions-source": "What each source position contributes to the whole target.",
  "contributions-steps": "Means over target positions, by training step.",
}
_COLUMNS = (
  Column("run", "text"), Column("checkpoint", "numbered text"), Column("prefix", "text"),
  Column("sentences"), Column("source contribution"), Column("low"), Column("high"),
  Column("less the first's", "numbered text"), Column("entropy of source"),
  Column("entropy of target"),
)  # fmt: skip
_HEAD = (
  "run", "checkpoint", "prefix", "n", "source (95%)", "less the first's", "source entropy",
  "target entropy",
)  # fmt: skip


def page(found: Result, pictures: Mapping[str, bytes]) -> str:
  """The page as text.

  Args:
    found: all lines.
    pictures: SVG files by the name of their figure.
  """
  figures = []
  for name, data in pictures.items():
    source = f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
    caption = html.escape(_CAPTIONS[name])
    figures.append(
      f'<figure><div class="scroll"><img src="{source}" alt="{caption}"></div>'
      f"<figcaption>{caption}</figcaption></figure>"
    )
  rows = [_row(line) for line in found.lines]
  body = f"""<h1>Source and target contributions</h1>
<p>Relevance 1 starts at the most likely word of each target position and goes down to the words
that the model has read (Voita, Sennrich and Titov, ACL 2021). {html.escape(describe(found))} Means
over target positions and sentences; the first position, at which no word of the target has been
read, counts for the entropy of the source alone:</p>
{tables.sortable(_COLUMNS, rows)}
<p class="soft">{_intervals(found)} Differences are
to the first line of the same prefix, on the same sentence pairs. Entropies are in nats. Own
prefixes are of those sentences whose translation has the wanted length, so that their sentences
differ from run to run.</p>
{"".join(figures)}"""
  return template.fill(_TEMPLATE, body=body)


def describe(found: Result) -> str:
  """A sentence: which pairs of the text count."""
  return (
    f"Sentences of {found.source_length} source and {found.target_length} target tokens, EOS "
    f"included, of a text of {found.pairs:,} pairs."
  )


def _intervals(found: Result) -> str:
  if not found.resamples:
    return "There are no intervals (--resamples 0)."
  return (
    '"low" and "high", and bands in figures, are bootstrap intervals of 95% over sentences: '
    f"{found.resamples:,} resamples, seed {found.seed}."
  )


def table(found: Result) -> str:
  """The lines as text, one below the other."""
  rows = [_HEAD]
  for line in found.lines:
    change = "" if line.change is None else interval(line.change, "+.3f")
    entropies = f"{line.source_entropy.mean:.2f}", f"{line.target_entropy.mean:.2f}"
    rows.append((
      line.run, line.checkpoint, line.prefix, str(line.sentences), interval(line.source), change,
      *entropies,
    ))  # fmt: skip
  return aligned(rows, "<")


def interval(found: Mean, form: str = ".3f") -> str:
  """A mean with its interval, if it has one."""
  if found.low is None:
    return f"{found.mean:{form}}"
  return f"{found.mean:{form}} ({found.low:{form}}, {found.high:{form}})"


def _row(line: Line) -> tuple:
  return (
    line.run, line.checkpoint, line.prefix, line.sentences, line.source.mean, line.source.low,
    line.source.high, None if line.change is None else interval(line.change, "+.3f"),
    line.source_entropy.mean, line.target_entropy.mean,
  )  # fmt: skip
