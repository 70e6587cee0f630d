"""The train step: devices and micro-batches are two ways to one step; frozen parts; knobs."""

import dataclasses

import jax
from jax.sharding import AxisType, Mesh
import numpy as np
import pytest

from headprune.nn import gates
from headprune.nn.config import TYPES, open_gates
from headprune.nn.losses import Teacher, token_losses
from headprune.nn.transformer import init_params
from headprune.text import batching
from headprune.train import devices, optim, steps, target
from tests import tiny

DROPOUT = {f"{n}_dropout": 0.1 for n in ("embed", "residual", "attention", "activation")}
SIZES = tiny.even(
  src_vocab=17, tgt_vocab=19, model_size=16, enc_self=(4, 4), dec_self=(4, 4), dec_enc=(4, 4),
  enc_ff_size=32, dec_ff_size=32, **DROPOUT,
)  # fmt: skip
ROWS, STEPS = 8, 3
KNOBS = {"seed": 5, "l0_coef": 0.3, "rate_scale": 1.0}
ENCODER_ONLY = ((r"model/src_.*", "train"), (r"model/enc.*", "train"), (r"gates/.*", "train"))


def make_config(accumulate=1, rules=((".*", "train"),), model=SIZES) -> steps.StepConfig:
  optim_config = optim.OptimConfig(
    model_size=16, total_steps=STEPS, warmup_steps=2, cooldown_steps=0, b1=0.9, b2=0.998, eps=1e-9,
    gates_factor=1.0, rules=rules,
  )  # fmt: skip
  return steps.StepConfig(model, optim_config, label_smoothing=0.1, accumulate=accumulate)


def make_knobs(**changes) -> steps.Knobs:
  return steps.knobs(**(KNOBS | changes), fixed_gates=open_gates(SIZES))


def initial_params():
  module = gates.Gates(tuple(SIZES.gate_shapes.items()), "glorot")
  return {
    "model": init_params(SIZES, jax.random.key(0)),
    "gates": module.init(jax.random.key(1))["params"],
  }


def make_batch():
  rng = np.random.default_rng(0)
  draw = lambda: [*rng.integers(3, 17, rng.integers(1, 9)).tolist(), 1]
  return batching.pad_pairs([draw() for _ in range(ROWS)], [draw() for _ in range(ROWS)], 9, 9)


def run(config, knobs=None, count=1):
  mesh = Mesh(np.array(jax.devices()[:count]), ("data",), axis_types=(AxisType.Auto,))
  state = devices.replicate(steps.init_state(config, initial_params()), mesh)
  batch, losses = devices.shard_batch(make_batch(), mesh), []
  for _ in range(STEPS):
    state, metrics = steps.train_step(config, knobs or make_knobs(), state, batch)
    losses.append(float(metrics["objective"]))
  return losses, jax.device_get(state.params)


@pytest.fixture(scope="module")
def reference():
  return run(make_config())


@pytest.mark.parametrize("accumulate, count", [(1, 8), (4, 1), (2, 4)])
def test_devices_and_micro_batches_give_the_same_run(reference, accumulate, count):
  losses, params = run(make_config(accumulate), count=count)
  np.testing.assert_allclose(losses, reference[0], rtol=1e-5)
  for name in TYPES:
    np.testing.assert_allclose(params["gates"][name], reference[1]["gates"][name], atol=2e-4)


def test_other_knobs_compile_nothing_and_change_the_run(reference):
  compiled = steps.train_step._cache_size()
  for changes in ({"seed": 6}, {"l0_coef": 3.0}, {"rate_scale": 0.5}):
    losses, params = run(make_config(), make_knobs(**changes))
    assert losses[-1] != reference[0][-1], changes
  closed = dataclasses.replace(
    make_knobs(), fixed_gates=jax.tree.map(np.zeros_like, open_gates(SIZES))
  )
  run(make_config(), closed)
  assert steps.train_step._cache_size() == compiled > 0
  run(make_config(accumulate=2))
  assert steps.train_step._cache_size() > compiled, "what a StepConfig holds is compiled in"


