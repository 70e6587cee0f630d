"""Schedule, freezing rules and optimiser state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from headprune import optim
from headprune.errors import UserError

PARAMS = {
  "model": {"src_embed": jnp.ones((3, 2)), "decoder_0": {"ffn": {"in_kernel": jnp.ones((2, 2))}}},
  "gates": {"enc_self": jnp.zeros((1, 2))},
}


def test_noam_peaks_at_the_end_of_the_warm_up():
  config = common.base().optim
  config.scale, config.warmup_steps = 4.0, 16000
  schedule = optim.noam(config, 512, 200000)
  np.testing.assert_allclose(schedule(15999), 1.40e-3, rtol=3e-3)
  np.testing.assert_allclose(schedule(0), 4 * 512**-0.5 * 16000**-1.5, rtol=1e-5)
  np.testing.assert_allclose(schedule(63999), schedule(15999) / 2, rtol=1e-5)


def test_cool_down_ends_at_zero():
  config = common.base().optim
  plain = optim.noam(config, 128, 1000)
  config = common.base().optim
  config.cooldown_steps = 100
  cooled = optim.noam(config, 128, 1000)
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
  config = common.base().optim
  config.gates_factor = 5.0
  labels = optim.label(PARAMS, (("model/decoder.*", "freeze"), (".*", "train")))
  optimizer = optim.make(config, optim.noam(config, 128, 100), labels)
  state = optimizer.init(PARAMS)
  sizes = [x.size for x in jax.tree.leaves(state)]
  assert sum(sizes) == 2 * (6 + 2) + sum(s == 1 for s in sizes)  # two moments, and step counters
  updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
  assert jnp.all(updates["model"]["decoder_0"]["ffn"]["in_kernel"] == 0)
  ratio = updates["gates"]["enc_self"][0, 0] / updates["model"]["src_embed"][0, 0]
  np.testing.assert_allclose(ratio, 5.0, rtol=1e-5)


def test_table_counts_arrays_and_parameters():
  labels = optim.label(PARAMS, (("model/decoder.*", "freeze"), (".*", "train")))
  text = optim.table(labels, PARAMS)
  assert (
    "4 frozen (1 arrays)" in text and "6 trained (1 arrays)" in text and "2 gate logits" in text
  )
