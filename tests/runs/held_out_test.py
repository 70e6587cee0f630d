"""Numbers of runs compare where their configs name the same dev and test text, rows and tokens."""

import pytest

from headprune.runs import config as config_lib
from headprune.runs import held_out
from headprune.runs.summary import FIELDS, OF_TRANSLATIONS
from headprune.runs.workdir import Workdir
from tests import small_run


def test_which_runs_are_on_the_same_text(tmp_path):
  small_run.make(tmp_path / "run", data__text__dev_src="dev.a")
  workdir = Workdir(tmp_path / "run")
  config = config_lib.load(workdir).unlock()
  assert held_out.comparable(config, workdir) == FIELDS
  config.data.text.train_src = "other.a"
  assert held_out.comparable(config, workdir) == FIELDS
  config.data.text.dev_src = "other.a"
  assert held_out.comparable(config, workdir) == ()


@pytest.mark.parametrize("field, value", [("data.row_length", 15), ("tokenizer.vocab_size", 99)])
def test_a_loss_is_of_the_pairs_that_fit_into_a_row(tmp_path, field, value):
  small_run.make(tmp_path / "run")
  config = config_lib.load(Workdir(tmp_path / "run")).unlock()
  config.update_from_flattened_dict({field: value})
  assert held_out.comparable(config, Workdir(tmp_path / "run")) == OF_TRANSLATIONS


def test_a_run_that_cannot_be_read_is_on_other_text(tmp_path):
  small_run.make(tmp_path / "run")
  workdir = Workdir(tmp_path / "run")
  config = config_lib.load(workdir)
  assert not held_out.comparable(config, Workdir(tmp_path / "nowhere"))
  workdir.config.write_text("{}")
  assert not held_out.comparable(config, workdir)
