"""The run that another one learns from: `train.distill`."""

from jax.sharding import Mesh
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn.losses import Teacher
from headprune.runs import run
from headprune.train import devices


def load(config: ConfigDict, mesh: Mesh) -> Teacher | None:
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
