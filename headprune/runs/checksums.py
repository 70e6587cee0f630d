"""Checksums of a folder's files: whether it still holds what was written.

Files are summed, not arrays: that covers everything a reader depends on (shapes and indices too),
needs no copy from a device, and works on parts that other processes wrote. CRC-32 finds every
flipped bit and every burst up to 32 bits, at the speed of a disk.
"""

import pathlib
import zlib

from headprune.errors import UserError
from headprune.files import read_json, write_json

NAME = "checksums.json"
_CHUNK = 1 << 22  # bytes


def write(folder: pathlib.Path, late: tuple[str, ...] = ()) -> None:
  """Writes the sums of all files in a folder into it; those in `late` are still to change."""
  paths = sorted(path for path in folder.rglob("*") if path.is_file())
  names = [path.relative_to(folder).as_posix() for path in paths]
  sums = {name: _sum(folder / name) for name in names if name not in (NAME, *late)}
  write_json(folder / NAME, sums)


def damage(folder: pathlib.Path) -> str:
  """What is wrong with the first file that is not as it was written; "" if all are whole.

  A folder without sums has no damage that could be seen. Files that came later do not matter.
  """
  if not (folder / NAME).is_file():
    return ""
  try:
    sums = [(name, size, crc) for name, (size, crc) in read_json(folder / NAME).items()]
    found = next(filter(None, (_difference(folder, *one) for one in sums)), "")
  except (AttributeError, TypeError, ValueError, UserError):
    return f"{NAME} is not readable"
  return found if sums else f"{NAME} is not readable"


def _difference(folder: pathlib.Path, name: str, size: int, crc: str) -> str:
  try:
    found = _sum(folder / name)
  except FileNotFoundError:
    return f"{name} is missing"
  except OSError as error:
    return f"{name}: {error.strerror}"
  if found[0] != size:
    return f"{name}: {found[0]:,} of {size:,} bytes"
  return "" if found[1] == crc else f"{name}: its checksum differs"


def _sum(path: pathlib.Path) -> list:
  """[size in bytes, CRC-32 in hexadecimal digits]."""
  size = crc = 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      size, crc = size + len(chunk), zlib.crc32(chunk, crc)
  return [size, f"{crc:08x}"]
