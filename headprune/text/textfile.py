"""Text files, plain or gzip, as lines in memory or on disk, and pairs of files."""

import codecs
from collections.abc import Callable, Iterator, Sequence
import dataclasses
import gzip
import itertools
import pathlib
from typing import BinaryIO
import zlib

from headprune.errors import UserError
from headprune.files import check_fetched

_GZIP = b"\x1f\x8b"  # how its files begin; no UTF-8 text does


@dataclasses.dataclass(frozen=True, eq=False)
class Lines(Sequence):
  """Lines of text that are read anew each time, so that they take no memory."""

  read: Callable[[], Iterator[str]]  # all of them
  count: int

  def __len__(self) -> int:
    return self.count

  def __iter__(self) -> Iterator[str]:
    return self.read()

  def __getitem__(self, which):
    if isinstance(which, slice):
      return list(itertools.islice(self.read(), *which.indices(self.count)))
    return next(itertools.islice(self.read(), range(self.count)[which], None))


def read_lines(path: str | pathlib.Path) -> list[str]:
  """Lines of a UTF-8 file, plain or gzip, whatever its name, without their line ends."""
  return list(_read_rows(pathlib.Path(path)))


def stream_lines(path: pathlib.Path) -> Lines:
  """`read_lines` for large files; all is checked at once."""
  return Lines(lambda: _read_rows(path), sum(1 for _ in _read_rows(path)))


def _read_rows(path: pathlib.Path) -> Iterator[str]:
  if not path.is_file():
    if path.exists():
      raise UserError(f"{path}: a folder, pipe or device; text is read from files")
    missing = next((parent for parent in reversed(path.parents) if not parent.is_dir()), None)
    raise UserError(f"{path}: no such {f'file, nor a folder {missing}' if missing else 'file'}")
  number = 0
  try:
    with _open(path) as file:
      for number, row in enumerate(file, 1):
        yield decode(row, path, number)
  except (OSError, EOFError, zlib.error) as error:
    raise UserError(f"{path}: cannot be read ({error})") from error
  if not number:
    raise UserError(f"{path}: the file is empty")


def decode(row: bytes, name, number: int) -> str:
  """A line of UTF-8 without its end.

  Args:
    row: with its end.
    name: of the text, for errors.
    number: of the line, from 1.
  Raises:
    UserError: it is not UTF-8.
  """
  if number == 1:
    row = row.removeprefix(codecs.BOM_UTF8)
    if b"\0" in row:  # as in UTF-16, which may pass for UTF-8
      raise UserError(f"{name}, line 1: UTF-16 or no text, not UTF-8; convert the text first")
  try:
    return row.removesuffix(b"\n").decode("utf-8").removesuffix("\r")
  except UnicodeDecodeError:
    raise UserError(f"{name}, line {number}: not UTF-8; convert the text first") from None


def _open(path: pathlib.Path) -> BinaryIO:
  with path.open("rb") as file:
    start = file.read(100)
  check_fetched(path, start)
  return gzip.open(path) if start.startswith(_GZIP) else path.open("rb")


def read_parallel(src: str | pathlib.Path, tgt: str | pathlib.Path) -> tuple[list[str], list[str]]:
  """Lines of two files that must have the same number of them."""
  return check_parallel(src, tgt, read_lines(src), read_lines(tgt))


def check_parallel(src, tgt, src_lines: Sequence[str], tgt_lines: Sequence[str]) -> tuple:
  """(src_lines, tgt_lines), of as many lines; else a UserError that names both files."""
  if len(src_lines) != len(tgt_lines):
    raise UserError(
      f"{src} has {len(src_lines)} lines but {tgt} has {len(tgt_lines)}: they must be parallel"
    )
  return src_lines, tgt_lines
