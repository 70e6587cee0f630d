"""Who holds a folder: refusal, waiting, and holders that are dead, here and on other machines."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest

from headprune.errors import UserError
from headprune.runs import lock
from tests import file_limit

HOLD = """
import pathlib, sys, time
from headprune.runs import lock
lock.BEAT = float(sys.argv[2])
with lock.held(pathlib.Path(sys.argv[1])):
  print("held", flush=True)
  time.sleep(100)
"""


def hold(folder: pathlib.Path, beat: float = lock.BEAT) -> subprocess.Popen:
  """Another process that holds a folder."""
  command = [sys.executable, "-c", HOLD, str(folder), str(beat)]
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
  holder = subprocess.Popen(command, text=True, **pipes)
  assert holder.stdout.readline() == "held\n"
  return holder


def write(folder: pathlib.Path, **changes) -> pathlib.Path:
  """A lock file of this process with other fields."""
  path = folder / lock.FILE
  path.write_text(json.dumps(lock._me() | changes))
  return path


def refused(folder: pathlib.Path) -> str:
  with pytest.raises(UserError) as caught:
    with lock.held(folder):
      raise AssertionError("two hold it")
  return str(caught.value)


@pytest.fixture
def impatient(monkeypatch):
  monkeypatch.setattr(lock, "BEAT", 0.05)
  monkeypatch.setattr(lock, "POLL", 0.02)
  monkeypatch.setattr(lock, "SILENCE", 0.5)


def test_one_holds_it_and_the_next_is_told_who(tmp_path):
  folder = tmp_path / "a" / "run"
  with lock.held(folder):
    assert f"{folder} is in use by process {os.getpid()} on " in refused(folder)
    assert (folder / lock.FILE).exists()
  with pytest.raises(KeyError):
    with lock.held(folder):
      raise KeyError
  assert not folder.exists(), "what was not there is not there again"
  folder.mkdir()
  with lock.held(folder):
    pass
  assert not list(folder.iterdir())


def test_a_folder_that_one_may_not_write_to(tmp_path):
  (tmp_path / "file").write_text("")
  assert "file/run cannot be written to: Not a directory" in refused(tmp_path / "file" / "run")


def test_a_full_disk_leaves_no_lock_of_nobody(tmp_path):
  with file_limit.bytes_of_a_file(10):
    assert "cannot be written to: File too large" in refused(tmp_path)
  assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_is_no_hindrance(tmp_path):
  holder = hold(tmp_path)
  assert f"in use by process {holder.pid} on" in refused(tmp_path)
  holder.kill()
  deadline = time.time() + 10
  while lock._started(holder.pid) and time.time() < deadline:
    time.sleep(0.01)  # until it is dead; nobody has waited for it: a zombie
  with lock.held(tmp_path):
    pass
  holder.communicate()


@pytest.mark.parametrize(
  "new, taker",
  [
    ({"host": "node7", "since": "now"}, "process {} on node7 since now"),
    (None, "another program"),
  ],
)
def test_a_holder_that_was_silent_for_too_long_ends(tmp_path, new, taker):
  holder = hold(tmp_path, beat=0.1)
  holder.send_signal(signal.SIGSTOP)
  path = tmp_path / lock.FILE
  path.unlink()  # as who finds it silent
  text = write(tmp_path, **new).read_text() if new else None
  holder.send_signal(signal.SIGCONT)
  _, said = holder.communicate(timeout=20)
  taker = taker.format(os.getpid())
  line = f"was taken by {taker}, for this program was silent for too long; it ends here"
  assert (holder.returncode, said) == (2, f"error: {tmp_path} {line}\n")
  assert lock._read(path) == text


def test_a_later_process_of_the_same_number_is_not_the_holder(tmp_path):
  write(tmp_path, started="1")
  with lock.held(tmp_path):
    assert json.loads((tmp_path / lock.FILE).read_text())["started"] != "1"


def test_where_starts_are_unknown_a_later_process_is_told_by_its_silence(
  tmp_path, impatient, monkeypatch
):
  monkeypatch.setattr(lock, "_started", lambda process: "unknown")  # as without /proc
  with lock.held(tmp_path):
    assert f"in use by process {os.getpid()} on" in refused(tmp_path)
  write(tmp_path)
  with lock.held(tmp_path, say=lambda _: None):
    pass


def boot_of_another_container() -> str:
  """The same machine's, as another container with its name tells it."""
  return re.sub(r"pid:\[\d+\]", "pid:[7]", lock._boot())


