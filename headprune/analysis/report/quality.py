"""The top of the report: what was analysed, and how good the runs are before and after."""

from collections.abc import Collection, Sequence
import dataclasses
import html

from headprune.analysis.report import parts
from headprune.analysis.result import Result
from headprune.runs.heads import describe_open
from headprune.runs.summary import FIELDS, MEASURES, OF_TRANSLATIONS, Summary


@dataclasses.dataclass(frozen=True)
class Quality:
  """What a run recorded when it was trained."""

  run: str
  summary: Summary | None  # None: not finished, or another checkpoint is shown
  heads: dict  # attention type -> layer -> test-time gates
  comparable: Collection[str] = FIELDS  # measures of the same dev and test text as the last run's


def top(result: Result, qualities: Sequence[Quality]) -> str:
  """The title, what the text was, and how good the runs are, in order of pruning."""
  measured = f"Measured on {result.sentences:,} sentence pairs."
  sentence = f"{describe_open(result.heads)} heads open. {measured}"
  notes = "".join(map(parts.text, result.notes))
  return f"""<h1>Heads of {html.escape(result.title)}</h1>
{parts.text(sentence, soft=True)}
{_qualities(qualities)}
{parts.folded("How this was measured", notes) if notes else ""}"""


def _qualities(qualities: Sequence[Quality]) -> str:
  rows = [_row(qualities, *measure) for measure in MEASURES]
  if not any(rows):
    return ""
  several = len(qualities) > 1
  head = "".join(f"<th>{html.escape(quality.run)}</th>" for quality in qualities)
  head += "<th>change</th>" * several
  opened = [describe_open(quality.heads) for quality in qualities]
  lines = "".join(
    f'<tr><th class="text">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    for name, *cells in [*filter(None, rows), ("heads open", *opened, *[""] * several)]
  )
  summary = qualities[-1].summary
  measured = (summary.dev_bleu, summary.test_bleu) != (None, None)
  bleu = f" BLEU: {summary.signature}" if measured else ""
  if measured and not _same_bleu(qualities):
    bleu += f"; that of {qualities[0].run}: {qualities[0].summary.signature}, so no change is told"
  return f"""<div class="scroll"><table class="quality"><thead><tr><th></th>{head}</tr></thead>
<tbody>{lines}</tbody></table></div>
{parts.text(f"As the runs recorded it; loss in nats a token.{bleu}", soft=True)}
{_other_text(qualities)}"""


def _row(qualities: Sequence[Quality], field: str, name: str, digits: int) -> tuple[str, ...]:
  """A measure of each run, and its change; () if the last run has not recorded it."""
  values = [getattr(quality.summary, field, None) for quality in qualities]
  if not values or values[-1] is None:
    return ()
  cells = ["" if value is None else f"{value:.{digits}f}" for value in values]
  if len(cells) == 1:
    return name, *cells
  compares = field in qualities[0].comparable
  if not cells[0] or not compares or (field in OF_TRANSLATIONS and not _same_bleu(qualities)):
    return name, *cells, ""
  # Of the numbers that stand beside it.
  return name, *cells, f"{float(cells[-1]) - float(cells[0]):+.{digits}f}"


def _other_text(qualities: Sequence[Quality]) -> str:
  """Paragraphs about earlier runs whose numbers are of other text; "" if there are none."""
  last = qualities[-1].run
  text, pairs = [], []
  for quality in qualities:
    measured = [f for f in FIELDS if getattr(quality.summary, f, None) is not None]
    if measured and not quality.comparable:
      text.append(quality.run)
    elif not set(measured) <= set(quality.comparable):
      pairs.append(quality.run)
  found = []
  if text:
    found.append(
      f"The dev and test text of {', '.join(text)} may be other text than that of {last}: these "
      "numbers do not compare."
    )
  if pairs:
    found.append(
      f"The dev loss of {', '.join(pairs)} is of other rows or tokens than that of {last} "
      "(data.row_length, tokenizer): it does not compare."
    )
  return "".join(parts.text(sentence, soft=True) for sentence in found)


def _same_bleu(qualities: Sequence[Quality]) -> bool:
  """Whether the first and the last run measured the same BLEU, if both did."""
  ends = [quality.summary for quality in (qualities[0], qualities[-1])]
  measured = [s for s in ends if s and (s.dev_bleu, s.test_bleu) != (None, None)]
  return len({summary.signature for summary in measured}) <= 1
