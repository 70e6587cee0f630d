"""The train step: devices and micro-batches are two ways to one step; frozen parts; gate noise."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from configs import common
from headprune import data, gates, model, optim, steps

SIZES = model.ModelConfig(
  src_vocab=17,
  tgt_vocab=19,
  model_size=16,
  head_size=4,
  ff_size=32,
  enc_self=(4, 4),
  dec_self=(4, 4),
  dec_enc=(4, 4),
  embed_dropout=0.1,
  residual_dropout=0.1,
  attention_dropout=0.1,
  relu_dropout=0.1,
)
ROWS, STEPS = 8, 3


def make_setup(accumulate=1, rules=((".*", "train"),), **changes):
  config = common.base()
  config.optim.warmup_steps = 2
  labels = optim.label(initial_params(), rules)
  schedule = optim.noam(config.optim, SIZES.model_size, STEPS)
  setup = steps.Setup(
    model_config=SIZES,
    optimizer=optim.make(config.optim, schedule, labels),
    schedule=schedule,
    labels=labels,
    fixed_gates=model.ones(SIZES),
    l0_coef=0.3,
    label_smoothing=0.1,
    accumulate=accumulate,
    seed=5,
  )
  return dataclasses.replace(setup, **changes)


def initial_params():
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  init = jax.jit(lambda key: model.Transformer(SIZES).init(key, batch, model.ones(SIZES)))
  module = gates.Gates(gates.TYPES, 2, 4, "glorot")
  return {
    "model": init(jax.random.key(0))["params"],
    "gates": module.init(jax.random.key(1))["params"],
  }


def batches():
  rng = np.random.default_rng(0)
  pairs = [
    [rng.integers(3, 17, rng.integers(1, 9)).tolist() + [1] for _ in range(2)] for _ in range(ROWS)
  ]
  return model.unpacked_batch(*zip(*pairs), 9, 9)


def run(setup, devices=1):
  mesh = Mesh(np.array(jax.devices()[:devices]), ("data",), axis_types=(AxisType.Auto,))
  state = steps.init_state(setup, initial_params())
  state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
  train_step, _ = steps.compile_steps(setup)
  batch, losses = data.put(batches(), mesh), []
  for _ in range(STEPS):
    state, metrics = train_step(state, batch)
    losses.append(float(metrics["loss"]))
  return losses, jax.device_get(state.params)


@pytest.fixture(scope="module")
def reference():
  return run(make_setup())


@pytest.mark.parametrize("accumulate, devices", [(1, 8), (4, 1), (2, 4)])
def test_devices_and_micro_batches_give_the_same_run(reference, accumulate, devices):
  losses, params = run(make_setup(accumulate), devices)
  np.testing.assert_allclose(losses, reference[0], rtol=1e-5)
  for name in gates.TYPES:
    np.testing.assert_allclose(params["gates"][name], reference[1]["gates"][name], atol=2e-4)


def test_loss_is_cross_entropy_plus_l0(reference):
  setup = make_setup(model_config=dataclasses.replace(SIZES, **{
    f"{n}_dropout": 0.0 for n in ("embed", "residual", "attention", "relu")}))  # fmt: skip
  params = initial_params()
  uniforms = steps.draw_uniforms(jax.random.key(3), params["gates"])
  values, _ = steps.gradients(setup, params, batches(), uniforms, None)
  sampled = {n: gates.from_uniform(uniforms[n], params["gates"][n]) for n in gates.TYPES}
  total, tokens = steps.token_losses(setup, params, batches(), sampled)
  p_open = [float(gates.p_open(params["gates"][n][i]).sum()) for n in gates.TYPES for i in (0, 1)]
  np.testing.assert_allclose(values["xent"], total / tokens, rtol=1e-5)
  np.testing.assert_allclose(values["penalty"], np.mean(p_open), rtol=1e-5)
  np.testing.assert_allclose(values["loss"], total / tokens + 0.3 * np.mean(p_open), rtol=1e-5)
  assert int(tokens) == (batches()["tgt_segment_BT"] > 0).sum()


def test_noise_differs_by_type_and_head_and_is_shared_by_the_batch():
  uniforms = steps.draw_uniforms(jax.random.key(0), initial_params()["gates"])
  values = np.concatenate([np.ravel(u) for u in uniforms.values()])
  assert len(np.unique(values)) == 3 * 2 * 4
  one_type = steps.draw_uniforms(jax.random.key(0), {"dec_enc": jnp.zeros((2, 4))})
  np.testing.assert_array_equal(one_type["dec_enc"], uniforms["dec_enc"])


def test_frozen_parameters_do_not_move_and_the_rest_does(reference):
  rules = (
    (r"model/src_.*", "train"),
    (r"model/enc.*", "train"),
    (r"gates/.*", "train"),
    (r".*", "freeze"),
  )
  _, params = run(make_setup(rules=rules))
  before = initial_params()
  same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), before, params)
  for name, branch in same["model"].items():
    trained = name.startswith(("enc", "src"))
    assert all(jax.tree.leaves(branch)) != trained, name


def test_frozen_parameters_cost_no_weight_gradient():
  """The compiled step with a frozen decoder multiplies much less than the one that trains it."""

  def flops(rules):
    setup = make_setup(rules=rules)
    state = steps.init_state(setup, initial_params())
    train_step, _ = steps.compile_steps(setup)
    return train_step.lower(state, batches()).cost_analysis()["flops"]

  encoder_only = ((r"model/src_.*", "train"), (r"model/enc.*", "train"), (".*", "freeze"))
  assert flops(encoder_only) < 0.9 * flops(((".*", "train"),))


def test_test_time_gates_ignore_heads_that_do_not_exist():
  present = {"enc_self": np.array([[1.0, 1.0, 0.0]], np.float32)}
  values = steps.test_gates(present, {"gates": {"enc_self": jnp.full((1, 3), 9.0)}})
  np.testing.assert_array_equal(values["enc_self"], [[1.0, 1.0, 0.0]])
