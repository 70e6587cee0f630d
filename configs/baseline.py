"""A translation model without gates, trained to convergence: where pruning starts.

python -m headprune.main --config configs/baseline.py[:PRESET] --workdir runs/baseline

PRESET: multi30k, enru or base; none is the built-in corpus.

Built-in corpus, on two CPU cores (AMD EPYC, Zen 5): 500 steps in 0:45, median 44,500 tokens/s, dev
BLEU 96.6, test BLEU 97.1.

multi30k, on two CPU cores (AMD EPYC, Zen 5):
  python -m headprune.main --config configs/baseline.py:multi30k --workdir runs/multi30k-baseline
  5,000 steps in 26:27 of training, median 24,800 source + target tokens/s
  dev BLEU 39.9, test2016 BLEU 39.6 (nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0)
  The mean of the last 8 checkpoints; dev loss 1.548. On Xeon cores with AMX that other work was
  using too: 39.5 in 45:00.

enru with train.steps 1,500, optim.warmup_steps 500 and cooldown_steps 800, same machine with other
work beside it: 16:16, median 12,300 tokens/s, dev BLEU 11.9, test BLEU 11.4: far from converged.
"""

from configs import common


def get_config(preset: str = ""):
  config = common.base()
  common.apply_preset(config, preset)
  set_schedule(config, preset)
  return config.lock()


def set_schedule(config, preset: str) -> None:
  """How a baseline is trained: the `optim` and `train` sections."""
  if preset == "":
    config.optim.scale = 2.0
    config.optim.cooldown_steps = 200
  elif preset == "multi30k":
    config.optim.scale = 2.0
    config.optim.warmup_steps = 2000
    config.optim.cooldown_steps = 1500
    config.train.steps = 5000
    config.train.eval_every = 250
    config.train.translate_every = 1000
    config.train.checkpoint_every = 250
  elif preset == "enru":
    config.optim.warmup_steps = 800
    config.optim.cooldown_steps = 1000
    config.train.steps = 2400
    config.train.eval_every = 250
    config.train.translate_every = 1000
