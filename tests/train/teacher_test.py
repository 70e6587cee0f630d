"""The model that a run learns from."""

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.train import devices, teacher
from tests import small_run


def test_a_teacher_is_needed_as_long_as_one_learns_from_it(tmp_path):
  start = small_run.make(tmp_path / "start")
  config = ConfigDict(start.config.to_dict())
  config.init_from = str(tmp_path / "start")
  assert teacher.load(config, devices.mesh()) is None
  config.train.distill = 0.25
  taught_by = teacher.load(config, devices.mesh())
  assert taught_by.share == 0.25 and taught_by.config == start.translator.config
  jax.tree.map(np.testing.assert_array_equal, taught_by.params, start.translator.params)
  jax.tree.map(np.testing.assert_array_equal, taught_by.gate_values, start.translator.gate_values)
  (tmp_path / "start").rename(tmp_path / "elsewhere")
  with pytest.raises(UserError, match=r"distill=0.25 needs the run at .*init_from .*start"):
    teacher.load(config, devices.mesh())
