"""Runs are on the same dev and test text where their configs name the same."""

from headprune.runs import config as config_lib
from headprune.runs import held_out
from headprune.runs.workdir import Workdir
from tests import small_run


def test_which_runs_are_on_the_same_text(tmp_path):
  small_run.make(tmp_path / "run", data__text__dev_src="dev.a")
  workdir = Workdir(tmp_path / "run")
  config = config_lib.load(workdir).unlock()
  assert held_out.same(config, workdir)
  config.data.text.train_src = "other.a"
  assert held_out.same(config, workdir)
  config.data.text.dev_src = "other.a"
  assert not held_out.same(config, workdir)


def test_a_run_that_cannot_be_read_is_on_other_text(tmp_path):
  small_run.make(tmp_path / "run")
  workdir = Workdir(tmp_path / "run")
  config = config_lib.load(workdir)
  assert not held_out.same(config, Workdir(tmp_path / "nowhere"))
  workdir.config.write_text("{}")
  assert not held_out.same(config, workdir)
