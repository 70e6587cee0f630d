"""The train step: a pure function, and the one place where training is jitted.

What is compiled in is a StepConfig. What a sweep varies (seed, L0 coefficient, learning rate, fixed
gates) are Knobs, which are traced: all its runs share one compilation.
"""

import dataclasses
import functools

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from headprune.nn import gates, ops
from headprune.nn.config import ModelConfig
from headprune.nn.losses import Teacher, token_losses
from headprune.train import optim, risk, target, word_dropout

_WORDS, _SAMPLES = 2, 3  # numbers of keys among a step's; those of gates and dropout are 0 and 1


@struct.dataclass
class TrainState:
  """All that changes from step to step, besides the data iterator."""

  step: jax.Array  # int32, optimiser steps taken
  params: dict  # {"model": ..., "gates": type -> log_alpha_NH}; a target's "multipliers" as well
  opt_state: optax.OptState


@dataclasses.dataclass(frozen=True)
class StepConfig:
  """All of a step that is compiled in; hashable."""

  model: ModelConfig
  optim: optim.OptimConfig
  label_smoothing: float
  accumulate: int  # micro-batches a step
  goal: target.TargetConfig | None = None  # None: heads cost what knobs.l0_coef says
  hidden: tuple = (None, None)  # word_dropout.Side of the source and of the target
  sharpness: float | None = None  # of minimum risk training; None: cross-entropy


@struct.dataclass
class Knobs:
  """All of a step that may vary without compiling anew; constant during a run."""

  seed: jax.Array  # uint32, of dropout and gates
  l0_coef: jax.Array  # float32, times the mean over gated modules of sum P(open)
  rate_scale: jax.Array  # float32, of Noam's schedule
  fixed_gates: dict  # type -> gate_NH: ones, or the values of a fixed run
  wanted_G: jax.Array  # float32, heads to keep of each group of StepConfig.goal; empty without it


def knobs(seed: int, l0_coef: float, rate_scale: float, fixed_gates: dict, wanted_G=()) -> Knobs:
  """Knobs of plain numbers."""
  numbers = np.uint32(seed), np.float32(l0_coef), np.float32(rate_scale)
  fixed_gates = jax.tree.map(np.asarray, fixed_gates)
  return Knobs(*numbers, fixed_gates, np.asarray(wanted_G, np.float32))


def init_state(config: StepConfig, params: dict) -> TrainState:
  """A state at step 0 around given parameters."""
  labels = optim.label(params, config.optim.rules)
  opt_state = optim.make(config.optim, 1.0, labels).init(params)
  return TrainState(jnp.zeros((), jnp.int32), params, opt_state)


def gradients(
  config: StepConfig,
  knobs: Knobs,
  params: dict,
  batch: dict,
  uniforms: dict,
  noise_bits,
  step=0,
  teacher: Teacher | None = None,
):
  """Loss and gradients of one whole batch, micro-batch by micro-batch.

  The sums over micro-batches and devices are divided once, by the batch's number of target tokens,
  so that micro-batches and devices are two ways to the same step.

  Args:
    config: see StepConfig.
    knobs: see Knobs.
    params: see TrainState.
    batch: dict of [B, ...] arrays.
    uniforms: from `gates.draw_uniforms`.
    noise_bits: uint32 scalar for dropout; None for no dropout.
    step: steps taken, which a target's penalty depends on.
    teacher: whose probabilities the model learns as well.
  Returns:
    (dict with scalars: `smoothed_loss`, the mean KL divergence from smoothed labels (`taught_loss`
    with the teacher's part), or `risk`, the expected one, `penalty`, the mean over gated modules of
    sum P(open) (a top-K has none), `objective`, which the gradients are of; gradients shaped like
    params, zero where frozen).
  """
  labels = optim.label(params, config.optim.rules)
  tokens = jnp.maximum(jnp.sum(batch["tgt_segment_BT"] > 0), 1).astype(jnp.float32)

  def data_loss(params, micro):
    params = _stop_frozen(params, labels)
    gate_values = _train_gates(config, knobs, params["gates"], uniforms, step)
    noise = None if noise_bits is None else ops.Noise(noise_bits, micro["row_B"])
    return _loss(config, params["model"], micro, gate_values, noise, teacher, tokens)

  numbered = batch | {"row_B": jnp.arange(batch["src_BS"].shape[0], dtype=jnp.int32)}
  loss, grads = _add_up(jax.value_and_grad(data_loss), params, numbered, config.accumulate)
  others = {name: params[name] for name in params if name != "model"}
  cost = lambda others: _l0(config, knobs, _stop_frozen(others, labels), step)
  l0, l0_grads = jax.value_and_grad(cost)(others)
  grads |= jax.tree.map(jnp.add, {name: grads[name] for name in others}, l0_grads)
  name = "risk" if config.sharpness is not None else "taught_loss" if teacher else "smoothed_loss"
  values = {"objective": loss + l0, name: loss}
  if not _is_top_k(config):
    values["penalty"] = gates.penalty(params["gates"], config.model.heads)
  return values, grads


