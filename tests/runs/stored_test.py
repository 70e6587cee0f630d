"""Which checkpoints a run has on disk, and which of them are whole."""

import dataclasses
import pathlib

import pytest

from headprune.errors import UserError
from headprune.runs import checksums, stored
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir


def _save(folder: pathlib.Path, *steps: int) -> None:
  """Makes what looks like checkpoints."""
  for step in steps:
    (folder / str(step)).mkdir(parents=True)
    (folder / str(step) / "data").write_text(f"of step {step}")
    checksums.write(folder / str(step))


@pytest.fixture
def workdir(tmp_path) -> Workdir:
  return Workdir(tmp_path)


def test_kept_steps_are_whole_and_in_order(workdir):
  _save(workdir.checkpoints, 5, 2, 4)
  assert stored.kept(workdir) == ["2", "4", "5"]
  assert stored.kept(workdir, ["5", "2", "5"]) == ["2", "5"]
  with pytest.raises(UserError, match="checkpoints: no checkpoint '3'; there are 2, 4, 5"):
    stored.kept(workdir, ["2", "3"])
  (workdir.checkpoints / "4" / "data").write_text("{}")
  assert stored.kept(workdir, ["2", "5"]) == ["2", "5"]
  with pytest.raises(UserError, match="4: damaged (.*); checkpoint 5 is whole"):
    stored.kept(workdir)


def test_names_that_are_no_steps(workdir):
  for name in ("", "6.tmp", "²", "٤", "04"):  # the third is a digit to Python, the fourth a number
    (workdir.checkpoints / name).mkdir(parents=True)
    with pytest.raises(UserError, match="checkpoints: no finished checkpoint here yet: train on"):
      stored.kept(workdir)


def test_a_summary_is_of_the_checkpoints_that_are_there(workdir):
  _save(workdir.checkpoints, 2, 4)
  assert stored.lost(workdir) == "", "it is not finished"
  done = Summary("trained", step=4, mean_of=(3, 4))
  workdir.finish(done, {})
  assert stored.lost(workdir) == stored.lost(workdir, [3, 4]) == ""
  assert "of checkpoints 3, 4, but here that is of 4: restore" in stored.lost(workdir, [4])
  workdir.finish(dataclasses.replace(done, mean_of=()), {})  # as of older versions
  assert stored.lost(workdir, [4]) == ""
  workdir.finish(dataclasses.replace(done, step=5), {})
  assert "of checkpoint 5, but the newest here is 4: restore" in stored.lost(workdir, [4])
  assert "the former, take checkpoint 4 (--checkpoint 4; for" in stored.lost(workdir)
  workdir.finish(dataclasses.replace(done, kind="compact"), {})
  assert stored.lost(workdir, [4]) == ""


def test_checkpoints_that_cannot_be_read_are_not_gone(workdir):
  """As a folder of somebody else; root may read any, so a file stands for it."""
  workdir.checkpoints.write_text("")
  for call in (stored.some_steps, stored.newest_step, stored.set_damaged_aside):
    with pytest.raises(UserError, match="checkpoints cannot be read .Not a directory.$"):
      call(workdir)


def test_a_run_goes_on_from_the_newest_whole_checkpoint_stopped_or_not(workdir):
  assert stored.newest_step(workdir) is stored.last_step(workdir) is None
  _save(workdir.checkpoints, 2, 4)
  _save(workdir.stopped, 5)
  assert (stored.newest_step(workdir), stored.last_step(workdir)) == (5, 4)
  (workdir.stopped / "5" / "data").unlink()
  assert stored.newest_step(workdir) == 4
  assert stored.set_damaged_aside(workdir) == [
    f"checkpoint 5 is damaged (data is missing) and was moved to {workdir.damaged / '5'}"
  ]
  assert stored.choices(workdir) == ["last", "best", "2", "4"]
