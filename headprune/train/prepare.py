"""From a config to what the training loop needs: checks, tokenizers, the step, first parameters."""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
import re

from flax import traverse_util
import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn import gates
from headprune.nn.config import ModelConfig
from headprune.nn.losses import Teacher
from headprune.nn.transformer import init_params
from headprune.runs import checkpoint, derived, effect, inherit, run, stored, validation
from headprune.runs import config as config_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.text import bleu, encoding, packing, tokenizer
from headprune.train import data, devices, mrt, optim, schedule, start, steps, target, word_dropout


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
  """What a run works on, fixed from its start to its end."""

  config: ConfigDict
  workdir: Workdir
  step_config: steps.StepConfig
  knobs: steps.Knobs
  mesh: Mesh
  text: dict  # "dev" and, if there is one, "test" -> (source lines, target lines)
  pairs: encoding.Pairs  # to train on
  report: encoding.Report  # of what was left out of them
  dev_batches: list[dict]  # packed, on all devices
  tokenizers: tuple
  rows: int  # B, over all processes
  resumes: bool  # there is a checkpoint to go on from
  say: Callable[..., None]  # tells a person, on the first process


def stages(
  config: ConfigDict, workdir: pathlib.Path | str
) -> list[tuple[ConfigDict, pathlib.Path]]:
  """The runs to train one after the other: the baseline if it is missing, and the run itself.

  Raises:
    UserError: there is a baseline to train first, and it can be known that one of them would fail.
  """
  workdir = Workdir.at(workdir)
  run = (config, workdir.path)
  if not lacks_baseline(config, workdir):
    return [run]
  check(inherit.inherit(config, workdir), workdir)
  baseline = config_lib.origin(config)
  if "pretrain" not in config:
    raise UserError(f"config.init_from={config.init_from}: there is no finished run")
  pretraining = config_lib.pretraining(config)
  try:
    check(pretraining, baseline)
  except UserError as error:
    raise UserError(
      f"the baseline, which is trained first at config.init_from={config.init_from} with "
      f"config.pretrain.train and .optim: {error}"
    ) from error
  return [(pretraining, baseline.path), run]


def lacks_baseline(config: ConfigDict, workdir: Workdir) -> bool:
  """Whether a run cannot begin for want of a finished run at `init_from`."""
  baseline = config_lib.origin(config)
  if baseline is None or baseline.read_summary():
    return False
  # One that has begun needs no other.
  return not finished(config, workdir) and stored.newest_step(workdir) is None


