"""Gates that stay as they are: given by hand, or taken from another run's heads.json.

  headprune train --config configs/fixed.py[:PRESET] --workdir runs/fixed

PRESET: cldr, multi30k, marian, words, enru, opus, opus-cpu or base; none is the built-in grammar.
By default parameters and gates are those of `runs/concrete` (`runs/PRESET-concrete`): the pruned
structure is trained on without noise.
`PRESET,scratch` (or `,scratch`) trains the structure from new parameters, like a baseline.

multi30k by the earlier schedule of configs/concrete.py (here 600 steps, dropout 0.3), with the 3 of
16 encoder heads of multi30k,encoder (BLEU 39.5), on two CPU cores (AMD
EPYC, Zen 5) with other work beside it; test2016, lower-cased, 13a:
  headprune train --config configs/fixed.py:multi30k --workdir runs/multi30k-fixed \\
    --config.gates.fixed_from=runs/multi30k-encoder --config.init_from=runs/multi30k-encoder \\
    --config.optim.learning_rate=0.0035355 --config.optim.warmup=0.16667
  600 steps in 4:26: BLEU 39.5
  headprune train --config configs/fixed.py:multi30k,scratch \\
    --config.gates.fixed_from=runs/multi30k-encoder --workdir runs/multi30k-scratch
  5,000 steps in 28:27: BLEU 39.1

configs/structures/ has the open heads of runs that concrete.py records: cldr.json of its curve of
cldr, grammar.json of the default sweep on two Xeon cores, multi30k.json of its 12 of 48 heads,
multi30k-words.json of 10 of 72 in the original's sizes (words-seed0, ... are those of its table).
  headprune train --config configs/fixed.py:cldr,scratch --workdir runs/structure \\
    --config.gates.fixed_from=configs/structures/cldr.json#l0-25pct-seed0
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("fixed", argument)
