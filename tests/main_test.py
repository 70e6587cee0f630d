"""The command train: what it says of a baseline that it trains first."""

import sys

from absl import flags
from absl.testing import flagsaver
import pytest

from headprune import config_flag, main
from headprune.errors import UserError
from headprune.train import training


def test_a_baseline_that_breaks_down_is_told_from_its_pruning(tmp_path, monkeypatch, capsys):
  def broken(config, workdir, *_, **__):
    raise UserError(f"{workdir.name} diverged: lower config.optim.learning_rate")

  monkeypatch.setattr(training, "train", broken)
  saved = flagsaver.save_flag_values()
  argv = ["train", "--config", "concrete:cldr", "--workdir", str(tmp_path / "x")]
  argv.append(f"--config.init_from={tmp_path / 'baseline'}")
  try:
    flags.FLAGS.unparse_flags()
    monkeypatch.setattr(sys, "argv", argv)
    config_flag.parser("", [])(argv)
    with pytest.raises(UserError) as error:
      main._train([])
  finally:
    flagsaver.restore_flag_values(saved)
  assert str(error.value) == (
    "the baseline, which is trained first, with config.pretrain: baseline diverged: lower "
    "config.optim.learning_rate"
  )
  assert capsys.readouterr().out.startswith(f"No finished baseline at {tmp_path / 'baseline'}: ")
