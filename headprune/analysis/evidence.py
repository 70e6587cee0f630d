"""What functions of heads stand on: counts of each sentence, so that sentences can be resampled."""

from collections.abc import Callable, Sequence
import dataclasses

import numpy as np

from headprune.analysis import bootstrap, pointing
from headprune.analysis.result import SHARE, Findings, Function, Head, Score
from headprune.analysis.subject import Subject

ERROR_RATE = "error rate"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
  """How often each head did each of R things in each of E sentences, and how often is enough."""

  kind: str  # name of the Kind
  type: str  # attention type
  names: tuple[str, ...]  # of the R functions; of those with one name a head needs one
  hits_ERNH: np.ndarray
  cases_ER: np.ndarray
  limit: float  # the share of hits that a head needs, or by how much it must beat the baseline
  measure: str = "share"  # as in Function; strengths of ERROR_RATE are one minus the share
  baseline_ER: np.ndarray | None = None  # hits without any head
  allowed_R: np.ndarray | None = None  # those that can be a function; None is all that have a case
  one_each: bool = False  # whether a head can only have the function with its largest share
  text: str = "text"  # which sentences: those of one text are resampled together

  @property
  def usable_R(self) -> np.ndarray:
    """Which functions a head could have: those that are allowed and have a case."""
    usable_R = self.cases_ER.sum(0) > 0
    return usable_R if self.allowed_R is None else usable_R & self.allowed_R

  def weights(self, resamples: int, seed: int) -> np.ndarray:
    """How often each sentence is in each resample: weights_YE, the same for the same text."""
    return bootstrap.weights(len(self.cases_ER), resamples, (seed, *self.text.encode()))

  def shares(self, weights_YE) -> np.ndarray:
    """Shares of hits, share_YRNH."""
    return pointing.share(_weigh(weights_YE, self.hits_ERNH), _weigh(weights_YE, self.cases_ER))

  def baselines(self, weights_YE) -> np.ndarray:
    """Shares without any head, share_YR; 0 where there is no baseline."""
    if self.baseline_ER is None:
      return np.zeros((len(weights_YE), len(self.names)))
    return pointing.share(_weigh(weights_YE, self.baseline_ER), _weigh(weights_YE, self.cases_ER))

  def passing(self, weights_YE) -> np.ndarray:
    """Which heads have which function in each resample: bool [Y, R, N, H]."""
    allowed_1R11 = self.usable_R[None, :, None, None]
    share_YRNH = self.shares(weights_YE) * allowed_1R11
    above_YRNH = share_YRNH - self.baselines(weights_YE)[..., None, None] - self.limit
    passing_YRNH = allowed_1R11 & (np.round(above_YRNH, 10) >= 0)  # exactly the limit is enough
    if self.one_each:
      best_YNH = np.argmax(share_YRNH, axis=1)
      passing_YRNH &= best_YNH[:, None] == np.arange(len(self.names))[None, :, None, None]
    return passing_YRNH

  def strongest(self, name: str, heads: Sequence[Head]) -> tuple[int, int, int]:
    """(r, layer, head) with the largest share among some heads and the functions of a name."""
    share_RNH = self.shares(self.everything)[0]
    places = [(r, *head) for r, other in enumerate(self.names) if other == name for head in heads]
    return max(places, key=lambda place: share_RNH[place])

  @property
  def everything(self) -> np.ndarray:
    """The weights of all sentences as they are, [1, E]."""
    return np.ones((1, len(self.cases_ER)), int)

  def strength(self, share: float) -> float:
    """A share in terms of `measure`."""
    return 1.0 - share if self.measure == ERROR_RATE else share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted(Findings):
  """Findings whose functions were counted sentence by sentence."""

  evidence: tuple[Evidence, ...]


def functions(subject: Subject, evidence: Evidence) -> tuple[Function, ...]:
  """The functions that open heads have, in the order of their names."""
  everything = evidence.everything
  share_RNH = evidence.shares(everything)[0]
  passing_RNH = evidence.passing(everything)[0]
  found = []
  for name in dict.fromkeys(evidence.names):
    named_R = np.array([other == name for other in evidence.names])
    heads = subject.find_heads(evidence.type, passing_RNH[named_R].any(0))
    if heads:
      best = evidence.strongest(name, heads)
      baseline = None
      if evidence.baseline_ER is not None:
        baseline = float(evidence.baselines(everything)[0, best[0]])
      strength = evidence.strength(float(share_RNH[best]))
      found.append(
        Function(evidence.kind, name, evidence.type, heads, evidence.measure, strength, baseline)
      )
  return tuple(found)


def score(
  subject: Subject, title: str, place: str, shares: dict[str, np.ndarray], drawn: bool = True
) -> Score:
  """How often heads look at one kind of place.

  Args:
    subject: whose heads they are.
    title: of the score.
    place: where they look, as in "on the end".
    shares: type -> share_NH of the tokens whose largest weight is there.
    drawn: as in Score.
  """
  return Score(
    key=title.replace(" ", "-"),
    title=title,
    meaning=f"share of tokens whose largest weight is {place}",
    values=subject.as_lists(shares),
    kind=SHARE,
    full=1.0,
    drawn=drawn,
  )


def over_sentences(
  subject: Subject, count: Callable[[dict], Sequence[np.ndarray]]
) -> list[np.ndarray]:
  """Counts of every pair, in the text's order: each array that `count` gives, B made E.

  Args:
    subject: a run and its text.
    count: takes a batch, gives arrays with a row for each row of the batch.
  """
  found = []
  for rows, batch in subject.batches():
    parts = count(batch)
    if not found:
      found = [np.zeros((len(subject.text), *part.shape[1:]), part.dtype) for part in parts]
    for whole, part in zip(found, parts, strict=True):
      whole[rows] = part[: len(rows)]
  return found


def _weigh(weights_YE, counts) -> np.ndarray:
  """Sums over sentences, [Y, ...] of counts [E, ...]."""
  flat = weights_YE.astype(np.float64) @ counts.reshape(len(counts), -1)
  return flat.reshape(len(weights_YE), *counts.shape[1:])
