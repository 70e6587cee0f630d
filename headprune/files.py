"""Files: whole writes, checked reads, and what to raise where neither can be."""

from collections.abc import Callable, Iterator
import contextlib
import json
import os
import pathlib

from headprune.errors import UserError

_POINTER = b"version https://git-lfs.github.com/spec/"  # how one begins


def check_fetched(path: pathlib.Path | str, start: bytes) -> None:
  """Raises a UserError if a file's first bytes are those of a pointer that Git LFS left for it."""
  if start.startswith(_POINTER):
    raise UserError(f"{path}: a pointer of Git LFS, not the file itself: git lfs pull fetches it")


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes a file whole: an interrupted program leaves the old one, or none.

  Links stay and lead to the new file; a device, a pipe or a stream of this program gets the data.
  """
  stream = _stream(path)
  with writing(path):
    if stream is not None:
      with open(stream, "wb", closefd=False) as file:
        file.write(data)
      return
    if _is_device(path):
      path.write_bytes(data)
      return
    path = without_links(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{os.getpid()}.tmp"  # another program may write the file as well
    draft = path.with_name(f".{path.name}{own}")
    try:
      draft.write_bytes(data)
      draft.replace(path)
    finally:
      draft.unlink(missing_ok=True)  # of a write that failed, which would keep a full disk full


def write_text(path: pathlib.Path, text: str) -> None:
  """`write_bytes` of UTF-8.

  File names may hold bytes that are none; they become escapes, which JSON reads as what they were.
  """
  write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: pathlib.Path, value, indent: int = 1) -> None:
  """`write_text` of JSON."""
  write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: pathlib.Path, object_pairs_hook: Callable | None = None):
  """The content of a JSON file.

  Args:
    path: of the file.
    object_pairs_hook: makes each object of its (name, value) pairs, as in `json.loads`.
  Raises:
    UserError: there is no such file, or it is damaged.
  """
  try:
    data = path.read_bytes()
    check_fetched(path, data)
    return json.loads(data.decode("utf-8"), object_pairs_hook=object_pairs_hook)
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except (OSError, ValueError, RecursionError) as error:
    raise UserError(f"{path}: not JSON ({error}); restore the file") from error


def check_file(path: pathlib.Path) -> None:
  """Raises a UserError if there is no place for a file, for those who write it after long work."""
  if _stream(path) is not None:
    return
  if path.is_dir():
    raise UserError(f"{path} is a folder, not a file")
  place = path if _is_device(path) else without_links(path).parent
  if not place.exists():
    raise UserError(f"{path}: its folder does not exist")
  if not os.access(place, os.W_OK):
    raise UserError(f"{path} cannot be written: {place} is not open to writing")


def _is_device(path: pathlib.Path) -> bool:
  return path.exists() and not path.is_file() and not path.is_dir()


def _stream(path: pathlib.Path) -> int | None:
  """Which open file of this program a path names: of /dev/stdout it is 1."""
  named = {"/dev/stdout": "1", "/dev/stderr": "2"}.get(str(path))
  number = path.name if str(path.parent) in ("/dev/fd", "/proc/self/fd") else named
  return int(number) if number and number.isdecimal() else None


def without_links(path: pathlib.Path) -> pathlib.Path:
  """The place that a path leads to."""
  return pathlib.Path(os.path.realpath(path))  # pathlib's own raises for links in a circle


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """A section that writes a file or folder; raises a UserError if the disk does not take it."""
  try:
    yield
  except OSError as error:
    raise cannot_write(path, error.strerror or str(error)) from error


def cannot_write(path: pathlib.Path, reason: str) -> UserError:
  """What to raise if a file cannot be written; whatever is written here is written whole."""
  return UserError(
    f"{path} cannot be written ({reason}); what was saved before is whole, and the same command "
    "goes on when this is mended"
  )


def damaged(path: pathlib.Path | str, error: Exception) -> UserError:
  """What to raise for a file whose content is not what this program wrote."""
  reason = " ".join(f"{type(error).__name__}: {error}".split())
  return UserError(f"{path}: damaged ({reason}); restore the file")
