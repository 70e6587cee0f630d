"""Tests of headprune.analysis.chance."""

import jax
import numpy as np
import pytest

from headprune.analysis import chance, plug, subject
from headprune.analysis.result import Findings, Function, Kind, Result
from headprune.translator.translator import Translator
from tests import small_run, tiny


def model(**changes):
  config = tiny.uneven(**changes)
  return Translator(config, tiny.random_params(config), tiny.random_gates(config))


def of_head(params, h):
  """The queries' and keys' numbers of one head of every attention, by name."""
  found = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = jax.tree_util.keystr(path)
    array = np.asarray(leaf)
    for kind, parts in (("['qkv_", (0, 1)), ("['kv_", (0,))):
      if kind in name:
        found |= {(name, c): array[..., c, h, :] for c in parts}
    if "['q_" in name:
      found[name] = array[..., h, :]
  return found


def test_each_heads_queries_and_keys_are_shuffled_and_nothing_else():
  before = model()
  after = chance.shuffle_heads(before, np.random.default_rng(0))
  for h in range(2):
    old, new = of_head(before.params, h), of_head(after.params, h)
    assert len(old) == 3 * 4 + 4
    for name in old:
      assert sorted(old[name].ravel()) == sorted(new[name].ravel()), name
      if old[name].ndim == 2:
        assert (old[name] != new[name]).any(), name
  rest = lambda params: {
    jax.tree_util.keystr(path): np.asarray(x)[..., -1, :, :] if "kv_" in str(path) else x
    for path, x in jax.tree_util.tree_leaves_with_path(params)
    if "'q_" not in jax.tree_util.keystr(path)
  }  # values, outputs and all other layers
  jax.tree.map(np.testing.assert_array_equal, rest(before.params), rest(after.params))
  assert after.gate_values is before.gate_values and after.config is before.config


def test_every_draw_is_another_and_the_same_again(tmp_path):
  run = small_run.make(tmp_path / "run")
  whole = subject.encode(run, ["a cat"] * 3, ["the dog"] * 3)
  seen, stages = [], []

  def measure(drawn):
    seen.append(np.concatenate([x.ravel() for x in of_head(drawn.translator.params, 0).values()]))
    heads = drawn.find_heads("dec_self", np.ones((2, 2), bool))[: len(seen) % 2]
    functions = (Function("k", "f", "dec_self", heads, "share", 1.0),) if heads else ()
    return Findings(kinds=(Kind("k", "dec_self", ""),), functions=functions)

  heads = whole.as_lists(run.gates())
  result = Result(run="", settings={}, sentences=3, heads=heads, kinds=measure(whole).kinds)
  seen.clear()
  plans = [plug.Plan(measure), plug.Plan(lambda drawn: Findings(), sentences=2)]
  count = lambda seed: chance.count_kinds(
    whole, plans, result, 2, seed, lambda name, sentences: stages.append((name, sentences))
  )
  assert [c["dec_self"] for c in count(0)] == [{"k": 1, "unknown": 1}, {"k": 0, "unknown": 2}]
  assert stages == [("chance, 1 of 2", 5), ("chance, 2 of 2", 5)]
  count(0), count(1)
  own = np.concatenate([x.ravel() for x in of_head(run.translator.params, 0).values()])
  assert (seen[0] == seen[2]).all() and (seen[1] == seen[3]).all()
  for a, b in ((seen[0], seen[1]), (seen[0], seen[4]), (seen[0], own)):
    assert np.mean(a != b) > 0.5
  assert chance.count_kinds(whole, plans, result, 0, 0) == []


@pytest.mark.parametrize("kind", ["marian", "plain"])
def test_heads_then_look_elsewhere(kind):
  before = model(**(tiny.MARIAN if kind == "marian" else {}))
  after = chance.shuffle_heads(before, np.random.default_rng(0))
  batch, _ = tiny.pack([[3, 4, 5, 1]], [[3, 4, 1]], [[0]])
  for name, attn_NBHQM in before.attention(batch).items():
    assert np.abs(np.asarray(attn_NBHQM) - after.attention(batch)[name]).max() > 0.01, name