def test_the_objective_is_the_smoothed_loss_plus_l0():
  model = dataclasses.replace(SIZES, **dict.fromkeys(DROPOUT, 0.0))
  config, params, batch = make_config(model=model), initial_params(), make_batch()
  uniforms = gates.draw_uniforms(jax.random.key(3), params["gates"])
  values, _ = jax.jit(steps.gradients, static_argnums=0)(
    config, make_knobs(), params, batch, uniforms, None
  )
  sampled = {n: gates.from_uniform(uniforms[n], params["gates"][n]) for n in TYPES}
  loss_BT = jax.jit(token_losses, static_argnums=(0, 4))(
    model, params["model"], batch, sampled, 0.1
  )
  xent = loss_BT.sum() / (batch["tgt_segment_BT"] > 0).sum()
  p_open = [float(gates.p_open(params["gates"][n][i]).sum()) for n in TYPES for i in (0, 1)]
  np.testing.assert_allclose(values["smoothed_loss"], xent, rtol=1e-5)
  np.testing.assert_allclose(values["penalty"], np.mean(p_open), rtol=1e-5)
  np.testing.assert_allclose(values["objective"], xent + 0.3 * np.mean(p_open), rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_teacher_has_its_share_of_the_loss_and_of_the_gradients(accumulate):
  model = dataclasses.replace(SIZES, **dict.fromkeys(DROPOUT, 0.0))
  params, batch = initial_params(), make_batch()
  taught_by = init_params(model, jax.random.key(7)), open_gates(model)
  uniforms = gates.draw_uniforms(jax.random.key(3), params["gates"])
  gradients = jax.jit(steps.gradients, static_argnums=0)

  def taught(share):
    args = make_config(accumulate, model=model), make_knobs(), params, batch, uniforms, None, 0
    teacher = None if share is None else Teacher(model, share, *taught_by)
    values, grads = gradients(*args, teacher)
    name = "smoothed_loss" if share is None else "taught_loss"
    assert values.keys() == {"objective", name, "penalty"}
    return values[name], grads

  own, whole, mixed = taught(None), taught(1.0), taught(0.25)
  assert abs(own[0] - whole[0]) > 0.1
  want = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, own, whole)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), mixed, want)


def test_the_objective_of_a_top_k_is_the_smoothed_loss_and_its_number_is_a_knob():
  groups = tuple((name, (0, 0)) for name in TYPES)
  goal = target.TargetConfig(groups, 0, settle_step=10, temperatures=(1.0, 0.1))
  model = dataclasses.replace(SIZES, **dict.fromkeys(DROPOUT, 0.0))
  config = dataclasses.replace(make_config(model=model), goal=goal)
  params, batch = initial_params(), make_batch()
  uniforms = gates.draw_uniforms(jax.random.key(3), params["gates"])
  knobs = make_knobs(l0_coef=0.0)

  def gradients(wanted_G):
    lane = knobs.replace(wanted_G=wanted_G)
    return steps.gradients(config, lane, params, batch, uniforms, None, 5)

  wanted_LG = np.float32([[3], [24]])
  values, grads = jax.jit(jax.vmap(gradients))(wanted_LG)
  assert values.keys() == {"objective", "smoothed_loss"}, "no penalty"
  np.testing.assert_array_equal(values["objective"], values["smoothed_loss"])
  assert all(np.all(grads["gates"][name][0]) for name in TYPES)
  for lane, wanted_G in enumerate(wanted_LG):
    drawn = target.train_gates(goal, wanted_G, params["gates"], uniforms, SIZES.heads, 5)
    loss_BT = jax.jit(token_losses, static_argnums=(0, 4))(
      model, params["model"], batch, drawn, 0.1
    )
    xent = loss_BT.sum() / (batch["tgt_segment_BT"] > 0).sum()
    np.testing.assert_allclose(values["objective"][lane], xent, rtol=1e-5)


def test_the_penalty_of_a_wanted_number_is_in_the_objective_and_its_multipliers_climb():
  model = tiny.even()
  goal = target.TargetConfig((("enc_self", (0,)), ("dec_enc", (1,))), 10, settle_step=20)
  config = make_config(model=model)
  climb = dataclasses.replace(config.optim, total_steps=40, ascent_G=(3.0, 5.0))
  config = dataclasses.replace(config, goal=goal, optim=climb)
  knobs = steps.knobs(5, 0.0, 1.0, open_gates(model), (1.0, 0.0))
  log_alphas = {"enc_self": np.float32([[0.5, 1.0]]), "dec_enc": np.float32([[0.0, -2.0]])}
  multipliers = {"linear": np.float32([0.5, -1.0]), "quadratic": np.float32([2.0, 0.25])}
  params = {"model": tiny.random_params(model), "gates": log_alphas, "multipliers": multipliers}
  batch = batching.pad_pairs(tiny.SOURCES, [[2, 1], [3, 1], [4, 5, 1]], 4, 3)
  uniforms = gates.draw_uniforms(jax.random.key(3), log_alphas)

  @jax.jit
  def step(params):
    values, grads = steps.gradients(config, knobs, params, batch, uniforms, None, 4)
    return values, steps.update(config, knobs, steps.init_state(config, params), grads).params

  values, moved = step(params)
  args = config.goal, knobs.wanted_G, multipliers, log_alphas, model.heads, 5  # after this step
  penalty = values["objective"] - values["smoothed_loss"]
  np.testing.assert_allclose(penalty, target.penalty(*args), rtol=1e-4)
  aim_G = target.aim(goal, knobs.wanted_G, np.float32([2, 2]), 5)
  surplus_G = np.array([gates.p_open(a_NH).sum() for a_NH in log_alphas.values()]) - aim_G
  for name, slope_G in (("linear", surplus_G), ("quadratic", surplus_G**2 / 2)):
    climbed_G = moved["multipliers"][name] - multipliers[name]
    np.testing.assert_allclose(climbed_G, slope_G * np.array([3.0, 5.0]) / 40, rtol=1e-3)


