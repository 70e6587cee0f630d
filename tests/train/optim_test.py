"""Schedule, freezing rules and optimiser state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from headprune.errors import UserError
from headprune.train import optim

PARAMS = {
  "model": {"src_embed": jnp.ones((3, 2)), "decoder_0": {"ffn": {"in_kernel": jnp.ones((2, 2))}}},
  "gates": {"enc_self": jnp.zeros((1, 2))},
}


def config(**changes) -> optim.OptimConfig:
  """The built-in corpus' defaults."""
  fields = dict(
    model_size=128, total_steps=1000, warmup_steps=200, cooldown_steps=0, b1=0.9, b2=0.998,
    eps=1e-9, gates_factor=1.0, rules=((".*", "train"),),
  )  # fmt: skip
  return optim.OptimConfig(**(fields | changes))


@pytest.mark.parametrize("step", (0, 1, 999, 15999, 16000, 10**6))
def test_noam(step):
  s, c = step + 1, config(model_size=512, warmup_steps=16000)
  expected = 4.0 * 512**-0.5 * min(s**-0.5, s * 16000**-1.5)
  np.testing.assert_allclose(optim.noam(c, 4.0, step), expected, rtol=1e-5)


def test_noam_peaks_at_the_end_of_the_warm_up():
  rate = lambda step: optim.noam(config(model_size=512, warmup_steps=16000), 4.0, step)
  np.testing.assert_allclose(rate(15999), 1.40e-3, rtol=3e-3)
  np.testing.assert_allclose(rate(63999), rate(15999) / 2, rtol=1e-5)


def test_cool_down_ends_at_zero():
  plain, cooled = (
    lambda step, n=n: optim.noam(config(cooldown_steps=n), 1.0, step) for n in (0, 100)
  )
  assert cooled(899) == plain(899)
  np.testing.assert_allclose(cooled(950), plain(950) / 2, rtol=1e-5)
  np.testing.assert_allclose(cooled(999), plain(999) / 100, rtol=1e-4)


def test_first_matching_rule_wins():
  labels = optim.label(
    PARAMS, ((r"model/src_.*", "train"), (r"gates/.*", "train"), (".*", "freeze"))
  )
  assert labels == {
    "model": {"src_embed": "train", "decoder_0": {"ffn": {"in_kernel": "freeze"}}},
    "gates": {"enc_self": "gates"},
  }


@pytest.mark.parametrize(
  "rules, message",
  [
    (((".*", "train"), ("nothing/.*", "freeze")), "'nothing/.*' matches no parameter"),
    ((("model/.*", "train"),), "no pattern matches parameter gates/enc_self"),
    (((".*", "melt"),), "is not"),
    ((("(", "train"),), "bad pattern"),
  ],
)
def test_bad_rules_are_named(rules, message):
  with pytest.raises(UserError, match=message):
    optim.label(PARAMS, rules)


def test_frozen_parameters_have_no_state_and_gates_their_own_rate():
  labels = optim.label(PARAMS, (("model/decoder.*", "freeze"), (".*", "train")))
  optimizer = optim.make(config(gates_factor=5.0), 1.0, labels)
  state = optimizer.init(PARAMS)
  sizes = [x.size for x in jax.tree.leaves(state)]
  assert sum(sizes) == 2 * (6 + 2) + sum(s == 1 for s in sizes)  # two moments, and step counters
  updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
  assert jnp.all(updates["model"]["decoder_0"]["ffn"]["in_kernel"] == 0)
  ratio = updates["gates"]["enc_self"][0, 0] / updates["model"]["src_embed"][0, 0]
  np.testing.assert_allclose(ratio, 5.0, rtol=1e-5)


def test_adam_has_the_originals_epsilon():
  """w -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), with an eps that matters."""
  c = config(eps=0.5, b1=0.8, b2=0.9, warmup_steps=1)
  params = {"model": {"w": jnp.array([1.0])}, "gates": {}}
  optimizer = optim.make(c, 2.0, {"model": {"w": "train"}, "gates": {}})
  state, w, m, v = optimizer.init(params), 1.0, 0.0, 0.0
  for t, gradient in enumerate((0.3, -0.7, 0.2), 1):
    updates, state = optimizer.update({"model": {"w": jnp.array([gradient])}, "gates": {}}, state)
    params = optax.apply_updates(params, updates)
    m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
    rate = 2.0 * 128**-0.5 * t**-0.5
    w -= rate * np.sqrt(1 - 0.9**t) / (1 - 0.8**t) * m / (np.sqrt(v) + 0.5)
    np.testing.assert_allclose(params["model"]["w"], [w], rtol=1e-5)


def test_table_counts_arrays_and_parameters():
  labels = optim.label(PARAMS, (("model/decoder.*", "freeze"), (".*", "train")))
  text = optim.table(labels, PARAMS, {"enc_self": (1,)})  # of an array for two
  assert (
    "4 frozen (1 arrays)" in text and "6 trained (1 arrays)" in text and "1 gate logits" in text
  )
