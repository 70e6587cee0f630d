"""Files: whole writes, checked reads, one line for what cannot be written."""

import os
import subprocess
import sys
import threading

import pytest

from headprune import files
from headprune.errors import UserError
from headprune.formats import marian_tensors, npz
from headprune.text import marian_tokenizer, textfile, tokenizer
from tests import file_limit, tiny


def test_missing_json_is_named(tmp_path):
  with pytest.raises(UserError, match="x.json: no such file"):
    files.read_json(tmp_path / "x.json")


POINTER = f"""version https://git-lfs.github.com/spec/v1
oid sha256:{"4d7a2146" * 8}
size 12345
"""


@pytest.mark.parametrize(
  "name, read",
  [
    ("dev.en", textfile.read_lines),
    ("vocab.json", files.read_json),
    ("model.npz", npz.read),
    ("model.safetensors", lambda path: marian_tensors.read(path, tiny.even())),
    ("source.spm", marian_tokenizer._read_model),
    ("tokenizer.json", lambda path: tokenizer.load(path.parent)),
  ],
)
def test_a_pointer_of_git_lfs_is_not_the_file(tmp_path, name, read):
  (tmp_path / name).write_text(POINTER)
  with pytest.raises(UserError, match=f"^{tmp_path / name}: a pointer of Git LFS, .* git lfs pull"):
    read(tmp_path / name)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "sub" / "file.txt"
  files.write_text(path, "Größe")
  assert path.read_bytes() == "Größe".encode()
  monkeypatch.setattr(type(path), "replace", lambda *_: None)
  files.write_text(path, "new")
  assert path.read_text(encoding="utf-8") == "Größe"


def test_links_stay_and_lead_to_what_was_written(tmp_path):
  (tmp_path / "there").mkdir()
  for name in ("old", "new"):  # a file that is there, and one that is not yet
    (tmp_path / f"to {name}").symlink_to(f"there/{name}")
  (tmp_path / "there" / "old").write_text("1")
  for name in ("old", "new"):
    files.check_file(tmp_path / f"to {name}")
    files.write_text(tmp_path / f"to {name}", "2")
    assert (tmp_path / f"to {name}").is_symlink()
    assert (tmp_path / "there" / name).read_text() == "2"
  assert len(list((tmp_path / "there").iterdir())) == 2


def test_a_device_or_a_pipe_gets_what_is_written(tmp_path):
  (tmp_path / "null").symlink_to(os.devnull)
  files.write_text(tmp_path / "null", "2")
  assert (tmp_path / "null").is_symlink() and not os.path.isfile(os.devnull)
  os.mkfifo(tmp_path / "pipe")
  read = []
  reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
  reader.daemon = True
  reader.start()
  files.check_file(tmp_path / "pipe")
  files.write_text(tmp_path / "pipe", "2")
  assert not (tmp_path / "pipe").is_file(), "it was replaced"
  reader.join()
  assert read == ["2"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_what_stdout_was_redirected_to_is_written_on(tmp_path, name):
  program = f"""
import pathlib
from headprune import files
print("before", flush=True)
files.check_file(pathlib.Path("{name}"))
files.write_text(pathlib.Path("{name}"), "2\\n")
print("after")
"""
  with (tmp_path / "log").open("w") as log:
    subprocess.run([sys.executable, "-c", program], stdout=log, check=True)
  assert (tmp_path / "log").read_text() == "before\n2\nafter\n"
  assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_files_that_cannot_be_written_are_told_before(tmp_path, monkeypatch):
  for path, message in (
    (tmp_path, "is a folder, not a file"),
    (tmp_path / "none" / "x", "none/x: its folder does not exist"),
  ):
    with pytest.raises(UserError, match=message):
      files.check_file(path)
  monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
  with pytest.raises(UserError, match="x cannot be written: .* is not open to writing"):
    files.check_file(tmp_path / "x")


def test_json_is_written_as_it_is_read(tmp_path):
  value = {"text": "Größe", "list": [[1.0, 0.5]]}
  files.write_json(tmp_path / "x.json", value)
  assert files.read_json(tmp_path / "x.json") == value
  assert "Größe" in (tmp_path / "x.json").read_text(encoding="utf-8")
  name = {os.fsdecode(b"x\xff"): 1}
  files.write_json(tmp_path / "x.json", name)
  assert files.read_json(tmp_path / "x.json") == name


def test_a_write_that_the_disk_does_not_take_is_one_line(tmp_path):
  path = tmp_path / "x.txt"
  files.write_text(path, "old")
  with file_limit.bytes_of_a_file(1000):
    with pytest.raises(UserError, match="x.txt cannot be written .File too large.; what was saved"):
      files.write_text(path, "new" * 1000)
  assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written .(Not a directory|File exists)"):
    files.write_text(tmp_path / "file" / "y.txt", "")