def test_dropout_is_a_function_of_the_noise_bits_and_absent_without_them():
  config, params, batch = make_config(), initial_params(), make_batch()
  uniforms = gates.draw_uniforms(jax.random.key(3), params["gates"])
  gradients = jax.jit(steps.gradients, static_argnums=0)
  xent = lambda config, bits: float(
    gradients(config, make_knobs(), params, batch, uniforms, bits)[0]["smoothed_loss"]
  )
  first, again, other = (xent(config, np.uint32(bits)) for bits in (1, 1, 2))
  assert first == again != other
  bare = make_config(model=dataclasses.replace(SIZES, **dict.fromkeys(DROPOUT, 0.0)))
  np.testing.assert_allclose(xent(config, None), xent(bare, np.uint32(1)), rtol=1e-6)
  assert abs(first - xent(config, None)) > 1e-4


def test_metrics_of_a_step():
  config, params, batch = make_config(), initial_params(), make_batch()
  state, metrics = steps.train_step(config, make_knobs(), steps.init_state(config, params), batch)
  real = sum(int((batch[f"{side}"] > 0).sum()) for side in ("src_segment_BS", "tgt_segment_BT"))
  assert int(state.step) == 1 and int(metrics["tokens"]) == real
  np.testing.assert_allclose(metrics["learning_rate"], 16**-0.5 * 2**-1.5, rtol=1e-6)


def test_surplus_heads_of_a_target_are_no_part_of_the_gradients_norm():
  grads = {"model": {"a": np.float32([3])}, "gates": {"enc_self": np.float32([[4]])}}
  assert steps.grad_norm(grads) == 5.0
  assert steps.grad_norm(grads | {"multipliers": {"linear": np.float32([20])}}) == 5.0


def test_what_is_frozen_has_no_gradient_of_its_cost_either():
  config, params = make_config(rules=((r"gates/.*", "freeze"), (".*", "train"))), initial_params()
  uniforms = gates.draw_uniforms(jax.random.key(3), params["gates"])
  args = make_knobs(), params, make_batch(), uniforms, None
  _, grads = jax.jit(steps.gradients, static_argnums=0)(config, *args)
  assert not any(np.any(grads["gates"][name]) for name in TYPES)
  assert np.any(grads["model"]["encoder_0"]["ffn"]["in_kernel"])


def test_evaluation_has_no_noise():
  params, batch = initial_params(), make_batch()
  values = gates.eval_gates(open_gates(SIZES), params["gates"])
  total, smoothed, tokens = steps.eval_step(make_config(), params["model"], values, batch)
  losses = jax.jit(token_losses, static_argnums=(0, 4))
  for found, smoothing in ((total, 0.0), (smoothed, 0.1)):
    loss_BT = losses(SIZES, params["model"], batch, values, smoothing)
    np.testing.assert_allclose(found, loss_BT.sum(), rtol=1e-5)
  assert int(tokens) == (batch["tgt_segment_BT"] > 0).sum()


def test_frozen_parameters_do_not_move_and_the_rest_does():
  _, params = run(make_config(rules=(*ENCODER_ONLY, (r".*", "freeze"))))
  same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), initial_params(), params)
  for name, branch in same["model"].items():
    trained = name.startswith(("enc", "src"))
    assert all(jax.tree.leaves(branch)) != trained, name


def test_frozen_parameters_cost_no_weight_gradient():
  """The compiled step with a frozen decoder multiplies much less than the one that trains it."""

  def flops(rules):
    config = make_config(rules=rules)
    state = steps.init_state(config, initial_params())
    lowered = steps.train_step.lower(config, make_knobs(), state, make_batch())
    return lowered.cost_analysis()["flops"]

  encoder_only = (*ENCODER_ONLY[:2], (".*", "freeze"))
  assert flops(encoder_only) < 0.9 * flops(((".*", "train"),))
