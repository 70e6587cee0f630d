"""When a run ends before its last step: `train.patience`."""

from ml_collections import ConfigDict

from headprune.runs import derived


def is_out(config: ConfigDict, history: list[dict]) -> bool:
  """Whether the last `train.patience` dev losses are no better than the best one before them.

  A wanted number of heads is waited for: losses rise while heads close. The end of a run that was
  finished with less patience is a second row of its step, of another model.
  """
  patience = config.train.patience
  before = derived.settle_step(config) if config.l0.target_heads else -1  # gates learn up to here
  losses = {}
  for row in history:
    if "dev_loss" in row and row["step"] > before:
      losses.setdefault(row["step"], row["dev_loss"])
  losses = list(losses.values())
  return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])