@pytest.mark.parametrize(
  "elsewhere", [{"host": "node7"}, {"boot": "another"}, {"boot": boot_of_another_container()}]
)
def test_a_holder_on_another_machine_is_alive_while_it_touches_the_file(
  tmp_path, impatient, elsewhere
):
  path, ended = write(tmp_path, **elsewhere, since="then"), threading.Event()
  holder = threading.Thread(target=lock._beat, args=(path, path.read_text(), ended))
  holder.start()
  host = elsewhere.get("host", lock._me()["host"])
  assert f"by process {os.getpid()} on {host} since then: wait until" in refused(tmp_path)
  ended.set()
  holder.join()
  said, since = [], time.time()
  with lock.held(tmp_path, say=said.append):
    assert time.time() - since > 0.4
  assert len(said) == 1 and "the holder is silent" in said[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_lock_counts_as_silent(tmp_path, impatient, text):
  (tmp_path / lock.FILE).write_text(text)
  with lock.held(tmp_path, say=lambda _: None):
    pass
  assert not list(tmp_path.iterdir())


def test_waiting_says_for_whom_and_ends_with_the_holder(tmp_path):
  said, order = [], []

  def second():
    with lock.held(tmp_path, wait=True, say=said.append):
      order.append("second")

  waiting = threading.Thread(target=second)
  with lock.held(tmp_path):
    waiting.start()
    while not said:
      time.sleep(0.01)
    time.sleep(0.1)
    order.append("first")
  waiting.join(10)
  assert order == ["first", "second"]
  assert len(said) == 1 and f"in use by process {os.getpid()} on" in said[0]
  assert said[0].endswith("waiting until it is through")


def test_a_lock_that_was_taken_in_the_meantime_stays(tmp_path):
  path = write(tmp_path, since="now")
  text = path.read_text()
  lock._bury(path, "what was there a moment ago", print)
  assert path.read_text() == text and list(tmp_path.iterdir()) == [path]
  lock._bury(path, text, print)
  assert not list(tmp_path.iterdir())
  lock._bury(path, text, print)


def test_who_died_taking_a_dead_ones_lock_away_is_in_nobodys_way(tmp_path):
  text = write(tmp_path, started="1").read_text()
  grave = tmp_path / f"{lock.FILE}-{zlib.crc32(text.encode()):08x}"
  grave.write_text(text)
  with lock.held(tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]
  assert not list(tmp_path.iterdir())


def test_of_many_that_find_a_dead_one_only_one_holds_it_at_a_time(tmp_path, monkeypatch):
  monkeypatch.setattr(lock, "POLL", 0.001)
  read, turns = lock._read, iter(range(10**9))

  def slowly(path):
    text = read(path)
    time.sleep(0.001 * (next(turns) % 4))  # what was read is old when it is used
    return text

  monkeypatch.setattr(lock, "_read", slowly)
  inside, most = [], []

  def work():
    for _ in range(5):
      with lock.held(tmp_path, wait=True, say=lambda _: None):
        inside.append(1)
        most.append(len(inside))
        inside.pop()

  for _ in range(4):
    write(tmp_path, started="1")
    threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(30)
      assert not thread.is_alive(), f"nobody gives back {read(tmp_path / lock.FILE)}"
  assert len(most) == 120 and max(most) == 1
  assert not list(tmp_path.iterdir())


def test_a_lock_that_is_gone_is_not_waited_for(tmp_path):
  begin = time.monotonic()
  assert not lock._is_silent(tmp_path / lock.FILE, print)
  assert time.monotonic() - begin < lock.SILENCE / 2
