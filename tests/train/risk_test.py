"""The expected risk and its gradient, by hand and of a model; what training with it does."""

import dataclasses

import jax
import numpy as np
import pytest

from headprune.nn import ops
from headprune.nn.config import open_gates
from headprune.nn.losses import token_losses
from headprune.text import batching
from headprune.train import risk, steps
from tests import tiny
from tests.train import steps_test

# Two sentences, three candidates; the second sentence has two alone.
LOG_PROB = np.log([[0.5, 0.25, 0.125], [0.1, 0.4, 0.9]])
RISK = np.array([[0.0, 0.5, 1.0], [0.2, 0.8, 9.0]])
LENGTH = np.array([[3, 4, 2], [2, 5, 0]])
expected = jax.jit(jax.value_and_grad(risk.expected), static_argnums=3)


def test_two_sentences_with_three_candidates_by_hand():
  value, grad_BE = expected(LOG_PROB, RISK, LENGTH, 1.0)
  # q is (4, 2, 1) / 7 and (1, 4) / 5.
  risks = (2 * 0.5 + 1 * 1.0) / 7, (0.2 + 4 * 0.8) / 5
  np.testing.assert_allclose(value, sum(risks) / 2, rtol=1e-6)
  want = [
    [4 / 7 * (0.0 - risks[0]), 2 / 7 * (0.5 - risks[0]), 1 / 7 * (1.0 - risks[0])],
    [1 / 5 * (0.2 - risks[1]), 4 / 5 * (0.8 - risks[1]), 0.0],
  ]
  np.testing.assert_allclose(grad_BE, np.array(want) / 2, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("sharpness, powers", [(2.0, (16, 4, 1)), (0.5, (2, 2**0.5, 1))])
def test_sharpness_is_the_power_of_p(sharpness, powers):
  value, grad_BE = expected(LOG_PROB[:1], RISK[:1], LENGTH[:1], sharpness)
  q = np.array(powers) / sum(powers)
  np.testing.assert_allclose(value, q @ RISK[0], rtol=1e-6)
  np.testing.assert_allclose(grad_BE[0], sharpness * q * (RISK[0] - q @ RISK[0]), rtol=1e-5)
  nearly_alike, _ = expected(LOG_PROB[:1], RISK[:1], LENGTH[:1], 1e-6)
  np.testing.assert_allclose(nearly_alike, 0.5, rtol=1e-5)


SOURCES = [[3, 4, 1], [5, 1]]
CANDIDATES = [[[2, 1], [5, 4, 3, 1], [1]], [[3, 1], [4, 2, 1]]]
MODEL = tiny.even()


def make_batch(risks=((0.0, 0.6, 1.0), (0.0, 0.7, 0.0))):
  found = np.zeros((2, 3, 5), np.int32), np.zeros((2, 3), np.int32)
  for b, candidates in enumerate(CANDIDATES):
    for e, ids in enumerate(candidates):
      found[0][b, e, : len(ids)], found[1][b, e] = ids, len(ids)
  pairs = batching.pad_pairs(SOURCES, [candidates[0] for candidates in CANDIDATES], 4, 5)
  names = dict(zip(("candidate_BET", "length_BE"), found))
  return pairs | names | {"risk_BE": np.array(risks, np.float32)}


def make_config(**changes) -> steps.StepConfig:
  model = changes.pop("model", MODEL)
  return dataclasses.replace(steps_test.make_config(model=model), sharpness=0.5, **changes)


KNOBS = steps.knobs(5, 0.0, 1.0, open_gates(MODEL))


def new_state(config):
  return steps.init_state(config, {"model": tiny.random_params(MODEL), "gates": {}})


def test_a_step_has_the_risk_of_the_model_and_its_gradient():
  """Against one padded pair a candidate, each with its own source."""
  flat = batching.pad_pairs(
    [SOURCES[b] for b in (0, 0, 0, 1, 1)], [ids for row in CANDIDATES for ids in row], 4, 5
  )
  params = tiny.random_params(MODEL)

  def by_hand(params):
    p_5 = jax.numpy.exp(-0.5 * token_losses(MODEL, params, flat, open_gates(MODEL)).sum(1))
    first = (0.6 * p_5[1] + 1.0 * p_5[2]) / p_5[:3].sum()
    return (first + 0.7 * p_5[4] / p_5[3:].sum()) / 2

  value, want = jax.jit(jax.value_and_grad(by_hand))(params)
  gradients = jax.jit(steps.gradients, static_argnums=0)
  whole = {"model": params, "gates": {}}
  found, grads = gradients(make_config(), KNOBS, whole, make_batch(), {}, None)
  assert found.keys() == {"objective", "risk", "penalty"}
  np.testing.assert_allclose([found["objective"], found["risk"]], value, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), grads["model"], want
  )
  assert max(float(abs(x).max()) for x in jax.tree.leaves(want)) > 0.01


def test_candidates_of_a_source_share_their_dropout_masks():
  model = dataclasses.replace(MODEL, residual_dropout=0.5, embed_dropout=0.5)
  twice = make_batch()
  for name in ("candidate_BET", "length_BE"):
    twice[name][0, 1] = twice[name][0, 0]
  noise = ops.Noise(np.uint32(3), np.arange(2, dtype=np.int32))
  loss_BT = jax.jit(token_losses, static_argnums=0)(
    model, tiny.random_params(MODEL), risk.as_targets(twice), open_gates(MODEL), noise=noise
  )
  loss_BET = np.asarray(loss_BT).reshape(2, 3, 5)
  np.testing.assert_allclose(loss_BET[0, 0], loss_BET[0, 1], rtol=1e-5)
  assert abs(loss_BET[0, 0, :2] - loss_BET[1, 0, :2]).min() > 1e-3
  assert not loss_BET[1, 2].any()


def test_training_moves_probability_to_the_better_of_two():
  """Where both of a sentence's targets are known, q of the better one is 1 - the risk."""
  config, batch = make_config(), make_batch(risks=((0, 1, 0), (1, 0, 0)))
  batch["length_BE"][:, 2] = 0
  state, risks = new_state(config), []
  optim = dataclasses.replace(config.optim, total_steps=30)
  config = dataclasses.replace(config, optim=optim)
  for _ in range(30):
    state, metrics = steps.train_step(config, KNOBS.replace(rate_scale=0.2), state, batch)
    risks.append(float(metrics["risk"]))
  assert risks[0] > 0.2 and risks[-1] < 0.25 * risks[0]
  assert metrics["tokens"] == (3 + 2) + (2 + 4) + (2 + 3), "sources, and all candidates"
  pairs = batching.pad_pairs(
    [SOURCES[b] for b in (0, 0, 1, 1)], CANDIDATES[0][:2] + CANDIDATES[1][:2], 4, 5
  )
  losses = jax.jit(token_losses, static_argnums=0)
  before, after = (
    np.asarray(losses(MODEL, params, pairs, open_gates(MODEL))).sum(1)
    for params in (tiny.random_params(MODEL), state.params["model"])
  )
  better, worse = [0, 3], [1, 2]
  assert (after[worse] - after[better] > before[worse] - before[better] + 1.0).all()
