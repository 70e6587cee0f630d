"""Whether a run differs from its control: paired bootstrap resampling, by sacreBLEU.

Koehn, Statistical Significance Tests for Machine Translation Evaluation, 2004.
"""

from collections.abc import Sequence

from sacrebleu.significance import PairedTest

from headprune.curve.aggregate import control_of
from headprune.curve.rows import PValues, Row
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir
from headprune.text import bleu, sources, textfile

LEVEL = 0.05  # p below which a difference counts
SAMPLES = 1000


def p_values(rows: Sequence[Row], split: str = "test") -> PValues:
  """How likely each run's distance to the control of its seed is by chance.

  Args:
    rows: from rows.rows.
    split: whose translations are compared, "dev" or "test".
  Returns:
    (folder, whether tuned) -> p, for the rows that have a control.
  Raises:
    UserError: no row has a control; translations or the text cannot be read, or do not belong
      together.
  """
  compared = {}
  for row in rows:
    control = control_of(row, rows)
    if control:
      compared.setdefault(control.run, (control, []))[1].append(row)
  if not compared:
    raise UserError("--significance: none of these runs has its control among them: name that too")
  found = {}
  for control, others in compared.values():
    found |= _against(control, others, split)
  return found


def _against(control: Row, others: Sequence[Row], split: str) -> PValues:
  config = config_lib.load(Workdir.at(control.run))
  pairs = sources.read_pairs(config.data, (split,))
  if split not in pairs:
    raise UserError(f"{control.run}: its config names no {split} set")
  references = list(pairs[split][1])
  systems = [
    (f"{row.run} {row.tuned}", _translations(row, split, len(references)))
    for row in (control, *others)
  ]
  metrics = {"BLEU": bleu.metric(config.eval)}
  test = PairedTest(systems, metrics, [references], test_type="bs", n_samples=SAMPLES)
  _, scores = test()
  own, *found = scores["BLEU"]
  # Where all resamples are as equal as the two systems, sacreBLEU's p is its least.
  p_of = lambda score: 1.0 if score.score == own.score else score.p_value
  return {(row.run, row.tuned): p_of(score) for row, score in zip(others, found)}


def _translations(row: Row, split: str, count: int) -> list[str]:
  path = Workdir.at(row.run).translations(split, row.step)
  lines = textfile.read_lines(path)
  if len(lines) != count:
    raise UserError(f"{path} has {len(lines)} lines, but the {split} set {count}: restore either")
  return lines
