"""Lines of text files, whatever they are called, and what is wrong with them."""

import gzip
import pathlib

import pytest

from headprune.errors import UserError
from headprune.text import textfile


def _write(path, data: bytes):
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_lines_of_a_file(tmp_path, name, end):
  path = _write(tmp_path / name, "ein Gäßchen\r\n\n  drei ".encode() + end)
  assert textfile.read_lines(path) == ["ein Gäßchen", "", "  drei "]


def test_only_newlines_end_a_line(tmp_path):
  text = "a\u2028b\u0085c\x0bd\x0ce\x1cf\rg"
  assert textfile.read_lines(_write(tmp_path / "a", text.encode())) == [text]


def test_a_byte_order_mark_is_no_text(tmp_path):
  assert textfile.read_lines(_write(tmp_path / "a", b"\xef\xbb\xbfone\ntwo\n")) == ["one", "two"]


def test_trailing_empty_lines_count(tmp_path):
  assert textfile.read_lines(_write(tmp_path / "a", b"one\n\n\n")) == ["one", "", ""]


@pytest.mark.parametrize("name", ["a.txt", "a.gz"])
def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path, name):
  path = _write(tmp_path / name, b"gut\ngut\n" + "schön".encode("latin-1") + b"\ngut\n")
  with pytest.raises(UserError, match=f"{path}, line 3: not UTF-8"):
    textfile.read_lines(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_other_unicode_that_passes_for_utf8_is_named(tmp_path, encoding):
  path = _write(tmp_path / "a.txt", "дом и лес\n".encode(encoding))
  with pytest.raises(UserError, match=f"{path}, line 1: UTF-16 or no text"):
    textfile.read_lines(path)


def test_unreadable_files(tmp_path):
  with pytest.raises(UserError, match=f"{tmp_path}/none: no such file"):
    textfile.read_lines(tmp_path / "none")
  with pytest.raises(UserError, match=f"b/c: no such file, nor a folder {tmp_path}/none$"):
    textfile.read_lines(tmp_path / "none" / "b" / "c")
  for path in (tmp_path, pathlib.Path("/dev/null")):
    with pytest.raises(UserError, match=f"{path}: a folder, pipe or device"):
      textfile.read_lines(path)
  with pytest.raises(UserError, match="empty: the file is empty"):
    textfile.read_lines(_write(tmp_path / "empty", b""))
  with pytest.raises(UserError, match="empty.gz: the file is empty"):
    textfile.read_lines(_write(tmp_path / "empty.gz", b""))
  good = gzip.compress(b"text\n" * 100)
  for name, data in (("cut", good[:-12]), ("broken", good[:12] + b"\xff" * 20)):
    (tmp_path / f"{name}.gz").write_bytes(data)
    with pytest.raises(UserError, match=f"{name}.gz: cannot be read"):
      textfile.read_lines(tmp_path / f"{name}.gz")


def test_what_a_file_is_called_does_not_matter(tmp_path):
  data = "one\nzwölf\n".encode()
  (tmp_path / "plain.gz").write_bytes(data)
  (tmp_path / "packed").write_bytes(gzip.compress(data))
  for name in ("plain.gz", "packed"):
    assert textfile.read_lines(tmp_path / name) == ["one", "zwölf"]


def test_parallel_files_have_as_many_lines(tmp_path):
  src = _write(tmp_path / "src", b"a\nb\nc\n")
  assert textfile.read_parallel(src, _write(tmp_path / "tgt", b"x\n\nz"))[1] == ["x", "", "z"]
  with pytest.raises(UserError, match="src has 3 lines but .*short has 2"):
    textfile.read_parallel(src, _write(tmp_path / "short", b"x\ny\n"))


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_lines_that_are_not_in_memory_are_like_a_list(tmp_path, name):
  want = [str(i) for i in range(11)]
  lines = textfile.stream_lines(_write(tmp_path / name, "\n".join(want).encode()))
  assert len(lines) == 11 and list(lines) == list(lines) == want
  for which in (slice(None), slice(3, None, 4), slice(-2, None), slice(0, 20, 3), slice(9, 2)):
    assert lines[which] == want[which]
  assert (lines[0], lines[10], lines[-1]) == ("0", "10", "10")
  with pytest.raises(IndexError):
    lines[11]
