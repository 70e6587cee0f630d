"""How many heads have a kind of function, and how near to it the strongest one is."""

import dataclasses

import numpy as np

from headprune.analysis import plug
from headprune.analysis.evidence import ERROR_RATE, Evidence
from headprune.analysis.result import Head

GAIN = "accuracy above the baseline"


@dataclasses.dataclass(frozen=True)
class Level:
  """What the open heads of an attention type do of one kind of function."""

  type: str
  kind: str
  heads: int  # that have such a function; a head may have functions of several kinds
  open: int  # heads that could
  measure: str  # of `best` and `limit`, which are in 0..1: "share", GAIN or ERROR_RATE
  limit: float  # what a head needs: at least so much, of an ERROR_RATE at most
  best: float | None  # of the strongest head; None if there is no case or no open head
  function: str | None  # which one that is: "position -1"
  head: Head | None  # whose it is


def level(evidence: Evidence, open_NH: np.ndarray) -> Level:
  """How many open heads have a function, and how strong the strongest is, enough or not."""
  everything = evidence.everything
  share_RNH = evidence.shares(everything)[0]
  baseline_R = evidence.baselines(everything)[0]
  gain_RNH = share_RNH - baseline_R[:, None, None]
  gain_RNH = np.where(evidence.usable_R[:, None, None] & open_NH, gain_RNH, -np.inf)
  best = function = head = None
  if np.isfinite(gain_RNH).any():
    r, n, h = map(int, np.unravel_index(np.argmax(gain_RNH), gain_RNH.shape))
    best = evidence.strength(float(gain_RNH[r, n, h]))
    function, head = evidence.names[r], (n, h)
  return Level(
    type=evidence.type,
    kind=evidence.kind,
    heads=int(np.sum(evidence.passing(everything)[0].any(0) & open_NH)),
    open=int(open_NH.sum()),
    measure=evidence.measure if evidence.baseline_ER is None else GAIN,
    limit=evidence.strength(evidence.limit),
    best=best,
    function=function,
    head=head,
  )


def amount(measure: str, value: float | None) -> str:
  """A measure as people read it: "45%", or points above the baseline, "+12"."""
  if value is None:
    return "-"
  points = round(100 * value)
  return (f"{points:+d}" if points else "0") if measure == GAIN else f"{value:.0%}"


def reached(one: Level) -> str:
  """What the best head reaches: "68%", or "89.6%" where that rounds to enough, but is not."""
  best = amount(one.measure, one.best)
  if one.heads or best != amount(one.measure, one.limit):
    return best
  return f"{100 * one.best:+.1f}" if one.measure == GAIN else f"{one.best:.1%}"


def nearest(one: Level) -> str:
  """What the best head reaches where that is not enough: "best 68%, needed ≥ 90%"."""
  return f"best {reached(one)}, needed {needed(one)}"


def needed(one: Level) -> str:
  """What a head needs to have such a function: "≥ 90%"."""
  limit = f"{100 * one.limit:+.6g}" if one.measure == GAIN else plug.percent(one.limit)
  return f"{'≤' if one.measure == ERROR_RATE else '≥'} {limit}"
