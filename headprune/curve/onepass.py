"""A whole curve from one pass: a trunk closes head after head, forks leave it at wanted numbers.

The trunk is a run with a target that falls over all its steps, to the fewest heads of the curve. A
fork starts from its checkpoint where the target has come down to the fork's number, keeps as many
of the likeliest heads there, and trains on with those alone. A separate run is a trunk and a fork
in one; n numbers of heads take n forks but a single trunk.
"""

from collections.abc import Sequence
import math

from ml_collections import ConfigDict
import numpy as np

from headprune.curve import importance
from headprune.errors import UserError
from headprune.nn.config import ModelConfig
from headprune.runs import checkpoint, derived, targets
from headprune.runs import config as config_lib
from headprune.runs.heads import Lists, as_lists
from headprune.runs.workdir import Workdir
from headprune.train import step_settings, target

SAVES = (
  20  # checkpoints of a trunk: forks start within a twentieth of its way from where they might
)
_WARMUP = 0.2  # share of a fork's steps; Adam starts anew and needs some steps to know its scale


def fewest(amounts: Sequence[str], types: tuple[str, ...], model: ModelConfig) -> str:
  """The one of some targets that a trunk passes all others on its way to.

  Args:
    amounts: each as l0.target_heads.
    types: attention types with gates.
    model: whose heads they are.
  Raises:
    UserError: they group heads differently, or none is the smallest in every group.
  """
  if not amounts:
    raise UserError("--methods onepass needs numbers of heads: name some with --heads")
  parsed = [targets.parse(amount, types, model) for amount in amounts]
  given = "; ".join(amounts)
  if any(groups != parsed[0][0] for groups, _ in parsed):
    raise UserError(
      f"--heads {given}: onepass comes by all of them in one run, so they need one form, such as "
      'counts or "2 a layer; 1 a layer"'
    )
  least_G = np.min([wanted_G for _, wanted_G in parsed], axis=0)
  for amount, (_, wanted_G) in zip(amounts, parsed):
    if np.array_equal(wanted_G, least_G):
      return amount
  raise UserError(
    f"--heads {given}: onepass comes by all of them in one run, but none is last, with the "
    "fewest heads of each type: add one that is"
  )


def trunk_fields(config: ConfigDict) -> dict:
  """What a trunk changes of a separate run's config: dotted field -> value.

  Its learning rate is that of the separate run, but for the cool-down, which each fork has.
  """
  steps, _ = _steps(config)
  return {
    "l0.ramp": 1.0 - 1.0 / steps,
    "l0.settled": 1.0 / steps,
    "optim.warmup": min(1.0, config.optim.warmup * config.train.steps / steps),
    "optim.cooldown": 0.0,
    "train.steps": steps,
    "train.patience": 0,
    "train.checkpoint_every": math.ceil(steps / SAVES),
    "train.translate_every": steps,
    "train.keep": SAVES,
    "eval.average": 1,
  }


def fork_fields(config: ConfigDict) -> dict:
  """What a fork changes of a separate run's config: dotted field -> value.

  The learning rate goes up to the separate run's highest once more and then down to 0: pruned
  models heal best that way (Le and Hua 2021, "Network Pruning That Matters"; Renda et al. 2020).
  """
  _, steps = _steps(config)
  every = {name: config.train[name] for name in ("checkpoint_every", "eval_every")}
  return {
    "optim.warmup": _WARMUP,
    "optim.cooldown": 1.0 - _WARMUP,
    "train.steps": steps,
    "train.distill": 0.0,  # of the trunk, which learned from the baseline
    **{f"train.{name}": max(1, int(n * config.l0.settled)) for name, n in every.items()},
  }


def _steps(config: ConfigDict) -> tuple[int, int]:
  """Steps of the trunk and of each fork, together those of a separate run."""
  healing = round(config.l0.settled * config.train.steps)
  if not 0 < healing < config.train.steps:
    raise UserError(
      f"config.l0.settled={config.l0.settled} of config.train.steps={config.train.steps} are the "
      "steps of a onepass run, the others those of its trunk: both need at least one"
    )
  return config.train.steps - healing, healing


def fork(trunk: Workdir, target_heads: str) -> tuple[int, Lists]:
  """Where a fork leaves a finished trunk, and with which gates.

  Args:
    trunk: its workdir.
    target_heads: as l0.target_heads, of the trunk's groups and at least its numbers.
  Returns:
    (the step of a checkpoint, attention type -> layer -> 0 or 1 for each head).
  """
  config = config_lib.load(trunk)
  model, types = derived.model_config(config.model), config.gates.types
  _, wanted_G = targets.parse(target_heads, types, model)
  step = _first(config, model, wanted_G)
  log_alphas = checkpoint.load_params(trunk, str(step))["gates"]
  return step, importance.choose(as_lists(log_alphas, model.heads), target_heads, types, model)


def _first(config: ConfigDict, model: ModelConfig, wanted_G: np.ndarray) -> int:
  """The first step with a checkpoint at which a trunk's target is at most wanted_G."""
  goal, least_G = step_settings.goal(config, model)
  count_G = np.array(target.group_sizes(goal.groups, model.heads))
  every, last = config.train.checkpoint_every, config.train.steps
  for step in range(every, last, every):
    if np.all(target.aim(goal, least_G, count_G, step) <= wanted_G + _ROUNDING):
      return step
  return last


_ROUNDING = 1e-3  # heads; the target is a float32
