"""The run that another one learns from: `train.distill`."""

from collections.abc import Sequence
import zlib

from flax import traverse_util
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.files import read_json, write_json
from headprune.nn.losses import Teacher
from headprune.runs import run
from headprune.runs.workdir import Workdir
from headprune.text import tokenizer
from headprune.train import devices, processes


def load(config: ConfigDict, workdirs: Sequence[Workdir], mesh: Mesh) -> Teacher | None:
  """The model at `init_from` with its own gates, on all devices; None if no run learns from it.

  Args:
    config: of the run that learns, or of one of several that learn together.
    workdirs: of all of them, with their tokenizers; they take what tells the model.
    mesh: the devices.
  Raises:
    UserError: it is not there any more, or another one is, or its ids are other words.
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
  folders = workdirs[0].tokenizer, there.workdir.tokenizer
  if tokenizer.read_files(folders[0]) != tokenizer.read_files(folders[1]):
    raise UserError(
      f"config.train.distill={config.train.distill}: {folders[1]} is not the tokenizer that this "
      "run began with: restore the run at config.init_from, or begin anew in another --workdir"
    )
  model = there.translator
  now = {"parameters": _sum({"model": model.params, "gates": there.log_alphas})}
  for workdir in workdirs:
    _check_same(config, workdir, now)
  trained = devices.replicate((model.params, model.gate_values), mesh)
  return Teacher(model.config, config.train.distill, *trained)


def _check_same(config: ConfigDict, workdir: Workdir, now: dict) -> None:
  """Raises a UserError if a run began to learn from another model; writes down a new one's."""
  if not workdir.teacher.is_file():
    if processes.is_first():
      write_json(workdir.teacher, now)
  elif read_json(workdir.teacher) != now:
    raise UserError(
      f"config.train.distill={config.train.distill}: the model at config.init_from="
      f"{config.init_from} is not the one that {workdir.path} began to learn from, but was trained "
      "on or made again: restore it, or begin anew in another --workdir"
    )


def _sum(params: dict) -> str:
  """A checksum of arrays on the host and their names."""
  total = 0
  for path, x in sorted(traverse_util.flatten_dict(params, sep="/").items()):
    total = zlib.crc32(np.ascontiguousarray(x), zlib.crc32(path.encode(), total))
  return f"{total:08x}"
