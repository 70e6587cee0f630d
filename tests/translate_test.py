"""Translating standard input."""

import codecs
import os
import sys
import types

import pytest

from headprune import cli, meter, translate
from headprune.runs.run import Run, Translation
from tests import small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return small_run.make(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def command(monkeypatch, tmp_path):
  """The command on some input, two lines at a time."""

  def call(workdir, data: bytes, *flags):
    monkeypatch.setattr(translate, "CHUNK", 2)
    (tmp_path / "stdin").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", (tmp_path / "stdin").open())
    monkeypatch.setattr(sys, "argv", ["translate", "--workdir", str(workdir), *flags])
    monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
    cli.run(translate.main)

  return call


def test_as_many_lines_as_were_given(run, command, capfd):
  command(run.workdir.path, "\r\n".join(small_run.LINES).encode())
  expected = run.translate(small_run.LINES)
  assert capfd.readouterr().out == "".join(f"{line}\n" for line in expected)
  assert expected[0] and not expected[1]


def test_a_byte_order_mark_is_no_part_of_the_first_line(run, command, capfd, monkeypatch):
  seen, cut = [], translate._cut
  monkeypatch.setattr(
    translate, "_cut", lambda run, lines, *a: seen.extend(lines) or cut(run, lines, *a)
  )
  command(run.workdir.path, codecs.BOM_UTF8 + b"cat\n" + codecs.BOM_UTF8 + b"cat\na\ncat")
  assert seen == ["cat", "\ufeffcat", "a", "cat"]
  command(run.workdir.path, codecs.BOM_UTF8)
  assert seen[4:] == [""]


def test_text_that_is_not_utf8(run, command, capfd):
  with pytest.raises(SystemExit) as caught:
    command(run.workdir.path, b"\n\n\nK\xe4se\n")
  assert caught.value.code == 2
  out, err = capfd.readouterr()
  assert out == "\n\n"  # what was read before
  assert err == "error: standard input, line 4: not UTF-8; convert the text first\n"


def test_text_in_utf16_without_a_mark_is_not_translated(run, command, capfd):
  with pytest.raises(SystemExit):
    command(run.workdir.path, "the dog\n".encode("utf-16-le"))
  out, err = capfd.readouterr()
  assert out == ""
  assert err.startswith("error: standard input, line 1: UTF-16 or no text, not UTF-8; convert")


def test_a_pointer_of_git_lfs_is_not_translated(run, command, capfd):
  with pytest.raises(SystemExit):
    command(run.workdir.path, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
  out, err = capfd.readouterr()
  assert not out and err.startswith("error: standard input: a pointer of Git LFS")


def test_no_run(command, capfd, tmp_path):
  with pytest.raises(SystemExit) as caught:
    command(tmp_path, b"")
  assert caught.value.code == 2 and "not a run" in capfd.readouterr().err


def test_an_empty_workdir_is_not_the_current_folder(command, capfd):
  with pytest.raises(SystemExit) as caught:
    command("", b"")
  assert caught.value.code == 2 and "argument --workdir: is empty" in capfd.readouterr().err


def test_a_long_line_is_refused_by_its_number(run, command, capfd):
  line = " ".join(["dog"] * 9).encode()
  with pytest.raises(SystemExit) as caught:
    command(run.workdir.path, b"the cat\n\n\n" + line + b"\n", "--max-tokens", "9")
  assert caught.value.code == 2
  out, err = capfd.readouterr()
  assert out.count("\n") == 2  # what was read before
  assert err == (
    "error: standard input, line 4: 10 tokens, at most 9 are translated as one; give --long-lines "
    "split, or another --max-tokens\n"
  )


def test_a_long_line_is_translated_in_parts(run, command, capfd):
  first, second = "the dog saw a cat", "a big red dog saw the cat"
  data = f"cat\n\n{first} . {second}\n{first}".encode()
  command(run.workdir.path, data, "--max-tokens", "8", "--long-lines", "split")
  short, parts = run.translate(["cat", first]), run.translate([f"{first} .", second])
  want = [short[0], "", " ".join(parts), short[1]]
  assert capfd.readouterr().out == "".join(f"{line}\n" for line in want)


def test_a_score_stands_before_each_line(run, command, capfd):
  first, second = "the dog saw a cat", "a big red dog saw the cat"
  data = f"cat\n\n{first} . {second}\n".encode()
  command(run.workdir.path, data, "--scores", "--max-tokens", "8", "--long-lines", "split")
  (cat,), (one,), (other,) = run.search(["cat", f"{first} .", second])
  assert capfd.readouterr().out == (
    f"{cat.score:.4f}\t{cat.text}\n0.0000\t\n"
    f"{one.score + other.score:.4f}\t{one.text} {other.text}\n"
  )


def test_lists_of_the_best_translations(run, command, capfd):
  lines = ["the dog saw a cat", "", "a big red dog"]
  command(run.workdir.path, "\n".join(lines).encode(), "--nbest", "3")
  found = run.search(lines, best=3)
  assert [len(found[1]), max(map(len, found))] == [1, 2]
  rows = [
    f"{number}\t{one.score:.4f}\t{one.text}\n"
    for number, translations in enumerate(found, 1)
    for one in translations
  ]
  assert capfd.readouterr().out == "".join(rows)


@pytest.mark.parametrize(
  "flags, said",
  [
    (["--nbest", "0"], "--nbest 0 must be at least 1"),
    (["--nbest", "2", "--long-lines", "split"], "--nbest: the parts of a long line have no list"),
  ],
)
def test_lists_that_cannot_be(run, command, capfd, flags, said):
  with pytest.raises(SystemExit) as caught:
    command(run.workdir.path, b"cat\n", *flags)
  assert caught.value.code == 2 and said in capfd.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_how_far_it_is_stands_on_a_terminal(run, command, capfd, monkeypatch, terminal):
  monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
  command(run.workdir.path, "\n".join(small_run.LINES).encode())
  said = capfd.readouterr().err
  assert ("translating: 0 of 5 lines" in said) == terminal
  assert said.endswith("\r\x1b[K") == terminal and bool(said) == terminal


def test_parts_of_lines_are_not_counted_as_lines(run, command, capfd, monkeypatch):
  def search(run, pieces, progress, best):
    return [progress(1) or [Translation("", 0.0, 0.0)] for _ in pieces]

  monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
  monkeypatch.setattr(meter, "_EVERY", 0.0)
  monkeypatch.setattr(Run, "search", search)
  line = b"cat dog " * 20  # eight parts
  command(run.workdir.path, line + b"\n" + line, "--max-tokens", "8", "--long-lines", "split")
  said = capfd.readouterr().err
  assert [said.count(f": {n} of 2 lines") for n in range(3)] == [5, 7, 5]


def test_two_megabytes_without_a_space_are_a_line_as_well(run, command, capfd):
  command(run.workdir.path, b"x" * 2_000_000 + b"\ncat\n")  # one unknown word
  assert capfd.readouterr().out.count("\n") == 2


def test_reading_is_bounded(run, command, capfd, monkeypatch):
  monkeypatch.setattr(translate, "CHUNK_BYTES", 16)
  command(run.workdir.path, b"the dog saw a ca")
  with pytest.raises(SystemExit):
    command(run.workdir.path, b"cat\n" + b"x" * 17)
  assert "line 2: more than 16 bytes; is it text?" in capfd.readouterr().err


@pytest.mark.parametrize("data, lines", [(b"", 0), (b"a\n\nb\n", 3), (b"a\nbcd", 2), (b"abcd", 1)])
def test_lines_are_counted_in_blocks(monkeypatch, tmp_path, data, lines):
  monkeypatch.setattr(translate, "CHUNK_BYTES", 2)
  (tmp_path / "stdin").write_bytes(b"read\n" + data)
  with (tmp_path / "stdin").open() as file:
    assert file.buffer.readline() == b"read\n"
    asked, read = [], file.buffer.read
    bounded = types.SimpleNamespace(
      fileno=file.fileno, tell=file.buffer.tell, seek=file.buffer.seek,
      read=lambda size: asked.append(size) or read(size),
    )  # fmt: skip
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=bounded))
    assert translate._count_lines() == lines and set(asked) == {2}
    assert read() == data, "it is still there"


def test_a_device_has_no_number_of_lines(monkeypatch):
  with open(os.devnull) as file:
    monkeypatch.setattr(sys, "stdin", file)
    assert translate._count_lines() is None
