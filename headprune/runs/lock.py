"""One process at a time in a folder: a lock that names its holder and that no dead one keeps.

It needs nothing of the file system but exclusive creation, so that it holds on NFS too. A holder
on this machine is alive if its process is; one on another machine, or where the system does not
tell two processes of one number apart, if it keeps touching the file. One that was suspended for
so long that another took the folder ends as if it had been killed.
"""

from collections.abc import Callable, Iterator
import contextlib
import json
import os
import pathlib
import socket
import sys
import threading
import time
from typing import NoReturn
import uuid
import zlib

from headprune.errors import UserError

FILE = ".lock"
BEAT = 5.0  # seconds between a holder's signs of life
POLL = 0.5  # seconds between two looks at another's lock
SILENCE = 30.0  # seconds without any, after which a holder on another machine is taken for dead

_UNKNOWN = "unknown"  # when a process started


class InUse(UserError):
  """Another process holds the folder."""


def is_held(folder: pathlib.Path, say: Callable = print) -> bool:
  """Whether another process, which lives, holds the lock of `folder`."""
  text = _read(folder / FILE)
  return text is not None and not _is_dead(folder / FILE, text, say)


@contextlib.contextmanager
def held(folder: pathlib.Path, wait: bool = False, say: Callable = print) -> Iterator[None]:
  """Holds the lock of `folder`, which is made if it is not there.

  Args:
    folder: what to hold.
    wait: for another holder to end; else it is an error that there is one.
    say: tells a person what is being waited for.
  Raises:
    InUse: another process holds it; names that one.
  """
  new = not folder.exists()
  path, own = folder / FILE, json.dumps(_me())
  try:
    folder.mkdir(parents=True, exist_ok=True)
    _take(path, own, wait, say)
  except OSError as error:
    raise UserError(f"{folder} cannot be written to: {error.strerror}") from error
  ended = threading.Event()
  beating = threading.Thread(target=_beat, args=(path, own, ended), daemon=True)
  beating.start()
  try:
    yield
  finally:
    ended.set()
    beating.join()
    _give_back(path, own)
    if new:
      with contextlib.suppress(OSError):  # it stays if there is something in it
        folder.rmdir()


def _take(path: pathlib.Path, own: str, wait: bool, say: Callable) -> None:
  told = False
  while not _create(path, own):
    text = _read(path)
    if text is None:  # given back a moment ago
      continue
    if _is_dead(path, text, say):
      _bury(path, text, say)
    elif not wait:
      name = _name(_read(path) or text)  # it may have just been written
      raise InUse(f"{path.parent} is in use by {name}: wait until it ends, or end it")
    else:
      if not told:
        say(f"{path.parent} is in use by {_name(text)}: waiting until it is through")
      told = True
      time.sleep(POLL)


def _create(path: pathlib.Path, own: str) -> bool:
  try:
    with path.open("x", encoding="utf-8") as file:
      try:
        file.write(own)
        file.flush()
      except OSError:  # a full disk: what names nobody would be waited for
        path.unlink()
        raise
  except FileExistsError:
    return False
  return True


def _bury(path: pathlib.Path, text: str, say: Callable) -> None:
  """Takes a dead holder's lock with content `text` away.

  Under a lock of its own: of several that found it, a slow one would else take away what a quicker
  one has put in its place.
  """
  grave = path.with_name(f"{path.name}-{zlib.crc32(text.encode()):08x}")
  own = json.dumps(_me())
  _take(grave, own, True, say)
  try:
    if _read(path) == text:
      path.unlink(missing_ok=True)
  finally:
    _give_back(grave, own)


def _give_back(path: pathlib.Path, own: str) -> None:
  if _read(path) == own:  # else another took its holder for dead
    path.unlink(missing_ok=True)


def _read(path: pathlib.Path) -> str | None:
  try:
    return path.read_text("utf-8", errors="replace")
  except FileNotFoundError:
    return None


def _me() -> dict:
  """Host, process, and what tells them from a later one of the same number."""
  return {
    "host": socket.gethostname(),
    "boot": _boot(),
    "process": os.getpid(),
    "started": _started(os.getpid()),
    "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    "token": uuid.uuid4().hex,
  }


def _parse(text: str) -> dict:
  """The holder; nobody if the file is damaged or not yet written."""
  try:
    found = json.loads(text)
  except ValueError:
    found = None
  return found if isinstance(found, dict) else {}


def _name(text: str) -> str:
  holder = _parse(text)
  names = [holder.get(key, "?") for key in ("process", "host", "since")]
  return "process {} on {} since {}".format(*names)


def _is_dead(path: pathlib.Path, text: str, say: Callable) -> bool:
  holder, me = _parse(text), _me()
  if [holder.get(key) for key in ("host", "boot")] == [me["host"], me["boot"]]:
    started = _started(holder.get("process"))
    if started != _UNKNOWN:
      return started is None or started != holder.get("started")
  return _is_silent(path, say)


def _is_silent(path: pathlib.Path, say: Callable) -> bool:
  """Whether the file is not touched for a while; clocks of other machines do not matter."""
  first, begin = _touched(path), time.monotonic()
  told = False
  while time.monotonic() - begin < SILENCE:
    if first is None or _touched(path) != first:
      return False
    if not told and time.monotonic() - begin > 2 * BEAT:
      say(f"{path}: the holder is silent; if it stays so for {SILENCE:.0f} s, this run goes on")
      told = True
    time.sleep(POLL)
  return True


def _touched(path: pathlib.Path) -> int | None:
  try:
    with path.open("rb") as file:  # opening it makes NFS look anew
      return os.fstat(file.fileno()).st_mtime_ns
  except FileNotFoundError:
    return None


def _beat(path: pathlib.Path, own: str, ended: threading.Event) -> None:
  """Gives signs of life while the file has the content `own`."""
  while not ended.wait(BEAT):
    with contextlib.suppress(OSError):
      text = _read(path)
      if text != own:
        _leave(path.parent, text)
      os.utime(path)


def _leave(folder: pathlib.Path, text: str | None) -> NoReturn:
  """Ends this program at once, for whatever its main thread is at may write into the folder."""
  taker = _name(text) if text else "another program"
  reason = "for this program was silent for too long; it ends here"
  try:
    print(f"error: {folder} was taken by {taker}, {reason}", file=sys.stderr, flush=True)
  finally:
    os._exit(2)


def _boot() -> str:
  """This start of this machine and, where it has containers, whose processes one sees."""
  try:
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
  except OSError:
    return ""


def _started(process) -> str | None:
  """When a process of this machine started, in the system's own unit; None if it has ended."""
  try:
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # a zombie is not alive
  except OSError:
    pass
  if pathlib.Path("/proc/self/stat").exists() or not isinstance(process, int):
    return None
  try:
    os.kill(process, 0)  # asks only
  except ProcessLookupError:
    return None
  except PermissionError:
    pass
  return _UNKNOWN
