"""Checksums of a folder's files."""

import json
import os

import pytest

from headprune.runs import checksums


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "x").write_bytes(b"123456789")
  (tmp_path / "Größe 1").write_bytes(b"")
  (tmp_path / "late").write_bytes(b"?")
  checksums.write(tmp_path, late=("late",))
  return tmp_path


def test_sums_are_crc32_and_sizes(folder):
  sums = json.loads((folder / "checksums.json").read_text("utf-8"))
  assert sums == {"Größe 1": [0, "00000000"], "a/x": [9, "cbf43926"]}  # CRC-32's check value
  assert checksums.damage(folder) == ""


def test_files_that_came_later_do_not_matter(folder):
  (folder / "late").write_bytes(b"!")
  (folder / "later").write_bytes(b"!")
  assert checksums.damage(folder) == ""


@pytest.mark.parametrize(
  "name, content, damage",
  [
    ("a/x", b"1234", "a/x: 4 of 9 bytes"),
    ("a/x", b"123456788", "a/x: its checksum differs"),
    ("a/x", None, "a/x is missing"),
    ("Größe 1", b"0", "Größe 1: 1 of 0 bytes"),
    ("checksums.json", b"", "checksums.json is not readable"),
    ("checksums.json", b"{}", "checksums.json is not readable"),
    ("checksums.json", b"[]", "checksums.json is not readable"),
    ("checksums.json", b'{"a/x": 3}', "checksums.json is not readable"),
    ("checksums.json", b'{"\\u0000": [3, ""]}', "checksums.json is not readable"),
  ],
)
def test_damage_is_named(folder, name, content, damage):
  (folder / name).unlink()
  if content is not None:
    (folder / name).write_bytes(content)
  assert checksums.damage(folder) == damage


def test_a_file_that_cannot_be_read(folder, monkeypatch):
  def fail(*_):
    raise OSError(5, os.strerror(5), "a/x")

  monkeypatch.setattr(checksums, "_sum", fail)
  assert checksums.damage(folder) == "Größe 1: Input/output error"
