"""The train and evaluation steps: pure functions, and the one place where training is jitted."""

import dataclasses
import functools

from flax import struct
import jax
import jax.numpy as jnp
import optax

from headprune import gates, ops
from headprune.model import ModelConfig, Transformer


@struct.dataclass
class TrainState:
  """All that changes from step to step, besides the data iterator."""

  step: jax.Array  # int32, optimiser steps taken
  params: dict  # {"model": ..., "gates": type -> log_alpha_NH}
  opt_state: optax.OptState


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
  """All that a step needs and that never changes during a run."""

  model_config: ModelConfig
  optimizer: optax.GradientTransformation
  schedule: object  # step -> learning rate
  labels: dict  # shaped like params: "train", "gates" or "freeze"
  fixed_gates: dict  # type -> gate_NH: ones, or the values of a fixed run
  l0_coef: float
  label_smoothing: float
  accumulate: int  # micro-batches a step
  seed: int


def init_state(setup: Setup, params: dict) -> TrainState:
  """A state at step 0 around given parameters."""
  return TrainState(jnp.zeros((), jnp.int32), params, setup.optimizer.init(params))


def draw_uniforms(key, log_alphas: dict) -> dict:
  """The gates' noise for one step: type -> u_NH in (0, 1), shared by the whole batch."""
  keys = jax.random.split(key, len(gates.TYPES))
  return {
    name: jax.random.uniform(
      keys[gates.TYPES.index(name)], a.shape, minval=gates.EPS, maxval=1.0 - gates.EPS
    )
    for name, a in log_alphas.items()
  }


def sampled_gates(setup: Setup, params: dict, uniforms: dict) -> dict:
  """Training-time gates of all types: Hard Concrete where there is a log_alpha, else fixed."""
  return setup.fixed_gates | {
    name: gates.from_uniform(uniforms[name], log_alpha)
    for name, log_alpha in params["gates"].items()
  }


def test_gates(fixed_gates: dict, params: dict) -> dict:
  """Test-time gates of all types: the expected gate where there is a log_alpha, else fixed.

  Heads that a layer lacks are zero in `fixed_gates` and stay zero.
  """
  return fixed_gates | {
    name: gates.expected(a) * (fixed_gates[name] > 0) for name, a in params["gates"].items()
  }


def token_losses(setup: Setup, params: dict, batch: dict, gate_values: dict, noise=None):
  """Summed loss over the real target tokens, and their number."""
  model = Transformer(setup.model_config)
  logits_BTV, _ = model.apply({"params": params["model"]}, batch, gate_values, noise)
  loss_BT = ops.smoothed_loss(logits_BTV, batch["tgt_BT"], setup.label_smoothing)
  real_BT = (batch["tgt_segment_BT"] > 0).astype(jnp.float32)
  return jnp.sum(loss_BT * real_BT), jnp.sum(real_BT)


def gradients(setup: Setup, params: dict, batch: dict, uniforms: dict, noise_bits):
  """Loss and gradients of one whole batch, micro-batch by micro-batch.

  The sums over micro-batches and devices are divided once, by the batch's number of target tokens,
  so that micro-batches and devices are two ways to the same step.

  Args:
    setup: see Setup.
    params: see TrainState.
    batch: dict of [B, ...] arrays.
    uniforms: from `draw_uniforms`.
    noise_bits: uint32 scalar for dropout; None for no dropout.
  Returns:
    (dict with scalars `loss`, `xent`, `penalty`; gradients shaped like params, zero where frozen).
  """
  tokens = jnp.maximum(jnp.sum(batch["tgt_segment_BT"] > 0), 1).astype(jnp.float32)
  rows = batch["src_BS"].shape[0]

  def xent(params, micro):
    params = jax.tree.map(
      lambda p, label: jax.lax.stop_gradient(p) if label == "freeze" else p, params, setup.labels
    )
    noise = None if noise_bits is None else ops.Noise(noise_bits, micro["row_B"])
    total, _ = token_losses(setup, params, micro, sampled_gates(setup, params, uniforms), noise)
    return total / tokens

  def add_micro(carry, micro):
    return jax.tree.map(jnp.add, carry, jax.value_and_grad(xent)(params, micro)), None

  numbered = batch | {"row_B": jnp.arange(rows, dtype=jnp.int32)}
  if setup.accumulate == 1:
    xent_value, grads = jax.value_and_grad(xent)(params, numbered)
  else:
    zero = (jnp.float32(0.0), jax.tree.map(jnp.zeros_like, params))
    (xent_value, grads), _ = jax.lax.scan(add_micro, zero, _split(numbered, setup.accumulate))
  heads = setup.model_config.heads
  penalty, l0_grads = jax.value_and_grad(gates.penalty)(params["gates"], heads)
  grads["gates"] = jax.tree.map(lambda g, l0: g + setup.l0_coef * l0, grads["gates"], l0_grads)
  loss = xent_value + setup.l0_coef * penalty
  return {"loss": loss, "xent": xent_value, "penalty": penalty}, grads


def _split(batch: dict, micro_batches: int) -> dict:
  """[B, ...] -> [A, B / A, ...], neighbours apart: each device keeps its own rows."""
  return jax.tree.map(lambda x: x.reshape((-1, micro_batches) + x.shape[1:]).swapaxes(0, 1), batch)


def train_step(setup: Setup, state: TrainState, batch: dict):
  """One optimiser step.

  All randomness is a function of (seed, step): nothing random is stored, and a resumed run goes on
  exactly.

  Returns:
    (state, dict of scalars and, under "log_alpha", type -> log_alpha_NH after the step).
  """
  key = jax.random.fold_in(jax.random.key(setup.seed), state.step)
  gate_key, dropout_key = jax.random.split(key)
  uniforms = draw_uniforms(gate_key, state.params["gates"])
  noise_bits = jax.random.bits(dropout_key, (), jnp.uint32)
  metrics, grads = gradients(setup, state.params, batch, uniforms, noise_bits)
  updates, opt_state = setup.optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  metrics |= {
    "learning_rate": setup.schedule(state.step),
    "grad_norm": optax.tree.norm(grads),
    "tokens": jnp.sum(batch["src_segment_BS"] > 0) + jnp.sum(batch["tgt_segment_BT"] > 0),
    "log_alpha": params["gates"],
  }
  return TrainState(state.step + 1, params, opt_state), metrics


def eval_step(setup: Setup, params: dict, batch: dict):
  """(summed loss, number of target tokens) of one batch with gates as at test time."""
  return token_losses(setup, params, batch, test_gates(setup.fixed_gates, params))


def compile_steps(setup: Setup):
  """The jitted train and evaluation steps: (state, batch) -> ..., (params, batch) -> ..."""
  return (
    jax.jit(functools.partial(train_step, setup), donate_argnums=0),
    jax.jit(functools.partial(eval_step, setup)),
  )
