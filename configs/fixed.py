"""Gates that stay as they are: given by hand, or taken from another run's heads.json.

  python -m headprune.main --config configs/fixed.py[:PRESET] --workdir runs/fixed

By default with the parameters and the gates of `runs/concrete` (`runs/PRESET-concrete`): the pruned
structure is trained on, without noise. `--config.init_from=` trains it from scratch.
"""

from configs import common, concrete


def get_config(preset: str = ""):
  config = common.base()
  common.apply_preset(config, preset)
  concrete.set_schedule(config, preset)
  config.init_from = f"runs/{preset}-concrete" if preset else "runs/concrete"
  config.gates.kind = "fixed"
  config.gates.fixed_from = config.init_from
  config.l0.coef = 0.0
  return config.lock()
