"""When a run ends before its last step: `train.patience`."""

from ml_collections import ConfigDict

from headprune.runs import derived, metrics


def is_out(config: ConfigDict, history: list[dict]) -> bool:
  """Whether the last `train.patience` dev losses are no better than the best one before them.

  A wanted number of heads is waited for: losses rise while heads close.
  """
  patience = config.train.patience
  if not patience:
    return False
  before = derived.settle_step(config) if config.l0.target_heads else -1  # gates learn up to here
  found = metrics.dev_losses(history, config.eval.average)
  losses = [loss for step, loss in found.items() if step > before]
  return patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])
