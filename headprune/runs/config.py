"""A run's config: its file, and the config of the baseline that it starts from."""

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.files import damaged, read_json, write_json
from headprune.nn.config import TYPES
from headprune.runs import defaults, fixed, own_tokenizer
from headprune.runs.derived import as_tuple
from headprune.runs.validation import validate
from headprune.runs.workdir import Workdir

_ALIKE = {bool: [bool], int: [int], float: [int, float], str: [str], tuple: [list]}  # in JSON


def save(config: ConfigDict, workdir: Workdir) -> None:
  """Writes the config, gates from another run's file written out, and what tells its tokenizer."""
  fields = self_contained(config).to_dict() | own_tokenizer.record(workdir)
  write_json(workdir.config, fields, indent=2)


def self_contained(config: ConfigDict) -> ConfigDict:
  """`config` with the gates of `fixed_from` as values, so that a run needs no other folder."""
  if config.gates.kind != "fixed" or not config.gates.fixed_from:
    return config
  values, _ = fixed.read(config.gates.fixed_from)
  config = ConfigDict(config.to_dict())
  config.gates.fixed_from = ""
  config.gates.fixed.update({name: as_tuple(values.get(name) or []) for name in TYPES})
  return config.lock()


def load(workdir: Workdir) -> ConfigDict:
  """The config of an existing run; fields that are newer than the run have their defaults.

  Raises:
    UserError: there is no run, or its config.json is damaged.
  """
  if not workdir.is_run():
    raise UserError(f"{workdir.path}: not a run (there is no config.json)")
  fields = read_json(workdir.config)
  if isinstance(fields, dict) and "model_type" in fields:  # of transformers
    raise UserError(
      f"{workdir.path}: not a run but a model of transformers: make one with headprune convert "
      f"marian --dir {workdir.path} --out RUN"
    )
  try:
    fields.pop(own_tokenizer.FIELD, None)
    config = ConfigDict(_tuples(_with_defaults(fields, defaults.base().to_dict())))
    validate(config)
  except UserError as error:
    raise UserError(f"{workdir.config}: {error}") from error
  except (AttributeError, KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
    raise damaged(workdir.config, error) from error
  return config.lock()


def origin(config: ConfigDict) -> Workdir | None:
  """The run that a run starts from, None if it starts from scratch."""
  return Workdir.at(config.init_from) if config.init_from else None


def _with_defaults(fields: dict, base: dict) -> dict:
  """`fields` with those of `base` that it lacks, at any depth."""
  merged = dict(fields)
  for name, value in base.items():
    if isinstance(value, dict):
      merged[name] = _with_defaults(fields[name], value)
    else:
      merged.setdefault(name, value)
      if type(merged[name]) not in _ALIKE[type(value)]:
        raise TypeError(f"{name} is {merged[name]!r}, but should be like {value!r}")
  return merged


def _tuples(node: dict) -> dict:
  """JSON knows no tuples; configs have no lists."""
  return {
    key: _tuples(value) if isinstance(value, dict) else as_tuple(value)
    for key, value in node.items()
  }


def pretraining(config: ConfigDict) -> ConfigDict:
  """The config of the baseline that `config` starts from: no gates, and what `pretrain` says."""
  baseline = ConfigDict(config.to_dict())
  baseline.init_from, baseline.init_checkpoint = "", "last"
  baseline.gates.kind = "none"
  baseline.l0 = defaults.base().l0
  own = baseline.pretrain
  del baseline.pretrain
  baseline.update(own)
  return baseline.lock()
