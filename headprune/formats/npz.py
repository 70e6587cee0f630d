"""Arrays of an .npz file, of which nothing is believed."""

import zipfile
import zlib

import numpy as np

from headprune.errors import UserError

# What damage becomes. Of memory: a header may claim any number of values.
_DAMAGE = (
  EOFError, MemoryError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read(path) -> dict[str, np.ndarray]:
  """All arrays of an .npz file, without ever unpickling."""
  arrays, name = {}, "the file"
  try:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
      raise UserError(f"{path}: one array, expected an .npz file of named arrays")
    with archive:
      for name in archive.files:
        arrays[name] = archive[name]
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except _DAMAGE as error:
    raise UserError(f"{path}: {name} is damaged or not a plain array (.npz)") from error
  for name, array in arrays.items():
    if not isinstance(array, np.ndarray):
      raise UserError(f"{path}: {name} is not an array")
  return arrays
