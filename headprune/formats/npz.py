"""Arrays of an .npz file, of which nothing is believed."""

import numpy as np

from headprune.errors import UserError
from headprune.files import check_fetched


def read(path) -> dict[str, np.ndarray]:
  """All arrays of an .npz file, without ever unpickling."""
  arrays, name = {}, "the file"
  try:
    with open(path, "rb") as file:
      check_fetched(path, file.read(100))
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
      raise UserError(f"{path}: one array, expected an .npz file of named arrays")
    with archive:
      for name in archive.files:
        arrays[name] = archive[name]
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except Exception as error:  # a header is Python, and may claim any number of values of any kind
    raise UserError(f"{path}: {name} is damaged or not a plain array (.npz)") from error
  for name, array in arrays.items():
    if not isinstance(array, np.ndarray):
      raise UserError(f"{path}: {name} is not an array")
  return arrays
