"""Whether a run can begin from the one at `init_from`: its checkpoint, its gates, its corpus."""

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import checkpoint, derived, stored
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir


def missing(init_from) -> UserError:
  """What is wrong where no finished run is at `init_from`, and none is trained first."""
  return UserError(
    f"config.init_from={init_from}: there is no finished run; headprune convert makes one of a "
    "pretrained model"
  )


def of_baseline(error: UserError) -> UserError:
  """What is wrong with a baseline that is trained first; `error` has fields without "pretrain"."""
  return UserError(f"the baseline, which is trained first, with config.pretrain: {error}")


def check(config: ConfigDict, workdir: Workdir) -> None:
  """Raises a UserError if the run at `init_from` is none to start from.

  A run that has begun needs neither its checkpoint nor its gates any more.
  """
  there = config_lib.origin(config)
  if there is None or not there.is_run():
    return
  other = config_lib.load(there)
  if there.read_summary() and stored.newest_step(workdir) is None:
    _check_checkpoint(config, there)
    if config.gates.kind != "fixed":  # it says itself which heads are open
      _check_gates(config, there, other)
  _check_corpus(config, other)


def _check_checkpoint(config: ConfigDict, there: Workdir) -> None:
  which, known = config.init_checkpoint, stored.choices(there)
  if not known:
    raise UserError(f"config.init_from={config.init_from}: {stored.GONE}")
  if which not in known:
    raise UserError(
      f"config.init_checkpoint={which}: there is no such checkpoint at "
      f"config.init_from={config.init_from}, but {', '.join(known)}"
    )


def _check_gates(config: ConfigDict, there: Workdir, other: ConfigDict) -> None:
  """Gates that this config does not go on with would be lost, some that it does in vain."""
  which, own = config.init_checkpoint, derived.gated_types(config)
  which = str(checkpoint.best(there)) if which == "best" else which
  kept = set(own).intersection(derived.gated_types(other))
  if config.gates.init and own and kept == set(own):
    raise UserError(
      f"config.gates.init={config.gates.init} has no effect: the gates start as those of "
      f"config.init_from={config.init_from}; leave it out"
    )
  of_type = {name: set().union(*layers) for name, layers in there.read_heads().items()}
  lost = [name for name, values in of_type.items() if name not in kept and values - {1}]
  closed = [name for name, values in of_type.items() if name in kept and 0 in values]
  penalised = config.gates.kind == "concrete" and config.l0.target_heads
  if lost:
    reason = f"would be lost: {', '.join(lost)}"
  elif kept and _are_settled(other, which):
    reason = "are settled and learn no more"
  elif closed and penalised and which == "last":  # heads.json is of no other
    reason = f"would open again, for a target falls from all heads: {', '.join(closed)}"
  else:
    return
  raise UserError(
    f"config.init_from={config.init_from} has gates that {reason}. Cut its closed heads out, "
    f"headprune compact --workdir {config.init_from} --out FOLDER, and start from "
    "config.init_from=FOLDER"
  )


def _are_settled(other: ConfigDict, which: str) -> bool:
  """Whether the gates of a checkpoint, "last" or a step, are 0 or 1 for good."""
  late = which == "last" or int(which) > derived.settle_step(other)
  return bool(other.l0.target_heads) and late


def _check_corpus(config: ConfigDict, other: ConfigDict) -> None:
  here, there = config.data, other.data
  if here.kind == there.kind == "corpus" and here.corpus.kind != there.corpus.kind:
    raise UserError(
      f"config.init_from={config.init_from} was trained on the built-in corpus {there.corpus.kind}"
      f", this config is of {here.corpus.kind}: name another config.init_from, or set "
      f"config.data.corpus.kind={there.corpus.kind}"
    )
