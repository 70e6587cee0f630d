"""From a config to what the training loop needs, and what a person is told of it."""

from collections.abc import Callable
import dataclasses

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from headprune.nn import gates
from headprune.nn.config import ModelConfig
from headprune.runs import config as config_lib
from headprune.runs import derived, stored
from headprune.runs.workdir import Workdir
from headprune.text import bleu, encoding, packing
from headprune.train import (
  data,
  devices,
  first_params,
  mrt,
  notes,
  optim,
  processes,
  step_settings,
  steps,
  target,
  word_dropout,
)


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


def set_up(
  config: ConfigDict, workdir: Workdir, say: Callable[..., None] = processes.print_first
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
  aside = lambda: stored.set_damaged_aside(workdir)
  for line in processes.first_before_others("looking for checkpoints", aside):
    say(f"note: {line}")
  # Before the first process can have made a checkpoint folder.
  newest = stored.newest_step(workdir)
  resumes = newest is not None
  text, tokenizers, pairs = data.load(config, workdir, say)
  model = derived.model_config(config.model, tokenizers, jax.default_backend())
  step_config, knobs = step_settings.make(config, model)
  step_config = dataclasses.replace(step_config, hidden=_hidden(config.train, tokenizers))
  params = first_params.make(config, model, resumes, say)
  if not bleu.counts_words(text["dev"][1], config.eval):
    say(
      "note: dev targets have no spaces between words, which config.eval.tokenize="
      f"{config.eval.tokenize} looks for: BLEU says little; take zh, ja-mecab or char"
    )
  for line in notes.seen(pairs["train"][1]):
    say(f"note: {line}")
  _say_settings(config, step_config, knobs, params, say)
  if resumes and config.l0.target_heads:
    for line in _settled(config, config_lib.load(workdir), newest):
      say(f"note: {line}")
  if processes.is_first():
    if not resumes:
      workdir.teacher.unlink(missing_ok=True)  # of a start that has left no checkpoint
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
    dev_batches=_dev_batches(config, pairs["dev"][0], step_settings.batch_rows(config), mesh),
    tokenizers=tokenizers,
    rows=config.mrt.sentences if mrt.wanted(config) else step_settings.batch_rows(config),
    resumes=resumes,
    say=say,
  )
  return job, params


def _hidden(train: ConfigDict, tokenizers: tuple) -> tuple:
  """Which words a step hides, on either side."""
  rates = train.src_word_dropout, train.tgt_word_dropout
  by = train.word_dropout_by
  return tuple(word_dropout.side(rate, by, text) for rate, text in zip(rates, tokenizers))


def _dev_batches(config: ConfigDict, pairs: encoding.Pairs, rows: int, mesh: Mesh) -> list[dict]:
  c = config.data
  batches = packing.eval_batches(pairs, rows, c.row_length, c.packing_bins, *processes.share())
  return [devices.shard_batch(batch, mesh) for batch in batches]


def _say_settings(
  config: ConfigDict, step_config: steps.StepConfig, knobs: steps.Knobs, params: dict, say
) -> None:
  model, types, goal = step_config.model, derived.gated_types(config), step_config.goal
  labels = optim.label(params, step_config.optim.rules)
  say(optim.table(labels, params, model.heads))
  if types:
    say(f"gates on {', '.join(types)}: {_how_many(config, model, goal)}")
  for line in step_settings.notes(config, step_config, knobs):
    say(f"note: {line}")
  count = sum(x.size for x in jax.tree.leaves(params["model"]))
  rows = f"{step_settings.batch_rows(config)} rows"
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
  kept = f"kept exactly after step {goal.settle_step:,}"
  if goal.temperatures:
    first, last = goal.temperatures
    how = f"chosen anew at every step, at a temperature that falls from {first:g} to {last:g}"
  else:
    how = f"aimed at after step {goal.ramp_steps:,}"
  return f"l0.target_heads {config.l0.target_heads}, {how} and {kept}"


def _settled(config: ConfigDict, before: ConfigDict, step: int) -> list[str]:
  """Whether a run that is given more steps has settled its gates: it does not prune anew."""
  settled, settles = derived.settle_step(before), derived.settle_step(config)
  if not settled < step <= settles:
    return []
  return [
    f"the gates have settled after step {settled:,} of {before.train.steps:,} and learn no more: "
    f"the steps up to {config.train.steps:,} train the heads on that are open"
  ]


def print_inherited(given: ConfigDict, config: ConfigDict) -> None:
  """Tells which fields of the model are not as given but as in the run that it starts from."""
  old, new = derived.flatten(given), derived.flatten(config)
  changed = [
    f"{name} {new[name]}"
    for name in new
    if name.startswith(("model.", "tokenizer.")) and new[name] not in (old[name], ())
  ]
  if changed:
    processes.print_first(f"as in config.init_from={config.init_from}: {', '.join(changed)}")