def check(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError for all that can be known to be wrong before data are read."""
  validation.check_jax()
  validation.validate(config)
  bleu.check(config.eval)
  _batch_rows(config)
  optim.label(_shapes(config, derived.model_config(config.model)), config.optim.rules)
  _check_workdir(config, workdir)
  if not finished(config, workdir):
    mrt.check(config)
    _check_steps(config, workdir)
    start.check(config, workdir)
  there = config_lib.origin(config)
  if there and there.path.absolute() == workdir.path.absolute():
    raise UserError("config.init_from and --workdir are the same folder: take another --workdir")


def _check_steps(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError if a run would end where it is, before it has the wanted number of heads."""
  newest = stored.newest_step(workdir)
  if not config.l0.target_heads or newest is None or config.train.steps > newest:
    return
  if config.train.steps != config_lib.load(workdir).train.steps:
    raise UserError(
      f"config.train.steps={config.train.steps}: the run is at step {newest}, and its last steps "
      "bring it to config.l0.target_heads: give more"
    )


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
  foreign = [workdir.checkpoints, workdir.metrics, workdir.summary]
  foreign += [path for path in workdir.tokenizer.glob("*") if not tokenizer.owns(path)]
  for path in foreign:
    if path.exists():
      raise UserError(f"{path} is there, but no config.json: not a run; take another folder")


def finished(config: ConfigDict, workdir: Workdir) -> Summary | None:
  """The summary of a run that has come to the end that `config` asks for."""
  done = workdir.read_summary()
  return done if done and done.ends_at == (config.train.steps, config.train.patience) else None


def set_up(
  config: ConfigDict, workdir: Workdir, say: Callable[..., None] = devices.print_first
) -> tuple[Job, dict]:
  """Reads the data, trains or copies tokenizers, builds what the loop needs, makes parameters.

  Resume order: a run that has begun needs nothing of `init_from`; else its parameters are those of
  `init_from`; else they are new.

  Args:
    config: checked.
    workdir: takes config.json and the tokenizers.
    say: tells a person what is being done.
  Returns:
    (job, {"model": ..., "gates": ...}: the parameters of step 0, or any in their shapes if begun).
  """
  devices.first_before_others("looking for checkpoints", lambda: _set_damaged_aside(workdir, say))
  # Before the first process can have made a checkpoint folder.
  resumes = stored.newest_step(workdir) is not None
  text, tokenizers, pairs = data.load(config, workdir, say)
  model = derived.model_config(config.model, tokenizers, jax.default_backend())
  step_config, knobs = schedule.settings(config, model)
  step_config = dataclasses.replace(step_config, hidden=_hidden(config.train, tokenizers))
  params = _first_params(config, model, resumes, say)
  if not bleu.counts_words(text["dev"][1], config.eval):
    say(
      "note: dev targets have no spaces between words, which config.eval.tokenize="
      f"{config.eval.tokenize} looks for: BLEU says little; take zh, ja-mecab or char"
    )
  _say_settings(config, step_config, knobs, params, say)
  if devices.is_first():
    config_lib.save(config, workdir)
  mesh = devices.mesh()
  job = Job(
    config=config,
    workdir=workdir,
    step_config=step_config,
    knobs=knobs,
    mesh=mesh,
    text=text,
    pairs=pairs["train"][0],
    report=pairs["train"][1],
    dev_batches=_dev_batches(config, pairs["dev"][0], _batch_rows(config), mesh),
    tokenizers=tokenizers,
    rows=config.mrt.sentences if mrt.wanted(config) else _batch_rows(config),
    resumes=resumes,
    say=say,
  )
  return job, params


def teacher(config: ConfigDict, mesh: Mesh) -> Teacher | None:
  """The model at `init_from` with its own gates, on all devices; None if no run learns from it.

  Raises:
    UserError: it is not there any more.
  """
  if not config.train.distill:
    return None
  try:
    there = run.load(config.init_from, config.init_checkpoint, config.model.precision).translator
  except UserError as error:
    raise UserError(
      f"config.train.distill={config.train.distill} needs the run at config.init_from as long as "
      f"this one trains: {error}"
    ) from error
  trained = devices.replicate((there.params, there.gate_values), mesh)
  return Teacher(there.config, config.train.distill, *trained)


def _hidden(train: ConfigDict, tokenizers: tuple) -> tuple:
  """Which words a step hides, on either side."""
  rates = train.src_word_dropout, train.tgt_word_dropout
  by = train.word_dropout_by
  return tuple(word_dropout.side(rate, by, text) for rate, text in zip(rates, tokenizers))


def _set_damaged_aside(workdir: Workdir, say) -> None:
  for line in stored.set_damaged_aside(workdir):
    say(f"note: {line}")


def _say_settings(
  config: ConfigDict, step_config: steps.StepConfig, knobs: steps.Knobs, params: dict, say
) -> None:
  model, types, goal = step_config.model, derived.gated_types(config), step_config.goal
  labels = optim.label(params, step_config.optim.rules)
  say(optim.table(labels, params, model.heads))
  if types:
    say(f"gates on {', '.join(types)}: {_how_many(config, model, goal)}")
  for line in schedule.notes(config, step_config, knobs):
    say(f"note: {line}")
  count = sum(x.size for x in jax.tree.leaves(params["model"]))
  rows = f"{_batch_rows(config)} rows"
  if mrt.wanted(config):
    rows = f"{config.mrt.sentences} sentences x {config.mrt.samples + 1} candidates"
  say(
    f"{count:,} parameters; vocabularies {model.src_vocab:,} and {model.tgt_vocab:,}; batches of "
    f"{rows} x {config.data.row_length} tokens on {jax.device_count()} "
    f"{jax.devices()[0].platform} device(s)"
  )


def _how_many(config: ConfigDict, model: ModelConfig, goal: target.TargetConfig | None) -> str:
  """What decides how many heads stay, and when."""
  if not goal:
    coef = derived.coefficient(config, model)
    modules = gates.num_modules(config.gates.types, model.heads)
    per_head = f"lambda {coef / modules:g} on a plain sum over heads ({modules} modules)"
    return f"l0.coef {coef:g} is {per_head}"
  kept = f"kept exactly from step {goal.settle_step:,} on"
  if goal.temperatures:
    first, last = goal.temperatures
    how = f"chosen anew at every step, at a temperature that falls from {first:g} to {last:g}"
  else:
    how = f"aimed at from step {goal.ramp_steps:,} on"
  return f"l0.target_heads {config.l0.target_heads}, {how} and {kept}"


def _dev_batches(config: ConfigDict, pairs: encoding.Pairs, rows: int, mesh: Mesh) -> list[dict]:
  c = config.data
  batches = packing.eval_batches(pairs, rows, c.row_length, c.packing_bins, *devices.share())
  return [devices.shard_batch(batch, mesh) for batch in batches]


def _batch_rows(config: ConfigDict) -> int:
  train = config.train
  return packing.batch_rows(
    train.batch_tokens, config.data.row_length, train.accumulate, jax.device_count()
  )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _new_params(
  model: ModelConfig, module: gates.Gates, goal: target.TargetConfig | None, key
) -> dict:
  gate_key, model_key = jax.random.split(key)
  log_alphas = module.init(gate_key).get("params", {})
  penalised = goal and not goal.temperatures
  multipliers = {"multipliers": target.new_multipliers(goal)} if penalised else {}
  return {"model": init_params(model, model_key), "gates": log_alphas} | multipliers


def _settings(config: ConfigDict, model: ModelConfig) -> tuple:
  """What `_new_params` compiles in."""
  shapes = tuple((name, model.gate_shapes[name]) for name in derived.gated_types(config))
  goal, _ = schedule.goal(config, model)
  return model, gates.Gates(shapes, derived.gates_init(config)), goal


def _shapes(config: ConfigDict, model: ModelConfig) -> dict:
  new = functools.partial(_new_params, *_settings(config, model))
  return jax.eval_shape(new, jax.random.key(0))


def _first_params(config: ConfigDict, model: ModelConfig, resumes: bool, say) -> dict:
  """Parameters of step 0: new ones, or those of `init_from`."""
  new = _new_params(*_settings(config, model), jax.random.key(config.seed))
  there = config_lib.origin(config)
  if there is None or resumes:
    return new
  there_config = config_lib.load(there)
  _say_what_differs(there_config, config, say)
  found = checkpoint.load_params(there, config.init_checkpoint, *derived.averaging(there_config))
  return _adopt(found, new, config.init_from)


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


def print_inherited(given: ConfigDict, config: ConfigDict) -> None:
  """Tells which fields of the model are not as given but as in the run that it starts from."""
  old, new = derived.flatten(given), derived.flatten(config)
  changed = [
    f"{name} {new[name]}"
    for name in new
    if name.startswith(("model.", "tokenizer.")) and new[name] not in (old[name], ())
  ]
  if changed:
    devices.print_first(f"as in config.init_from={config.init_from}: {', '.join(changed)}")


def _say_what_differs(there: ConfigDict, here: ConfigDict, say) -> None:
  """Tells that the run at `init_from` saw other data or text: allowed, but easily a mistake."""
  rows = effect.differences(there, here)
  changed = [row for row in rows if row.startswith(("data.", "tokenizer."))]
  if changed:
    say(f"note: config.init_from={here.init_from} was trained otherwise: {'; '.join(changed)}")
