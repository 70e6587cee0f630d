"""What minimum risk training needs, in the one place that says so."""

import jax
import pytest

from headprune.errors import UserError
from headprune.runs import defaults
from headprune.train import mrt


def _config(**fields):
  config = defaults.base()
  config.update_from_flattened_dict({"train.loss": "mrt", "init_from": "runs/x"} | fields)
  return config.lock()


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("mrt.temperature", 0.0, "config.mrt.temperature=0.0 must be above 0"),
    ("mrt.sharpness", -1.0, "config.mrt.sharpness=-1.0 must be above 0"),
    ("init_from", "", "config.train.loss='mrt' needs config.init_from: a trained run"),
    ("train.accumulate", 2, "config.train.loss='mrt' needs config.train.accumulate=1"),
    ("train.shard_params", True, "needs config.train.shard_params=False"),
    ("train.src_word_dropout", 0.1, "needs config.train.src_word_dropout=0"),
    ("train.tgt_word_dropout", 0.1, "needs config.train.tgt_word_dropout=0"),
    ("mrt.sentences", 12, "mrt.sentences=12 must be a multiple of the 8 devices"),
  ],
)
def test_fields_that_cannot_be(field, value, message):
  with pytest.raises(UserError, match=message):
    mrt.check(_config(**{field: value}))
  mrt.check(_config(**{field: value, "train.loss": "cross-entropy"}), runs=2)


def test_a_run_is_alone(monkeypatch):
  for runs in (0, 1):
    mrt.check(_config(), runs)
  with pytest.raises(UserError, match="'mrt': each run samples by itself, train one at a time"):
    mrt.check(_config(), runs=2)
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  with pytest.raises(UserError, match="'mrt' is for one process"):
    mrt.check(_config())
