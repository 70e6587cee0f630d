"""Whether a run is minimum risk training, and what goes with that: it trains alone."""

import jax
from ml_collections import ConfigDict

from headprune.errors import UserError

_PLAIN = {"accumulate": 1, "shard_params": False, "src_word_dropout": 0, "tgt_word_dropout": 0}


def wanted(config: ConfigDict) -> bool:
  """Whether a run learns from samples of its own, see headprune.train.risk."""
  return config.train.loss == "mrt"


def check(config: ConfigDict, runs: int = 1) -> None:
  """Raises a UserError if a run is to sample where it cannot.

  Args:
    config: of the run; fine if it does not sample.
    runs: that would train in one program.
  """
  if not wanted(config):
    return
  for name in ("temperature", "sharpness"):
    if not config.mrt[name] > 0:
      raise UserError(f"config.mrt.{name}={config.mrt[name]} must be above 0")
  if not config.init_from:
    raise UserError("config.train.loss='mrt' needs config.init_from: a trained run to sample from")
  for name, value in _PLAIN.items():
    if config.train[name] != value:
      raise UserError(f"config.train.loss='mrt' needs config.train.{name}={value}")
  if runs > 1:
    raise UserError(
      "config.train.loss='mrt': each run samples by itself, train one at a time (--together 1)"
    )
  if jax.process_count() > 1:
    raise UserError("config.train.loss='mrt' is for one process; that may have several devices")
  count, available = config.mrt.sentences, jax.device_count()
  if count % available:
    raise UserError(
      f"config.mrt.sentences={count} must be a multiple of the {available} devices that share them"
    )
