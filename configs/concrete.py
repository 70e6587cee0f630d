"""Hard Concrete gates and an L0 penalty on a trained baseline: most heads close.

  python -m headprune.main --config configs/concrete.py[:PRESET] --workdir runs/concrete

PRESET: cldr, multi30k, marian, enru, opus, opus-cpu or base; none is the built-in grammar.
`PRESET,encoder` (or `,encoder`)
prunes encoder self-attention alone, with a frozen decoder, as section 6.2 of the paper does.

If no finished baseline is at `init_from`, it is trained there first, as `pretrain` says.

Without a preset, on two Intel Xeon cores with a little other work; open heads as encoder / decoder
/ cross (l0.coef was chosen on seed 0 of an earlier form of the corpus):
  headprune train --config concrete --workdir runs/concrete
  800 steps in 1:04, 2:47 with the baseline: 19 of 32 heads closed (3 / 3 / 7 left), dev BLEU 96.63
  -> 97.07, test BLEU 96.49 -> 96.14. Syntactic encoder heads 3 of 16 -> 2 of 3, aligning ones of
  cross-attention 8 of 8 -> 6 of 7
  --config.seed=1: 19 closed (4 / 2 / 7 left), dev BLEU 96.50 -> 97.19, test BLEU 97.26 -> 96.15.
  Syntactic encoder heads 4 of 16 -> 3 of 4, aligning ones 8 of 8 -> 7 of 7

The curve (headprune sweep --config concrete --methods l0, and --config.seed=1), same machine with
other work: 75 s a run; test BLEU of baseline and control 96.49 and 98.34, 97.26 and 98.98
  heads             24     16     11      8      6      3
  seed 0         98.71  96.89  96.07  94.97  64.04  32.54
  seed 1         97.45  97.10  96.11  95.88  88.13   0.40
  of these 16 (enc / dec / cross): 5/3/8, 4/4/8; 8: 3/3/2, 4/2/2; 6: 2/3/1, 4/1/1; 3: 0/2/1, 3/0/0

cldr, on two CPU cores (AMD EPYC): 500 steps in 0:47, 31 of 48 heads closed, dev BLEU
96.78 -> 96.91, test BLEU 97.47 -> 96.90; 2:19 with the baseline.

cldr with --config.gates.kind=topk --config.l0.target_heads=12: 12 of 48 heads open (0 / 4 / 8),
dev BLEU 96.78 -> 96.86, test BLEU 97.47 -> 96.85
  --config.optim.gates_factor=40: (0 / 4 / 8), dev BLEU 97.56, test BLEU 97.41

multi30k, on two CPU cores (AMD EPYC, Zen 5) with some other work beside it; test2016 (lower-cased,
13a), baseline 39.6; open heads as encoder / decoder / cross:
  python -m headprune.main --config configs/concrete.py:multi30k --workdir runs/multi30k-concrete
  1,800 steps in 11:48: 28 of 48 heads closed (2 / 6 / 12 left), BLEU 39.2
  --config.l0.coef=0.3, in 10:32: 32 closed (2 / 4 / 10 left), BLEU 38.5
multi30k,encoder, same machine:
  python -m headprune.main --config configs/concrete.py:multi30k,encoder \\
    --workdir runs/multi30k-encoder
  1,800 steps in 9:29: 13 of 16 encoder heads closed, BLEU 39.5

multi30k, German to English (headprune sweep --config concrete:multi30k --heads 50%,25% --methods l0
with the languages changed), two Intel Xeon cores with much other work; test2016 (lower-cased, 13a),
baseline 40.73 (5,000 steps in 38:41), one seed:
  control 41.72 (1,800 steps in 13:31); 24 of 48 heads (3 / 6 / 15) 40.89; 12 (1 / 3 / 8) 38.75

marian, from the baseline exported to Hugging Face's form and imported again (test2016 38.8), same
machine with other work beside it:
  --config.init_from=runs/marian-imported --config.l0.target_heads=16
  1,800 steps in 18:11: 16 of 48 heads open (2 / 5 / 9), BLEU 38.9, dev BLEU 38.6 -> 37.9
  --config.l0.target_heads="enc_self 1 a layer, dec_self 1 a layer, dec_enc 2 a layer"
  1,800 steps in 17:42: 16 of 48 heads open (4 / 4 / 8), BLEU 38.4

The sizes and text of the original program's Multi30k model (3 + 3 layers, 8 heads, D 256;
lower-cased words, 8,000 a side; batches of 2,048 tokens), as a sweep on the preset enru with
tokenizer.kind whitespace, model.embed_dropout and .residual_dropout 0.1, eval.tokenize none,
eval.average 4, one seed; other work beside it. Baseline 1,200 steps at 0.002 (optim.warmup 0.4,
.cooldown 0.4), pruning and control 2,700 at 0.001 (0.1, 0.5; optim.gates_factor 25). BLEU of
lower-cased tokens, test2016:
  baseline 37.1; control 36.6 (it begins to overfit); 10 of 72 heads (0 / 5 / 5) 35.0, in 13:30

enru,encoder from the short baseline in baseline.py, with 200 steps of warm-up and 300 of cool-down:
250 steps of 700, then resumed with 300 steps in all: 23 of 24 encoder heads closed, test BLEU 11.4
-> 10.6
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("concrete", argument)
