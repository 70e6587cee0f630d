"""Learning rate, Adam, and which parameters train."""

import dataclasses
import re

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from headprune.errors import UserError

LABELS = ("train", "freeze")


@dataclasses.dataclass(frozen=True)
class OptimConfig:
  """How to optimise, apart from what may vary without compiling anew; hashable."""

  model_size: int  # D
  total_steps: int  # where the cool-down ends
  warmup_steps: int
  cooldown_steps: int  # last steps, over which the rate also falls linearly to 0
  b1: float
  b2: float
  eps: float
  gates_factor: float  # learning rate of log_alpha over that of the rest
  rules: tuple[tuple[str, str], ...]  # see `label`
  ascent_G: tuple[float, ...] = ()  # over all steps, of the multipliers of each group of a target


def noam(config: OptimConfig, scale, step) -> jax.Array:
  """scale * D^-0.5 * min(s^-0.5, s * warmup^-1.5), s = step + 1 (Vaswani et al. 2017).

  Args:
    config: warm-up and cool-down.
    scale: may be traced.
    step: steps taken.
  Returns:
    The learning rate of the next step.
  """
  s = jnp.asarray(step, jnp.float32) + 1.0
  rate = jnp.minimum(s**-0.5, s * max(config.warmup_steps, 1) ** -1.5)
  left = jnp.clip((config.total_steps + 1 - s) / max(config.cooldown_steps, 1), 0.0, 1.0)
  return scale * config.model_size**-0.5 * rate * (left if config.cooldown_steps else 1.0)


def label(params: dict, rules) -> dict:
  """Labels every parameter by the first rule whose pattern matches its whole path.

  Args:
    params: nested dict; a path is like "model/encoder_0/self_attention/qkv_kernel".
    rules: ordered (regular expression, "train" or "freeze").
  Returns:
    A dict shaped like `params` with "train", "gates" (a log_alpha that trains), "freeze", or
    "multipliers", which follow no rule.
  Raises:
    UserError: a rule that matches nothing, a parameter that no rule covers, or a bad rule.
  """
  for rule in rules:
    if len(rule) != 2 or rule[1] not in LABELS:
      raise UserError(f"config.optim.rules: {rule!r} is not (pattern, 'train' or 'freeze')")
    try:
      re.compile(rule[0])
    except re.error as error:
      raise UserError(f"config.optim.rules: bad pattern {rule[0]!r}: {error}") from error
  used, labels = set(), {}
  for path in traverse_util.flatten_dict(params, sep="/"):
    if path.startswith("multipliers/"):
      labels[path] = "multipliers"
      continue
    first = next((i for i, (pattern, _) in enumerate(rules) if re.fullmatch(pattern, path)), None)
    if first is None:
      raise UserError(f"config.optim.rules: no pattern matches parameter {path}; add one")
    used.update(i for i, (pattern, _) in enumerate(rules) if re.fullmatch(pattern, path))
    trained = "gates" if path.startswith("gates/") else "train"
    labels[path] = trained if rules[first][1] == "train" else "freeze"
  for i, (pattern, _) in enumerate(rules):
    if i not in used:
      raise UserError(f"config.optim.rules: pattern {pattern!r} matches no parameter")
  return {key: {} for key in params} | traverse_util.unflatten_dict(labels, sep="/")


def table(labels: dict, shapes: dict, heads: dict) -> str:
  """How many parameters train, learn as gates, or are frozen, for the log.

  Args:
    labels: from `label`.
    shapes: arrays, or their shapes, in the same tree.
    heads: attention type -> heads of each layer; places in the gates' arrays without a head are
      not counted.
  """
  counts, shapes = {}, traverse_util.flatten_dict(shapes, sep="/")
  for path, name in traverse_util.flatten_dict(labels, sep="/").items():
    arrays, size = counts.get(name, (0, 0))
    kind, _, rest = path.partition("/")
    counts[name] = arrays + 1, size + (sum(heads[rest]) if kind == "gates" else shapes[path].size)
  words = {"train": "trained", "gates": "gate logits", "freeze": "frozen"}
  counts.pop("multipliers", None)
  return "parameters: " + "; ".join(
    f"{size:,} {words[name]} ({arrays} arrays)" for name, (arrays, size) in sorted(counts.items())
  )


def make(config: OptimConfig, scale, labels: dict) -> optax.GradientTransformation:
  """Adam on a schedule; gates at their own rate, frozen parameters without any state.

  Args:
    config: see OptimConfig.
    scale: of the learning rate; may be traced, the state does not depend on it.
    labels: from `label`.
  """

  def adam(factor):
    # The original adds eps to sqrt(v) before v's bias is corrected ("epsilon hat"), optax after it.
    eps = lambda step: config.eps / jnp.sqrt(1.0 - config.b2 ** (step + 1.0))
    return optax.chain(
      optax.inject_hyperparams(optax.scale_by_adam, static_args=("b1", "b2"))(
        config.b1, config.b2, eps
      ),
      optax.scale_by_learning_rate(lambda step: factor * noam(config, scale, step)),
    )

  transforms = {"train": adam(1.0), "gates": adam(config.gates_factor)}
  transforms |= {"freeze": optax.set_to_zero()}
  if "multipliers" in labels:
    transforms["multipliers"] = optax.scale(np.float32(config.ascent_G) / config.total_steps)
  return optax.partition(transforms, labels)