def _loss(config: StepConfig, params: dict, batch: dict, gate_values, noise, teacher, tokens):
  """A micro-batch's part of the mean over the whole batch's `tokens`, or the expected risk."""
  if config.sharpness is None:
    loss_BT = token_losses(
      config.model, params, batch, gate_values, config.label_smoothing, noise, teacher
    )
    return jnp.sum(loss_BT) / tokens
  loss_BT = token_losses(config.model, params, risk.as_targets(batch), gate_values, noise=noise)
  log_prob_BE = -jnp.sum(loss_BT, axis=1).reshape(batch["length_BE"].shape)
  return risk.expected(log_prob_BE, batch["risk_BE"], batch["length_BE"], config.sharpness)


def _add_up(loss_and_grads, params: dict, batch: dict, micro_batches: int):
  """Sums of a loss and its gradients over micro-batches, one after the other."""
  if micro_batches == 1:
    return loss_and_grads(params, batch)
  add = lambda total, micro: (jax.tree.map(jnp.add, total, loss_and_grads(params, micro)), None)
  zero = jnp.float32(0.0), jax.tree.map(jnp.zeros_like, params)
  total, _ = jax.lax.scan(add, zero, _split(batch, micro_batches))
  return total


def _split(batch: dict, micro_batches: int) -> dict:
  """[B, ...] -> [A, B / A, ...], neighbours apart: each device keeps its own rows."""
  return jax.tree.map(lambda x: x.reshape((-1, micro_batches) + x.shape[1:]).swapaxes(0, 1), batch)


def _stop_frozen(params: dict, labels: dict) -> dict:
  """`params` without gradients where they are frozen, of which there are some or all parts."""
  stop = lambda p, label: jax.lax.stop_gradient(p) if label == "freeze" else p
  return jax.tree.map(stop, params, {name: labels[name] for name in params})


def _is_top_k(config: StepConfig) -> bool:
  return bool(config.goal and config.goal.temperatures)


def _train_gates(config: StepConfig, knobs: Knobs, log_alphas: dict, uniforms: dict, step) -> dict:
  """Training-time gates of all types."""
  if not _is_top_k(config):
    return gates.train_gates(knobs.fixed_gates, log_alphas, uniforms)
  heads = config.model.heads
  return knobs.fixed_gates | target.train_gates(
    config.goal, knobs.wanted_G, log_alphas, uniforms, heads, step
  )


def _l0(config: StepConfig, knobs: Knobs, params: dict, step):
  """What open heads cost, in nats."""
  heads = config.model.heads
  if "multipliers" not in params:  # with a top-K the coefficient is 0
    return knobs.l0_coef * gates.penalty(params["gates"], heads)
  # Where training begins the surplus is 0 but for rounding, which Adam would make a whole step of.
  return target.penalty(
    config.goal, knobs.wanted_G, params["multipliers"], params["gates"], heads, step + 1
  )


