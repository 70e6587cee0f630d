"""What chance alone gives: the same model whose heads' queries and keys are shuffled."""

from collections.abc import Callable, Sequence
import dataclasses

import jax
import numpy as np

from headprune.analysis import compare
from headprune.analysis.plug import Plan
from headprune.analysis.result import Result
from headprune.analysis.subject import Subject
from headprune.translator.translator import Translator

# Parameter -> which of the fused projections are queries or keys; None: all of it is.
_FUSED = {"qkv": (0, 1), "kv": (0,), "q": None}


def count_kinds(
  subject: Subject,
  plans: Sequence[Plan],
  result: Result,
  draws: int,
  seed: int,
  begin: Callable[[str, int], None] | None = None,
) -> list[dict[str, dict[str, int]]]:
  """How many heads of each kind there are by chance: compare.count_kinds of each draw.

  Args:
    subject: what `result` was measured on.
    plans: the analyses that tell kinds.
    result: says which kinds there are, and which heads are open.
    draws: how many models are drawn.
    seed: of the draws.
    begin: called before each: what comes, through how many sentences it goes.
  """
  sentences = sum(len(subject.text) if p.sentences is None else p.sentences for p in plans)
  counts = []
  for draw in range(draws):
    if begin:
      begin(f"chance, {draw + 1} of {draws}", sentences)
    lot = shuffle_heads(subject.translator, np.random.default_rng([seed, draw]))
    drawn = dataclasses.replace(subject, run=subject.run.with_translator(lot))
    functions = tuple(f for plan in plans for f in plan.measure(drawn).functions)
    counts.append(compare.count_kinds(dataclasses.replace(result, functions=functions)))
  return counts


def shuffle_heads(translator: Translator, rng: np.random.Generator) -> Translator:
  """The model with the numbers in each head's query and key projections shuffled.

  A head keeps the size of its weights, and so about how sharply it looks, but not what it looks at.
  Values, outputs, gates and all other layers stay.
  """

  def shuffle(path, leaf):
    projections, _, part = path[-1].key.rpartition("_")
    if projections not in _FUSED or part not in ("kernel", "bias"):
      return leaf
    array = np.array(leaf)
    fused = _FUSED[projections]
    places = [(..., h, slice(None)) for h in range(array.shape[-2])]
    if fused is not None:
      places = [(..., c, *place[1:]) for c in fused for place in places]
    for place in places:
      numbers = array[place]
      array[place] = rng.permutation(numbers.ravel()).reshape(numbers.shape)
    return array

  return translator.replace(params=jax.tree_util.tree_map_with_path(shuffle, translator.params))
