"""A translation model without gates, trained to convergence: where pruning starts.

headprune train --config configs/baseline.py[:PRESET] --workdir runs/baseline

PRESET: cldr, multi30k, marian, words, enru, opus, opus-cpu or base; none is the built-in grammar.

cldr, on two CPU cores (AMD EPYC): 500 steps in 0:51, median 39,272 tokens/s, dev BLEU
96.78, test BLEU 97.47.

Without a preset, on two Intel Xeon cores with a little other work: 800 steps in 1:17, dev BLEU
96.63, test BLEU 96.49; with --config.seed=1 96.50 and 97.26.
On two AMD Zen 3 cores with other work: 2:29, dev BLEU 96.68, test BLEU 96.32. In other sizes, dev
and test BLEU (peak rate by D^-0.5: --config.optim.learning_rate):
  D 32, F 64, 0.025: 77.44, 75.58; D 64, F 128, 0.0177: 93.08, 93.18
  --config.model.layers=1: 96.79, 95.59; =4: 95.84, 95.21
Heads with a function there, one seed (trend --workdir runs/size-* --checkpoints 800):
  D, encoder layers                               32, 2    64, 2   128, 2   128, 1   128, 4
  dev BLEU                                         77.4     93.1     96.7     96.8     95.8
  syntactic encoder heads                       1 of 16  2 of 16  4 of 16   2 of 8  5 of 32
  the strongest, above looking at one distance      +12      +31      +47      +26      +40
  the strongest at one position                     35%      42%      51%      51%      40%
  aligning heads of cross-attention              8 of 8   8 of 8   8 of 8   8 of 8   8 of 8
When they get it without a preset (a checkpoint every 50 steps, BLEU 31.7 at step 200): two
cross-attention heads align at step 150 and seven of eight at 250; the first syntactic head is there
at 200, three or four from 400 on; none was ever positional. Of configs/concrete.py, which prunes
it, three of the four encoder heads that are open at step 250 are syntactic. trend takes a second of
processor time a checkpoint, 11 the first one with compilation.

multi30k, on two CPU cores (AMD EPYC, Zen 5):
  headprune train --config configs/baseline.py:multi30k --workdir runs/multi30k-baseline
  5,000 steps in 26:27 of training, median 24,800 source + target tokens/s
  dev BLEU 39.9, test2016 BLEU 39.6 (nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0)
  With eval.average 8, the mean of the last 8 checkpoints; smoothed dev loss 1.548. On Xeon cores
  with AMX that other work was using too: 39.5 in 45:00; on slower ones with much other work 39.35
  in 1:25:50. In bfloat16 39.63, in float32 39.65. Once 39.1, before the program's rounding changed.
  In float32 on two Xeon cores (AVX-512, no AMX) with much other work, 58:01: a mean of the last 1,
  2, 4, 8 checkpoints (250 steps apart) has test2016 39.77, 39.81, 39.64, 39.25, dev BLEU 40.60,
  40.47, 40.60, 40.20, of 8 that lie 25 apart 39.70 and 40.62 (dev loss 1.603, 1.604, the 8 far
  apart 1.628): the rate has fallen to 0, so the last one is the preset's now. Of lower-cased Moses
  tokens, as 41.0 is published for this size, BLEU is 39.77 too. Dev loss was still falling.
  By an earlier analysis three of 16 encoder heads are positional at 60%: 2.4 and 4.1 look one piece
  back, 2.2 one ahead. `headprune analyze`, for 1,000 sentence pairs, 1,000 parsed sentences and
  relevance on 200 sentences, took 1:08 (0:47 without relevance), without what README calls "idle"
  and "how sure".

marian, same machine with much other work beside it:
  5,000 steps in 1:21:05, dev BLEU 38.6, test2016 BLEU 38.8 (lower-cased, 13a), smoothed
  dev loss 1.601

enru with train.steps 1,500, optim.learning_rate 0.002795, .warmup 0.33333 and .cooldown 0.53333
(500 and 800 steps), same machine with other work beside it: 16:16, median 12,300 tokens/s, dev BLEU
11.9, test BLEU 11.4: far from converged. On 110,000 pairs of subtitles, news and manuals; no head
has a function: the best looks one piece back in 24% of the cases and finds 28% of the subjects
(baseline 34%). After 500 steps on 5,000 pairs BLEU 3.1.

Minimum risk training of the baseline of cldr (another run of it: dev BLEU 96.49, test
BLEU 96.84, dev loss 0.1012), once, on two Intel Xeon cores with much other work (load 10 to 13):
  headprune train --config configs/baseline.py:cldr --workdir runs/mrt
    --config.init_from=runs/cldr-baseline --config.train.loss=mrt --config.train.steps=50
    --config.optim.learning_rate=5e-5 --config.optim.warmup=0.1 --config.optim.cooldown=0
    --config.train.log_every=5 --config.train.translate_first
  dev BLEU 96.39, test BLEU 96.80, dev loss 0.0956: BLEU holds, within what 300 sentences can tell.
  The mean risk was 0.450 in steps 1 to 25 and 0.434 in 26 to 50, of other sentences at each step.
  50 steps in 16:57, 20 s each. In two steps measured apart, of 385 and 355 distinct candidates, a
  step took 4.2 s of processor time: 1.5 s to sample, 0.03 s for BLEU, 2.7 s to train.
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("baseline", argument)