def update(config: StepConfig, knobs: Knobs, state: TrainState, grads: dict) -> TrainState:
  """The state after one optimiser step with these gradients."""
  labels = optim.label(state.params, config.optim.rules)
  optimizer = optim.make(config.optim, knobs.rate_scale, labels)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)


def _step(config: StepConfig, knobs: Knobs, state: TrainState, batch: dict, teacher):
  """One optimiser step; see `train_step`."""
  if config.goal:
    log_alphas = target.settle(
      config.goal, knobs.wanted_G, state.params["gates"], config.model.heads, state.step
    )
    state = state.replace(params=state.params | {"gates": log_alphas})
  key = _key(knobs, state.step)
  gate_key, dropout_key = jax.random.split(key)
  uniforms = gates.draw_uniforms(gate_key, state.params["gates"])
  noise_bits = jax.random.bits(dropout_key, (), jnp.uint32)
  if any(config.hidden):
    batch = word_dropout.hide(config.hidden, jax.random.fold_in(key, _WORDS), batch)
  metrics, grads = gradients(
    config, knobs, state.params, batch, uniforms, noise_bits, state.step, teacher
  )
  new = update(config, knobs, state, grads)
  metrics |= {
    "learning_rate": optim.noam(config.optim, knobs.rate_scale, state.step),
    "grad_norm": grad_norm(grads),
    "tokens": _count_tokens(config, batch),
  }
  return new, metrics


def grad_norm(grads: dict):
  """The l2 norm of gradients but those of a target's multipliers, which are numbers of heads."""
  return optax.tree.norm({name: grads[name] for name in ("model", "gates")})


def _count_tokens(config: StepConfig, batch: dict):
  """Source and target tokens of a batch; of minimum risk training those of all candidates."""
  candidates = config.sharpness is not None
  targets = batch["length_BE"] if candidates else batch["tgt_segment_BT"] > 0
  return jnp.sum(batch["src_segment_BS"] > 0) + jnp.sum(targets)


def _key(knobs: Knobs, step):
  return jax.random.fold_in(jax.random.key(knobs.seed), step)


def sampling_key(knobs: Knobs, step):
  """The key of what is sampled before a step, for it to learn from."""
  return jax.random.fold_in(_key(knobs, step), _SAMPLES)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def train_step(
  config: StepConfig,
  knobs: Knobs,
  state: TrainState,
  batch: dict,
  teacher: Teacher | None = None,
):
  """One optimiser step.

  All randomness is a function of (seed, step): nothing random is stored, and a resumed run goes on
  exactly.

  Returns:
    (state, dict of scalars).
  """
  return _step(config, knobs, state, batch, teacher)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def train_steps(
  config: StepConfig,
  knobs: Knobs,
  state: TrainState,
  batch: dict,
  teacher: Teacher | None = None,
):
  """`train_step` of several runs at once, on one batch, with one teacher.

  Every array of `knobs`, `state` and what is returned has the runs as its first axis.
  """
  step = functools.partial(_step, config)
  return jax.vmap(step, (0, 0, None, None))(knobs, state, batch, teacher)


@functools.partial(jax.jit, static_argnums=0)
def eval_step(config: StepConfig, params: dict, gate_values: dict, batch: dict):
  """Sums over one batch: (-log p, smoothed loss, target tokens).

  Args:
    config: see StepConfig.
    params: the model's.
    gate_values: attention type -> gate_NH.
    batch: dict of [B, ...] arrays.
  """
  loss_BT, smoothed_BT = (
    token_losses(config.model, params, batch, gate_values, smoothing)
    for smoothing in (0.0, config.label_smoothing)
  )
  return jnp.sum(loss_BT), jnp.sum(smoothed_BT), jnp.sum(batch["tgt_segment_BT"] > 0)
