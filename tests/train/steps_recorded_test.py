"""The original program's recorded training steps: losses, gradients and weights."""

import functools
import json

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from headprune.formats import original, original_hp
from headprune.nn.config import open_gates
from headprune.text import batching
from headprune.train import optim, steps
from tests import recorded


@functools.cache
def trained():
  """The recorded steps, taken here: ((metrics, gradients) of each step, final parameters)."""
  settings = json.loads((recorded.GOLDEN / "train_steps" / "config.json").read_text())
  record = recorded.arrays("train_steps/steps.npz")
  model, params = original.from_npz(recorded.arrays("concrete/model.npz"), settings["hp"])
  optim_config = optim.OptimConfig(
    model_size=model.model_size, total_steps=8, warmup_steps=4, cooldown_steps=0, b1=0.9, b2=0.998,
    eps=1e-9, gates_factor=1.0, rules=((".*", "train"),),
  )  # fmt: skip
  config = steps.StepConfig(model, optim_config, label_smoothing=0.1, accumulate=1)
  knobs = steps.knobs(0, settings["concrete_coef"], 0.1, open_gates(model))

  @jax.jit
  def step(state, batch, uniforms):
    metrics, grads = steps.gradients(config, knobs, state.params, batch, uniforms, None)
    metrics["rate"] = optim.noam(optim_config, knobs.rate_scale, state.step)
    return steps.update(config, knobs, state, grads), metrics, grads

  state, history = steps.init_state(config, jax.tree.map(jnp.asarray, params)), []
  for i in range(8):
    prefix = f"step{i}/"
    here = {k.removeprefix(prefix): x for k, x in record.items() if k.startswith(prefix)}
    uniforms = {
      name: np.stack([here[f"noise/{key}/{n}"].ravel() for n in range(2)])
      for name, (key, _) in original_hp.NAMES.items()
    }
    batch = batching.pad_pairs(*recorded.pairs(here), 48, 48)
    state, metrics, grads = step(state, batch, uniforms)
    history.append((metrics, grads))
  return history, state.params


def recorded_tree(prefix):
  """Recorded variables as a parameter tree, flat."""
  settings = json.loads((recorded.GOLDEN / "train_steps" / "config.json").read_text())
  record = recorded.arrays("train_steps/steps.npz")
  arrays = {k.removeprefix(prefix): x for k, x in record.items() if k.startswith(prefix)}
  _, params = original.from_npz(arrays, settings["hp"])
  return traverse_util.flatten_dict(params, sep="/")


def without_key_bias(path, array):
  """Drops the keys' biases, which no output depends on.

  A key bias adds the same number to all scores of a query. Its gradient is zero but for rounding,
  and Adam's normalisation turns that noise, another one in every program, into steps.
  """
  if path.endswith("qkv_bias"):
    return np.delete(array, 1, axis=0)
  return np.delete(array, 0, axis=0) if path.endswith("kv_bias") else np.asarray(array)


def test_losses_and_learning_rates_of_the_recorded_steps():
  record = recorded.arrays("train_steps/steps.npz")
  for i, (metrics, _) in enumerate(trained()[0]):
    np.testing.assert_allclose(metrics["objective"], record[f"step{i}/loss"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(metrics["rate"], record[f"step{i}/lr"], rtol=1e-6)


def test_gradients_of_the_first_recorded_step():
  ours = traverse_util.flatten_dict(trained()[0][0][1], sep="/")
  theirs = recorded_tree("step0/grad/")
  assert ours.keys() == theirs.keys()
  for path, expected in theirs.items():
    np.testing.assert_allclose(ours[path], expected, rtol=0, atol=1e-5, err_msg=path)


def test_weights_after_the_recorded_steps():
  ours = traverse_util.flatten_dict(trained()[1], sep="/")
  theirs = recorded_tree("step7/weights_after/")
  assert ours.keys() == theirs.keys()
  for path, expected in theirs.items():
    pair = (without_key_bias(path, x) for x in (ours[path], expected))
    # Weights move by up to 0.05 here. Adam magnifies the rounding of small gradients, which differs
    # from processor to processor: 1.9e-5 and 2.1e-5 were seen.
    np.testing.assert_allclose(*pair, rtol=0, atol=5e-5, err_msg=path)
