"""What a config says in the words of the train step, and whether it fits the number of steps."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from headprune.nn import gates
from headprune.nn.config import ModelConfig
from headprune.runs import derived, presets, targets
from headprune.text import packing
from headprune.train import mrt, optim, steps, target


def make(config: ConfigDict, model: ModelConfig) -> tuple[steps.StepConfig, steps.Knobs]:
  """What of a config the train step needs, compiled in and traced."""
  c, total = config.optim, config.train.steps
  target_config, wanted_G = goal(config, model)
  sizes = target.group_sizes(target_config.groups, model.heads) if target_config else ()
  optim_config = optim.OptimConfig(
    model_size=model.model_size,
    total_steps=total,
    warmup_steps=max(1, round(c.warmup * total)),
    cooldown_steps=round(c.cooldown * total),
    rules=derived.flatten(c)["rules"],
    ascent_G=tuple(config.l0.ascent / max(size, 1) for size in sizes),
    **{name: c[name] for name in ("b1", "b2", "eps", "gates_factor")},
  )
  train = config.train
  step_config = steps.StepConfig(
    model, optim_config, train.label_smoothing, train.accumulate, target_config,
    sharpness=config.mrt.sharpness if mrt.wanted(config) else None,
  )  # fmt: skip
  fixed_gates = derived.fixed_gates(config.gates, model)
  scale = c.learning_rate / presets.noam_peak(1.0, model.model_size, optim_config.warmup_steps)
  coef = derived.coefficient(config, model)
  return step_config, steps.knobs(config.seed, coef, scale, fixed_gates, wanted_G)


def goal(config: ConfigDict, model: ModelConfig) -> tuple[target.TargetConfig | None, tuple]:
  """(TargetConfig, wanted_G) of `l0.target_heads`; (None, ()) without it."""
  c, total = config.l0, config.train.steps
  if not c.target_heads:
    return None, ()
  groups, wanted_G = targets.parse(c.target_heads, config.gates.types, model)
  settle_step = derived.settle_step(config)
  ramp_steps = min(round(c.ramp * total), settle_step)  # both shares may be rounded up
  g = config.gates
  temperatures = (g.topk_start, g.topk_end) if g.kind == "topk" else None
  start = _start(config)
  return target.TargetConfig(groups, ramp_steps, settle_step, temperatures, start), wanted_G


def _start(config: ConfigDict) -> float:
  """Where log_alphas start; the mean where they are drawn."""
  init = derived.gates_init(config)
  return 0.0 if init == "glorot" else float(init)


def batch_rows(config: ConfigDict) -> int:
  """B, rows of a packed batch, over all devices; a UserError if there is none for each of them."""
  train = config.train
  return packing.batch_rows(
    train.batch_tokens, config.data.row_length, train.accumulate, jax.device_count()
  )


def notes(config: ConfigDict, step_config: steps.StepConfig, knobs: steps.Knobs) -> list[str]:
  """What a person should know before the first step of a run that is short for its config."""
  total, found = config.train.steps, []
  late = [name for name in ("eval_every", "checkpoint_every") if config.train[name] > total]
  if late:
    fields = " and ".join(f"config.train.{name}={config.train[name]}" for name in late)
    found.append(f"{fields}: not before the end of these {total:,} steps")
  if config.gates.kind == "concrete":
    reach = gate_reach(step_config.optim, knobs.rate_scale)
    start = _start(config)
    if reach < start - gates.CLOSED:
      found.append(
        f"in {total:,} steps a gate's log_alpha can move by {reach:.2g}, but from {start:g} to "
        f"closed it is {start - gates.CLOSED:.1f}: raise config.train.steps or "
        "config.optim.gates_factor"
      )
  return found


def gate_reach(config: optim.OptimConfig, scale) -> float:
  """How far all steps together can move a log_alpha: a step of Adam's is about the rate long."""
  rates = optim.noam(config, scale, np.arange(config.total_steps))
  return config.gates_factor * float(jnp.sum(rates))
