"""The run's folder: what kind of run it is, names of runs, new folders made whole."""

import errno
import json
import os
import pathlib

import pytest

from headprune.errors import UserError
from headprune.runs import workdir as workdir_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir

HEADS = {"enc_self": [[0.0, 0.5], [1.0]]}


def test_runs_of_one_name_are_told_apart():
  name_runs = workdir_lib.name_runs
  assert name_runs(["a/x", "b/x", "c"]) == {"a/x": "a/x", "b/x": "b/x", "c": "c"}
  assert name_runs(["a/x"]) == name_runs(["a/x", "a/x"]) == {"a/x": "x"}
  assert list(name_runs(["/r/1/b/x", "/r/2/b/x", "/r/c/x"]).values()) == ["1/b/x", "2/b/x", "c/x"]
  assert name_runs(["a/x", "a/x/"]) == {"a/x": "a/x", "a/x/": "a/x/"}, "one folder, twice"


def test_a_run_is_finished_when_its_summary_is_there(tmp_path):
  workdir, done = Workdir(tmp_path), Summary("trained", step=3, ends_at=(3, 0))
  assert workdir.read_summary() is None
  workdir.finish(done, HEADS)
  assert workdir.read_summary() == done
  assert json.loads((tmp_path / "heads.json").read_text()) == HEADS
  assert workdir.list_files() == "heads.json, summary.json"
  workdir.reopen()
  assert workdir.read_summary() is None and not workdir.heads.exists()


@pytest.mark.parametrize(
  "content",
  [b"", b"{", b"[]", b"{}", b"3", b"\xff", b'{"step": "x"}', b'{"kind": "odd", "step": 1}',
   b'{"kind": "trained", "step": 1, "ends_at": 3}', b"[" * 100000],
)  # fmt: skip
def test_a_damaged_summary_is_named_in_one_line(tmp_path, content):
  (tmp_path / "summary.json").write_bytes(content)
  with pytest.raises(UserError, match="summary.json: .*restore the file") as caught:
    Workdir(tmp_path).read_summary()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"enc_self": [1]}', b'{"x": [[null]]}'])
def test_damaged_heads_are_named_in_one_line(tmp_path, content):
  (tmp_path / "heads.json").write_bytes(content)
  with pytest.raises(UserError, match="heads.json: .*restore the file") as caught:
    Workdir(tmp_path).read_heads()
  assert "\n" not in str(caught.value)


def test_heads_that_are_gone_are_told_with_what_to_do(tmp_path):
  with pytest.raises(UserError, match="heads.json: no such file; restore it, or .* summary.json"):
    Workdir(tmp_path).read_heads()


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
  out = tmp_path / "a" / "run"
  with pytest.raises(ValueError, match="half-way"):
    with workdir_lib.new_folder(out) as draft:
      (draft / "file").write_text("1")
      raise ValueError("half-way")
  assert list((tmp_path / "a").iterdir()) == []
  with pytest.raises(UserError, match="a/run cannot be written .No space left on device"):
    with workdir_lib.new_folder(out) as draft:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), draft)
  with workdir_lib.new_folder(out) as draft:
    (draft / "file").write_text("1")
    assert not out.exists()
  assert [p.name for p in (tmp_path / "a").iterdir()] == ["run"]
  assert (out / "file").read_text() == "1"
  with pytest.raises(UserError, match="run exists and is not an empty folder"):
    workdir_lib.check_unused(out)
  workdir_lib.check_unused(tmp_path / "b")
  with pytest.raises(UserError, match="exists and is not"):
    workdir_lib.check_unused(out / "file")


def fill(out, *names):
  """Makes a new folder of these files."""
  with workdir_lib.new_folder(out) as draft:
    for name in names:
      (draft / name).write_text(name)


def test_a_new_folder_may_be_a_link_or_the_current_folder(tmp_path, monkeypatch):
  (tmp_path / "there").mkdir()
  (tmp_path / "link").symlink_to("there")
  (tmp_path / "broken").symlink_to("none")
  monkeypatch.chdir(tmp_path / "there")
  for out, there in (("../link", "there"), ("../broken", "none"), (".", "there")):
    fill(pathlib.Path(out), "a", "config.json")
    folder = tmp_path / there
    assert sorted(os.listdir(folder)) == ["a", "config.json"]
    for path in folder.iterdir():
      path.unlink()
  assert sorted(os.listdir(tmp_path)) == ["broken", "link", "none", "there"]


def test_a_folder_that_is_there_may_be_a_mount(tmp_path, monkeypatch):
  """Nothing is moved over its edge, and half of a run is none."""
  moved, rename = [], pathlib.Path.rename

  def inside(path, target):
    assert (tmp_path / "disk").samefile(target.parent) and tmp_path / "disk" in path.parents
    moved.append(path.name)
    return rename(path, target)

  (tmp_path / "disk").mkdir()
  monkeypatch.setattr(pathlib.Path, "rename", inside)
  fill(tmp_path / "disk", "config.json", "a", "z")
  assert sorted(moved[:2]) == ["a", "z"] and moved[2:] == ["config.json"]
  assert sorted(os.listdir(tmp_path / "disk")) == ["a", "config.json", "z"]


def test_a_new_folder_that_cannot_be_is_told_before(tmp_path, monkeypatch):
  monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
  with pytest.raises(UserError, match="x cannot be made"):
    workdir_lib.check_unused(tmp_path / "x")
  with pytest.raises(UserError, match=f"^{tmp_path} is not a folder that one may write to"):
    Workdir(tmp_path).check_writable()


def test_folders_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="file is not a folder that one may write to"):
    Workdir(tmp_path / "file" / "run").check_writable()
  Workdir(tmp_path / "new" / "run").check_writable()


def test_names_of_translations(tmp_path):
  assert Workdir(tmp_path).translations("dev", 12) == tmp_path / "translations/dev-0000012.txt"
