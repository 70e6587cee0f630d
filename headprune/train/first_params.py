"""Parameters of step 0: new ones, or those of the run that this one starts from."""

from collections.abc import Callable
import functools
import re

from flax import traverse_util
import jax
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn import gates
from headprune.nn.config import ModelConfig
from headprune.nn.transformer import init_params
from headprune.runs import checkpoint, derived, effect
from headprune.runs import config as config_lib
from headprune.train import step_settings, target


def make(config: ConfigDict, model: ModelConfig, resumes: bool, say: Callable[..., None]) -> dict:
  """{"model": ..., "gates": ...} of step 0, and a target's "multipliers" where there is a penalty.

  Args:
    config: of the run.
    model: its sizes.
    resumes: it goes on from a checkpoint: anything of the same shapes will do.
    say: tells that the run at `init_from` saw other data.
  Raises:
    UserError: the parameters at `init_from` have other shapes.
  """
  new = _new_params(*_settings(config, model), jax.random.key(config.seed))
  there = config_lib.origin(config)
  if there is None or resumes:
    return new
  there_config = config_lib.load(there)
  _say_what_differs(there_config, config, say)
  found = checkpoint.load_params(there, config.init_checkpoint, *derived.averaging(there_config))
  return _adopt(found, new, config.init_from)


def shapes(config: ConfigDict, model: ModelConfig) -> dict:
  """What `make` gives, as shapes alone; nothing is read."""
  new = functools.partial(_new_params, *_settings(config, model))
  return jax.eval_shape(new, jax.random.key(0))


def _settings(config: ConfigDict, model: ModelConfig) -> tuple:
  """What `_new_params` compiles in."""
  gated = tuple((name, model.gate_shapes[name]) for name in derived.gated_types(config))
  goal, _ = step_settings.goal(config, model)
  return model, gates.Gates(gated, derived.gates_init(config)), goal


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _new_params(
  model: ModelConfig, module: gates.Gates, goal: target.TargetConfig | None, key
) -> dict:
  gate_key, model_key = jax.random.split(key)
  log_alphas = module.init(gate_key).get("params", {})
  penalised = goal and not goal.temperatures
  multipliers = {"multipliers": target.new_multipliers(goal)} if penalised else {}
  return {"model": init_params(model, model_key), "gates": log_alphas} | multipliers


def _say_what_differs(there: ConfigDict, here: ConfigDict, say) -> None:
  """Tells that the run at `init_from` saw other data or text: allowed, but easily a mistake."""
  rows = effect.differences(there, here)
  changed = [row for row in rows if row.startswith(("data.", "tokenizer."))]
  if changed:
    say(f"note: config.init_from={here.init_from} was trained otherwise: {'; '.join(changed)}")


def _adopt(found: dict, new: dict, source: str) -> dict:
  """`found` parameters in the shapes of `new` ones; gates that they lack are as in `new`.

  A target's multipliers always start anew.
  """
  there = traverse_util.flatten_dict({k: found[k] for k in ("model", "gates")}, sep="/")
  params = {}
  for path, here in traverse_util.flatten_dict(new, sep="/").items():
    if path not in there and path.startswith(("gates/", "multipliers/")):
      params[path] = here
    elif path not in there or there[path].shape != here.shape:
      shape = there[path].shape if path in there else "not there"
      raise UserError(
        f"config.init_from={source}: parameter {path}{_layer(path)} is {shape}, this config needs "
        f"{here.shape}: "
        "leave config.model.heads empty to have as many as there, or name another config.init_from"
      )
    else:
      params[path] = there[path]
  extra = sorted(path for path in there.keys() - params.keys() if not path.startswith("gates/"))
  if extra:
    raise UserError(
      f"config.init_from={source}: its parameter {extra[0]} has no place in this config's model"
    )
  return {"gates": {}} | traverse_util.unflatten_dict(params, sep="/")


def _layer(path: str) -> str:
  """The layer of a parameter as people count it, from 1; "" if it is in none."""
  found = re.search(r"(encoder|decoder)_(\d+)/", path)
  return f" ({found[1]} layer {int(found[2]) + 1})" if found else ""
