"""Hard Concrete gates and an L0 penalty on a trained baseline: most heads close.

  python -m headprune.main --config configs/concrete.py[:PRESET] --workdir runs/concrete

PRESET: multi30k, enru or base; none is the built-in corpus.

If no finished baseline is at `init_from`, it is trained there first, as `pretrain` says.
"""

from ml_collections import ConfigDict

from configs import baseline, common


def get_config(preset: str = ""):
  config = common.base()
  common.apply_preset(config, preset)
  config.pretrain = ConfigDict()  # how a missing baseline is trained
  schedule = common.base()
  common.apply_preset(schedule, preset)
  baseline.set_schedule(schedule, preset)
  config.pretrain.train, config.pretrain.optim = schedule.train, schedule.optim
  config.init_from = f"runs/{preset}-baseline" if preset else "runs/baseline"
  config.gates.kind = "concrete"
  set_schedule(config, preset)
  return config.lock()


def set_schedule(config, preset: str) -> None:
  """How the gated model is trained on."""
  config.l0.coef = 0.3
  config.optim.gates_factor = 20.0
  if preset == "":
    config.train.steps = 800
  elif preset == "multi30k":
    config.train.batch_tokens = 8192
    config.train.steps = 2000
