"""What can be known to be wrong with a run before data are read, and whether it is finished."""

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import derived, effect, stored, targets, validation
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import bleu, tokenizer
from headprune.train import first_params, mrt, optim, start, step_settings


def check(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError for all that can be known to be wrong before data are read."""
  validation.check_jax()
  validation.validate(config)
  bleu.check(config.eval)
  step_settings.batch_rows(config)
  model = derived.model_config(config.model)
  optim.label(first_params.shapes(config, model), config.optim.rules)
  _check_workdir(config, workdir)
  if not finished(config, workdir):
    mrt.check(config)
    if config.l0.target_heads:
      targets.check_reads_source(config.l0.target_heads, config.gates.types, model)
    _check_steps(config, workdir)
    start.check(config, workdir)
  there = config_lib.origin(config)
  if there and there.path.absolute() == workdir.path.absolute():
    raise UserError("config.init_from and --workdir are the same folder: take another --workdir")


def finished(config: ConfigDict, workdir: Workdir) -> Summary | None:
  """The summary of a run that has come to the end that `config` asks for."""
  done = workdir.read_summary()
  return done if done and done.ends_at == (config.train.steps, config.train.patience) else None


def lacks_baseline(config: ConfigDict, workdir: Workdir) -> bool:
  """Whether a run cannot begin for want of a finished run at `init_from`."""
  there = config_lib.origin(config)
  if there is None or there.read_summary():
    return False
  # One that has begun needs no other.
  return not finished(config, workdir) and stored.newest_step(workdir) is None


def _check_workdir(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError if the workdir holds a run with another config, or one from elsewhere."""
  done = workdir.read_summary()
  if done and done.kind != "trained":
    raise UserError(
      f"{workdir.path} holds a model that was not trained there; to train it on, take another "
      f"--workdir and --config.init_from={workdir.path}"
    )
  if workdir.is_run():
    changed = effect.differences(config_lib.load(workdir), config)
    if changed:
      raise UserError(
        f"{workdir.path} holds a run with another config; take another folder or undo: "
        + "; ".join(changed)
      )
    return
  workdir.check_writable()
  foreign = [workdir.checkpoints, workdir.stopped, workdir.metrics, workdir.summary]
  foreign += [path for path in workdir.tokenizer.glob("*") if not tokenizer.owns(path)]
  for path in foreign:
    if path.exists():
      raise UserError(f"{path} is there, but no config.json: not a run; take another folder")


def _check_steps(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError if a run is past its end, or there before it has its number of heads."""
  steps = config.train.steps
  if not workdir.is_run() or steps == config_lib.load(workdir).train.steps:
    return  # before its checkpoints are summed
  newest = stored.newest_step(workdir)
  if newest is None or steps > newest:
    return
  if config.l0.target_heads:
    raise UserError(
      f"config.train.steps={steps}: the run is at step {newest}, and its last steps bring it to "
      "config.l0.target_heads: give more"
    )
  if steps < newest:
    raise UserError(
      f"config.train.steps={steps}: the run is at step {newest}: give at least as many"
    )
