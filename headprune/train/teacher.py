"""The run that another one learns from: `train.distill`."""

from jax.sharding import Mesh
from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn.losses import Teacher
from headprune.runs import run
from headprune.runs.workdir import Workdir
from headprune.text import tokenizer
from headprune.train import devices


def load(config: ConfigDict, workdir: Workdir, mesh: Mesh) -> Teacher | None:
  """The model at `init_from` with its own gates, on all devices; None if no run learns from it.

  Args:
    config: of the run that learns.
    workdir: of that run, with its tokenizers.
    mesh: the devices.
  Raises:
    UserError: it is not there any more, or another one is, whose ids are other words.
  """
  if not config.train.distill:
    return None
  try:
    there = run.load(config.init_from, config.init_checkpoint, config.model.precision)
  except UserError as error:
    raise UserError(
      f"config.train.distill={config.train.distill} needs the run at config.init_from as long as "
      f"this one trains: {error}"
    ) from error
  folders = workdir.tokenizer, there.workdir.tokenizer
  if tokenizer.read_files(folders[0]) != tokenizer.read_files(folders[1]):
    raise UserError(
      f"config.train.distill={config.train.distill}: {folders[1]} is not the tokenizer that this "
      "run began with: restore the run at config.init_from, or begin anew in another --workdir"
    )
  model = there.translator
  trained = devices.replicate((model.params, model.gate_values), mesh)
  return Teacher(model.config, config.train.distill, *trained)
