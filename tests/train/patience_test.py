"""When a run ends early."""

from ml_collections import ConfigDict

from headprune.runs import defaults
from headprune.train import patience


def test_patience_ends_a_run_that_no_longer_improves():
  rows = [{"step": i, "dev_loss": loss} for i, loss in enumerate([3.0, 2.0, 2.1, 2.2])]

  def ends(count, rows, **fields):
    config = ConfigDict(defaults.config("concrete").to_dict())
    config.train.patience = count
    config.update_from_flattened_dict(fields)
    return patience.is_out(config, rows)

  assert ends(2, rows) and not ends(3, rows) and not ends(0, rows)
  # The step was evaluated once more, at the end with less patience.
  assert not ends(3, [*rows, {"step": 3, "dev_loss": 2.3}])
  end = [{"step": 4, "objective": 9.0}, {"step": 4, "dev_loss": 1.5}]
  went_on = [*rows, *end, {"step": 5, "dev_loss": 1.9}, {"step": 6, "dev_loss": 1.8}]
  assert ends(2, went_on)
  assert not ends(2, went_on, **{"eval.average": 8}), "it was a mean that had 1.5"
  wanted = {"l0.target_heads": "12", "train.steps": 4}  # heads settle at 2
  assert not ends(2, rows, **wanted), "losses rise while heads close"
  rows.append({"step": 4, "dev_loss": 2.2})
  assert not ends(2, rows, **wanted), "step 2 is the last one before they settle"
  assert ends(2, [*rows, {"step": 5, "dev_loss": 2.2}], **wanted)
