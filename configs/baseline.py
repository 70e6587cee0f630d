"""A translation model without gates, trained to convergence: where pruning starts.

python -m headprune.main --config configs/baseline.py[:PRESET] --workdir runs/baseline

PRESET: grammar, multi30k, marian, enru, opus, opus-cpu or base; none is the built-in corpus.

Built-in corpus, on two CPU cores (AMD EPYC): 500 steps in 0:51, median 39,272 tokens/s, dev BLEU
96.78, test BLEU 97.47.

grammar, on two CPU cores with much other work beside it: 800 steps in 3:17, dev BLEU 96.74, test
BLEU 96.10; with --config.seed=1 96.17 and 97.11

multi30k, on two CPU cores (AMD EPYC, Zen 5):
  python -m headprune.main --config configs/baseline.py:multi30k --workdir runs/multi30k-baseline
  5,000 steps in 26:27 of training, median 24,800 source + target tokens/s
  dev BLEU 39.9, test2016 BLEU 39.6 (nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0)
  The mean of the last 8 checkpoints; smoothed dev loss 1.548. On Xeon cores with AMX that other
  work was using too: 39.5 in 45:00.

marian, same machine with much other work beside it:
  5,000 steps in 1:21:05, dev BLEU 38.6, test2016 BLEU 38.8 (lower-cased, 13a), smoothed
  dev loss 1.601

enru with train.steps 1,500, optim.learning_rate 0.002795, .warmup 0.33333 and .cooldown 0.53333
(500 and 800 steps), same machine with other work beside it: 16:16, median 12,300 tokens/s, dev BLEU
11.9, test BLEU 11.4: far from converged.
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("baseline", argument)
