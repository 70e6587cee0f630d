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
  seed 0 on two AMD Zen 3 cores with other work, in 2:40: 20 closed (3 / 3 / 6 left), dev BLEU
  96.68 -> 96.44, test BLEU 96.32 -> 97.05

The curve, two CPU cores (AMD EPYC, Zen 3) with other work, some 150 seconds a run; test BLEU of
seeds 0, 1, 2, in brackets the open heads of each type:
  headprune sweep --config concrete --heads 16,8,6 --seeds 3 --workdir runs/curve
  baseline 96.32, 96.49, 96.40; control 98.57, 98.59, 98.00
  l0 16      97.33 (4/4/8), 97.72 (4/5/7), 97.75 (3/5/8)
  l0 8       95.81 (2/2/4), 96.45 (4/1/3), 93.87 (3/1/4)
  l0 6       92.67 (2/1/3), 94.73 (3/1/2), 89.76 (2/1/3)
  random 16  97.94 (8/3/5), 96.62 (8/3/5), 97.37 (7/5/4)
  random 8   95.43 (5/1/2), 92.69 (5/1/2), 94.41 (2/3/3)
  random 6   93.59 (3/1/2), 92.14 (3/1/2), 92.57 (1/3/2)
l0.ascent, 6 heads of seed 0 (seed 1), in brackets how many were open when the gates settled:
  1: 79.72 [15] (90.98 [12]), on the Xeon cores 91.23; 3: 92.67 [9]; 5: 92.67 [8] (94.73 [7]);
  20: 87.50 [6]; 8 with l0.ramp 0.4, .settled 0.6: 88.58

With l0.ascent 1, on two Intel Xeon cores with other work; baseline 96.49, control 98.34:
  heads              24     16     11      8      6
  l0              98.46  97.54  96.19  95.04  91.23   (9/7/8, 5/3/8, 4/3/4, 4/2/2, 3/1/2)
  topk                   97.19         94.41  92.07   (5/3/8, 2/2/4, 1/1/4)
  random          97.9   98.02  96.7   95.51  93.83   (24 and 11 heads in another sweep)
  onepass                96.78                        (its other forks were not run)
What each part of that schedule does, 6 and 8 heads (seed 0, in brackets seed 1):
  gates.init glorot, target falls straight, l0.ramp 0.4, .settled 0.3: 6 heads 64.04, 68.42 (88.13)
  the same, but the target falls by the cube: 76.45; and l0.ramp 0.3, .settled 0.6: 87.92 (93.82)
    straight with 0.3 and 0.6: 0.18, no cross-attention is left; cube with 0.3 and 0.5: 86.22
  gates.init 2, cube, 0.3 and 0.5: 88.81, with optim.gates_factor 30: 84.11; 8 heads 94.92
    0.4 and 0.4: 90.15; 0.5 and 0.5: 92.08 (with the target's start as for glorot), as now: 91.23
  the 6 heads (2/3/1) of the first line closed at once and trained on for 800 steps: 83.07

cldr, on two CPU cores (AMD EPYC): 500 steps in 0:47, 31 of 48 heads closed, dev BLEU
96.78 -> 96.91, test BLEU 97.47 -> 96.90; 2:19 with the baseline.

Numbers of heads below were reached with l0.ascent 1, gates.init glorot, l0.settled 0.3 and a target
that fell straight in the first l0.ramp 0.4 of the steps, where nothing else is said.

cldr with --config.gates.kind=topk --config.l0.target_heads=12: 12 of 48 heads open (0 / 4 / 8),
dev BLEU 96.78 -> 96.86, test BLEU 97.47 -> 96.85
  --config.optim.gates_factor=40: (0 / 4 / 8), dev BLEU 97.56, test BLEU 97.41

multi30k, on two CPU cores (AMD EPYC, Zen 5) with some other work beside it; test2016 (lower-cased,
13a), baseline 39.6; open heads as encoder / decoder / cross:
  python -m headprune.main --config configs/concrete.py:multi30k --workdir runs/multi30k-concrete
  1,800 steps in 11:48: 28 of 48 heads closed (2 / 6 / 12 left), BLEU 39.2
  --config.l0.coef=0.3, in 10:32: 32 closed (2 / 4 / 10 left), BLEU 38.5
  On two slow Xeon cores with much other work, baseline 39.35 (dev loss 1.627, still falling), its
  control, 1,800 steps without gates (--config.gates.kind=none --config.l0.coef=0): 40.12
  --config.l0.target_heads=25%, as now but with l0.ascent 1: 12 of 48 heads (1 / 5 / 6), BLEU 37.41
  (-2.7)
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
The baseline again in float32, twice, 38:43 and 37:50 on two AMD Zen 3 cores with other work: 37.2
and 37.6. The smoothed dev loss is 1.493 after 750 steps, 1.388 after 900 and 1.312 and 1.319 at the
end (the original's after 1,100 of as many tokens: 1.48).
From the second one in float32, pruned with l0.ascent 5, train.distill 0.5 and the baseline's rate:
1,700 steps at 0.002 (0.1, 0.5; optim.gates_factor 12.5) in 1:04:11, much other work beside it:
  10 of 72 heads (0/0/0, 2/0/0 and 2/2/4 in layers 1/2/3) 36.0 (-1.6), chrF 59.6 -> 59.0; dev loss
  1.450 -> 1.530, still falling: it was 1.615 when the gates settled, after 850 steps

enru,encoder from the short baseline in baseline.py, with 200 steps of warm-up and 300 of cool-down:
250 steps of 700, then resumed with 300 steps in all: 23 of 24 encoder heads closed, test BLEU 11.4
-> 10.6
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("concrete", argument)
