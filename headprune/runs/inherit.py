"""What a config takes over from the run that it starts from or goes on with."""

from ml_collections import ConfigDict

from headprune.runs import fixed
from headprune.runs.config import load
from headprune.runs.workdir import Workdir

# What a run chooses for itself in the `model` section; parameters fit any of these.
_OWN = (
  "embed_dropout", "residual_dropout", "attention_dropout", "activation_dropout", "precision",
  "attention_precision",
)  # fmt: skip


def inherit(config: ConfigDict, workdir: Workdir) -> ConfigDict:
  """Takes what `config` cannot choose from the run that it is made of, if that is there.

  A run with `init_from` has the architecture and the tokenizer of that run, or of itself when it
  goes on: the parameters fit nothing else. Head counts that are left open are those of the workdir
  when it goes on, else those of `init_from`, or of `gates.fixed_from` for a structure that is
  trained from scratch. A run that goes on holds its fixed gates as well.
  """
  fixed_from = config.gates.fixed_from if config.gates.kind == "fixed" else ""
  others = [Workdir.at(name) for name in (config.init_from, fixed_from) if name]
  run = next((run for run in (workdir, *others) if run.is_run()), None)
  if run is None:
    return config
  found = load(run)
  result = ConfigDict(config.to_dict())
  if config.init_from:
    result.tokenizer = found.tokenizer
    for name in set(found.model) - {"heads", *_OWN}:
      result.model[name] = found.model[name]
  for name, counts in result.model.heads.items():
    if not counts and _layers(found.model, name) == _layers(result.model, name):
      result.model.heads[name] = found.model.heads[name]
  if run == workdir and fixed_from and not fixed.exists(fixed_from):
    result.gates.fixed_from, result.gates.fixed = "", found.gates.fixed
  return result.lock()


def _layers(config: ConfigDict, name: str) -> int:
  return config.layers if name == "enc_self" else config.dec_layers or config.layers
