"""What a person should know of a finished run before building on it: a line each, or none."""

from collections.abc import Sequence

from ml_collections import ConfigDict
import numpy as np

from headprune.nn import gates
from headprune.runs import derived, metrics
from headprune.text.encoding import Report

_FALLING = 0.05  # nats a token, in the last fifth of the steps
_RISEN = 0.05  # nats a token, since the best evaluation
_USABLE_BLEU = 15.0  # percent; below it heads have hardly learned what pruning could show
_CUT = 0.1  # share of the heads with gates
_NEAR = 0.9  # share of the steps before gates settle
_DROPPED = 0.01  # share of the pairs
_SEEN = 0.05  # share of the dev or test pairs
_APART = 0.01  # nats a token by which a mean of checkpoints is worse than the last one alone


def of_run(
  config: ConfigDict,
  step: int,
  history: list[dict],
  last: dict,
  own_loss: float,
  log_alphas: dict,
  report: Report,
) -> tuple[str, ...]:
  """All notes on a run.

  Args:
    config: of the run.
    step: its last one.
    history: the rows of its metrics.
    last: the row of the last evaluation, of a mean of checkpoints where they are averaged.
    own_loss: dev loss of the last step's own parameters.
    log_alphas: attention type -> layer -> log_alpha of each head.
    report: of the training pairs.
  """
  losses = metrics.dev_losses(history, config.eval.average).items()
  points = [(at, loss) for at, loss in losses if at < step] + [(step, own_loss)]
  return (
    *dev_loss(points, step, pruned=bool(log_alphas)),
    *mean(last["dev_loss"], own_loss),
    *bleu(last["dev_bleu"]),
    *closed(config, log_alphas),
    *cut(config, history, log_alphas),
    *lengths(report, config.data.row_length),
    *seen(report),
  )


def dev_loss(points: Sequence[tuple[int, float]], steps: int, pruned: bool) -> list[str]:
  """Whether training ended too early or too late.

  Args:
    points: (step, dev loss) of evaluations in order, all of them of the model as trained.
    steps: of the whole run.
    pruned: heads were closed, which may raise the loss: that is not told.
  """
  if len(points) < 2:
    return []
  at, losses = np.array(points, float).T
  fell = np.interp(at[-1] - steps / 5, at, losses) - losses[-1]
  if fell > _FALLING:
    return [
      f"dev loss was still falling, by {fell:.2f} nats in the last fifth of the steps: raise "
      "config.train.steps"
    ]
  best = int(losses.argmin())
  if losses[-1] - losses[best] > _RISEN and not pruned:
    return [
      f"dev loss has risen by {losses[-1] - losses[best]:.2f} nats since step {int(at[best]):,}: "
      "lower config.train.steps, set config.train.patience, or raise dropout (config.model)"
    ]
  return []


def mean(mean_loss: float, own_loss: float) -> list[str]:
  """Whether the mean of checkpoints is worse than the last one of them alone."""
  if mean_loss - own_loss <= _APART:
    return []
  return [
    f"the mean of checkpoints has dev loss {mean_loss:.3f}, the last one alone {own_loss:.3f}: its "
    "older ones are of much worse models; lower config.train.checkpoint_every or "
    "config.eval.average"
  ]


def bleu(dev_bleu: float) -> list[str]:
  """Whether the model translates well enough for its heads to mean something."""
  if dev_bleu >= _USABLE_BLEU:
    return []
  return [
    f"dev BLEU {dev_bleu:.1f} is below {_USABLE_BLEU:.0f}: which heads such a model can spare "
    "tells little; train longer or on more pairs first"
  ]


def closed(config: ConfigDict, log_alphas: dict) -> list[str]:
  """Whether no gate has moved far enough to close; with a wanted number as many have as should.

  Args:
    config: of the run.
    log_alphas: attention type -> layer -> log_alpha of each head.
  """
  values = [x for layers in log_alphas.values() for row in layers for x in row]
  if config.l0.target_heads or not values or np.min(gates.expected(np.float32(values))) == 0:
    return []
  return [
    f"no gate closed; the lowest log_alpha is {min(values):.2f}, closed is below "
    f"{gates.CLOSED:.2f}: raise config.train.steps, config.optim.gates_factor or config.l0.coef"
  ]


def cut(config: ConfigDict, history: list[dict], log_alphas: dict) -> list[str]:
  """Whether the penalty of a wanted number was late, so that many heads closed unasked.

  Args:
    config: of the run.
    history: the rows of its metrics.
    log_alphas: attention type -> layer -> log_alpha of each head, of the types with gates.
  """
  if config.gates.kind != "concrete" or not config.l0.target_heads:
    return []
  settle_step = derived.settle_step(config)
  rows = [row for row in history if "open" in row]
  before = [row for row in rows if _NEAR * settle_step <= row["step"] <= settle_step]
  if not before:
    return []
  still_open, wanted = (
    sum(row["open"][name] for name in log_alphas) for row in (before[-1], rows[-1])
  )
  if still_open - wanted <= _CUT * sum(len(row) for x in log_alphas.values() for row in x):
    return []
  step = before[-1]["step"]
  return [
    f"{still_open} heads were still open at step {step:,}, just before all but {wanted} closed: "
    f"which ones is partly chance; raise config.l0.ascent={config.l0.ascent:g}"
  ]


def lengths(report: Report, row_length: int) -> list[str]:
  """Whether many training pairs were left out because they are long."""
  share = report.too_long / (report.kept + report.too_long)
  if share <= _DROPPED:
    return []
  keeps = f" ({report.keeps_99} keeps 99%)" if report.keeps_99 else ""
  return [
    f"{share:.1%} of the training pairs were dropped as longer than "
    f"config.data.row_length={row_length}{keeps}"
  ]


def seen(report: Report) -> list[str]:
  """Whether much of the dev or test text is training text, so that BLEU there tells little."""
  return [
    f"{share:.0%} of the {split} pairs are in the training text as well: BLEU there is of what was "
    "learned by heart; take them out of either"
    for split, share in report.seen.items()
    if share > _SEEN
  ]
