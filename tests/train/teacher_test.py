"""The model that a run learns from."""

import shutil

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import checkpoint
from headprune.runs.workdir import Workdir
from headprune.text import special, tokenizer
from headprune.train import devices, teacher
from tests import small_run


def test_a_teacher_is_needed_as_long_as_one_learns_from_it(tmp_path):
  start = small_run.make(tmp_path / "start")
  config = ConfigDict(start.config.to_dict())
  config.init_from = str(tmp_path / "start")
  run = Workdir(tmp_path / "run")
  shutil.copytree(start.workdir.tokenizer, run.tokenizer)
  assert teacher.load(config, [run], devices.mesh()) is None
  config.train.distill = 0.25
  taught_by = teacher.load(config, [run], devices.mesh())
  assert taught_by.share == 0.25 and taught_by.config == start.translator.config
  jax.tree.map(np.testing.assert_array_equal, taught_by.params, start.translator.params)
  jax.tree.map(np.testing.assert_array_equal, taught_by.gate_values, start.translator.gate_values)
  (tmp_path / "start").rename(tmp_path / "elsewhere")
  with pytest.raises(UserError, match=r"distill=0.25 needs the run at .*init_from .*start"):
    teacher.load(config, [run], devices.mesh())


def test_a_teacher_that_was_trained_on_is_none(tmp_path):
  start = small_run.make(tmp_path / "start")
  config, runs = ConfigDict(start.config.to_dict()), [Workdir(tmp_path / name) for name in "ab"]
  config.init_from, config.train.distill = str(tmp_path / "start"), 0.25
  for run in runs:
    shutil.copytree(start.workdir.tokenizer, run.tokenizer)
  load = lambda: teacher.load(config, runs, devices.mesh())
  load()
  before = [run.teacher.read_bytes() for run in runs]
  load()  # of runs that go on
  assert before == [run.teacher.read_bytes() for run in runs]
  params = {"model": start.translator.params, "gates": start.log_alphas}
  checkpoint.save_params(start.workdir, jax.tree.map(lambda x: x + 0.5, params), 7)
  with pytest.raises(UserError, match="distill=0.25: the model at config.init_from=.*start is not"):
    load()
  config.init_checkpoint = "0"
  load()
  config.init_checkpoint = "last"
  for run in runs:
    run.teacher.unlink()  # as where they begin anew
  load()


def test_a_teacher_of_other_words_is_none(tmp_path):
  start = small_run.make(tmp_path / "start")
  config, run = ConfigDict(start.config.to_dict()), Workdir(tmp_path / "run")
  config.init_from, config.train.distill = str(tmp_path / "start"), 0.25
  words = [*special.RESERVED, *reversed(small_run.WORDS)]  # as many ids
  tokenizer.write_files(run.tokenizer, tokenizer.whitespace_files(words, words))
  with pytest.raises(UserError, match="start/tokenizer is not the tokenizer that this run began"):
    teacher.load(config, [run], devices.mesh())
