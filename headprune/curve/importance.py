"""Heads chosen once, by how important they seem in the baseline: the other ways to prune."""

from collections.abc import Callable
import functools

from ml_collections import ConfigDict
import numpy as np

from headprune.analysis import subject as subject_lib
from headprune.analysis.lrp import rules
from headprune.analysis.measured import confidence, gradient, relevance
from headprune.nn.config import TYPES, ModelConfig
from headprune.runs import targets
from headprune.runs.heads import Lists
from headprune.runs.run import Run
from headprune.text import sources

SENTENCES, LRP_SENTENCES = 500, 100  # of the dev set

_MEASURES = {
  "gradient": gradient.measure,
  "confidence": confidence.measure,
  "lrp": functools.partial(relevance.measure, sentences=LRP_SENTENCES, rule=rules.DEFAULT),
}


def scores(run: Run, data: ConfigDict, method: str, seed: int) -> Lists:
  """How important each head is, the more the higher: type -> layer -> a number for each head.

  Args:
    run: the baseline.
    data: the `data` section of the config whose dev set it is measured on.
    method: "gradient" (Michel et al. 2019), "confidence", "lrp" (Voita et al. 2019, section 4) or
      "random".
    seed: of "random".
  """
  if method == "random":
    rng = np.random.default_rng(seed)
    counts = run.translator.config.heads
    return {name: [rng.random(count).tolist() for count in counts[name]] for name in TYPES}
  text = sources.read_dev(data, "give config.data its dev files")
  subject = subject_lib.encode(run, *text, SENTENCES)
  measure: Callable = _MEASURES[method]
  (score,) = measure(subject).scores
  return score.values


def choose(scores: Lists, target_heads: str, types: tuple[str, ...], model: ModelConfig) -> Lists:
  """Gates 1 for the most important heads, as many of each group as are wanted, 0 for the others.

  Args:
    scores: from `scores`.
    target_heads: as l0.target_heads.
    types: attention types that are pruned; the others keep all heads.
    model: whose heads they are.
  """
  groups, wanted_G = targets.parse(target_heads, types, model)
  group_of, left = dict(groups), list(wanted_G)
  result = {name: [[1.0] * count for count in model.heads[name]] for name in TYPES}
  ranked = [
    (-score, name, n, h)
    for name in types
    for n, row in enumerate(scores[name])
    for h, score in enumerate(row)
  ]
  for _, name, n, h in sorted(ranked):
    group = group_of[name][n]
    result[name][n][h] = float(left[group] > 0)
    left[group] -= 1
  return result
