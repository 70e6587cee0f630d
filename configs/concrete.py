"""Hard Concrete gates and an L0 penalty on a trained baseline: most heads close.

  headprune train --config configs/concrete.py[:PRESET] --workdir runs/concrete

PRESET: cldr, multi30k, marian, words, enru, opus, opus-cpu or base; none is the built-in grammar.
`PRESET,encoder` (or `,encoder`) prunes encoder self-attention alone, with a frozen decoder, as
section 6.2 of the paper does.

If no finished baseline is at `init_from`, it is trained there first, as `pretrain` says.

Without a preset, on two Intel Xeon cores with a little other work; open heads as encoder / decoder
/ cross (l0.coef was chosen on seed 0 of an earlier form of the corpus):
  headprune train --config concrete --workdir runs/concrete
  800 steps in 1:04, 2:47 with the baseline: 19 of 32 heads closed (3 / 3 / 7 left), dev BLEU 96.63
  -> 97.07, test BLEU 96.49 -> 96.14. Syntactic encoder heads 3 of 16 -> 2 of 3, aligning ones of
  cross-attention 8 of 8 -> 6 of 7
  --config.seed=1: 19 closed (4 / 2 / 7 left), dev BLEU 96.50 -> 97.19, test BLEU 97.26 -> 96.15.
  Syntactic encoder heads 4 of 16 -> 3 of 4, aligning ones 8 of 8 -> 7 of 7
  seed 0 again, by a later version, in 1:27: 19 closed (3 / 3 / 7 left), dev BLEU 97.10 -> 96.68,
  test BLEU 96.14 -> 96.61
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
The same on two Intel Xeon cores (AVX-512, no AMX) with nothing else, 92 seconds a run with its
evaluation, the baseline 99 (eleven runs in two parts; the last had other work beside it); seed 0,
baseline 96.14, control 98.43; heads 24, 16, 11, 8, 6:
  l0      98.37, 97.71, 96.45, 95.16, 93.91 (8/8/8, 4/4/8, 3/3/5, 3/2/3, 2/2/2)
  random         97.56, 96.40, 95.01, 93.90        (8/3/5, 7/1/3, 5/1/2, 3/1/2)
l0.ascent, 6 heads of seed 0 (seed 1), in brackets how many were open when the gates settled:
  1: 79.72 [15] (90.98 [12]), on the Xeon cores 91.23; 3: 92.67 [9]; 5: 92.67 [8] (94.73 [7]);
  20: 87.50 [6]; 8 with l0.ramp 0.4, .settled 0.6: 88.58
train.distill 0.5, 6 heads: 92.2, and 92.7 without (one run each; dev loss still falls at the end)

With l0.ascent 1, on two Intel Xeon cores with other work; baseline 96.49, control 98.34:
  heads              24     16     11      8      6
  l0              98.46  97.54  96.19  95.04  91.23   (9/7/8, 5/3/8, 4/3/4, 4/2/2, 3/1/2)
  topk                   97.19         94.41  92.07   (5/3/8, 2/2/4, 1/1/4)
  random          97.9   98.02  96.7   95.51  93.83   (24 and 11 heads in another sweep)
  onepass                96.78                        (its other forks were not run)
What each part of that schedule does, 6 and 8 heads (seed 0, in brackets seed 1; l0.ascent 1):
  gates.init glorot, target falls straight, l0.ramp 0.4, .settled 0.3: 6 heads 64.04, 68.42 (88.13)
  the same, but the target falls by the cube: 76.45; and l0.ramp 0.3, .settled 0.6: 87.92 (93.82)
    straight with 0.3 and 0.6: 0.18, no cross-attention is left; cube with 0.3 and 0.5: 86.22
  gates.init 2, cube, 0.3 and 0.5: 88.81, with optim.gates_factor 30: 84.11; 8 heads 94.92
    0.4 and 0.4: 90.15; 0.5 and 0.5: 92.08 (with the target's start as for glorot), as now: 91.23
  the 6 heads (2/3/1) of the first line closed at once and trained on for 800 steps: 83.07
  onepass with l0.ramp 0.3 and glorot: 8 and 6 heads 92.9 and 86.8, separate runs 94.5 and 86.2

What the heads of the grammar do, seed 0 on the Xeon cores (heads are layer.head). One head of the
baseline closed by hand (analyze --bleu-sentences 300): dev BLEU 96.6 falls by less than 1 for ten
of the 16 encoder heads, by 7.8 and 5.0 for the worst two, of which the former (2.5) looks from
objects to verbs; by 11.2 for decoder head 1.6, by 17.4 for cross-attention's 1.5. After pruning 2.1
looks from an adjective to its noun (98% of the cases, 97 to 99; always looking where that noun
stands most often is right in 74%), 2.5 from an object to its verb (82%, 79 to 85; 32%); the six
aligning heads have an error rate of 5%. By chance no head passes. With 2.1 closed by hand
(tests.long.grammar) 79% of the phrases with an adjective are right in place of 99%, without 2.5 82%
of the objects in place of 98%. Seed 1: 2.7 looks from adjectives to nouns (100%), 2.2 from subjects
to verbs (72%; 49%), 1.6 from objects to verbs (66%; 32%).
Encoder heads and, of these, the syntactic ones, cross-attention heads and, of these, the aligning
ones, of seeds 0, 1, 2 (trend of each point of the first curve above):
  heads of 32          baseline    control     16       8        6
  encoder             16, 16, 16  16, 16, 16  4, 4, 3  2, 4, 3  2, 3, 2
  of these syntactic   4, 4, 2     4, 4, 2    2, 3, 1  1, 3, 1  2, 2, 1
  cross-attention      8, 8, 8     8, 8, 8    8, 7, 8  4, 3, 4  3, 2, 3
  of these aligning    8, 8, 8     8, 8, 8    7, 7, 8  4, 3, 4  3, 2, 3

cldr, on two CPU cores (AMD EPYC): 500 steps in 0:47, 31 of 48 heads closed, dev BLEU
96.78 -> 96.91, test BLEU 97.47 -> 96.90; 2:19 with the baseline.

Numbers of heads below were reached with l0.ascent 1, gates.init glorot, l0.settled 0.3 and a target
that fell straight in the first l0.ramp 0.4 of the steps, where nothing else is said.

The curve of cldr, three seeds on two CPU cores (AMD EPYC), a seed's fourteen runs in 7 minutes;
test BLEU, mean ± standard deviation, in brackets the mean difference to the control of the same
seed, and how many heads of each type l0 keeps (encoder / decoder / cross):
  headprune sweep --config concrete:cldr --workdir runs/cldr --seeds 3 \\
    --heads 75%,50%,33%,25%,16%,8%
  baseline 97.2 ± 0.3, control 99.2 ± 0.1; the wanted number was hit in all 18 runs of l0
  heads  l0                 random               random, untuned  l0 keeps
  36     98.7 ± 0.1 (-0.5)  98.9 ± 0.2 (-0.3)    94.6 ± 1.4       6.3 / 13.7 / 16.0
  24     98.3 ± 0.0 (-0.9)  98.4 ± 0.4 (-0.8)    80.0 ± 7.1       1.0 / 8.3 / 14.7
  16     98.0 ± 0.3 (-1.2)  98.3 ± 0.5 (-0.9)    52.8 ± 21.7      0.0 / 6.0 / 10.0
  12     97.3 ± 0.4 (-1.9)  97.9 ± 0.5 (-1.3)    36.4 ± 16.1      0.0 / 4.0 / 8.0
  8      96.4 ± 0.2 (-2.8)  97.5 ± 0.2 (-1.6)    30.5 ± 14.1      0.0 / 2.7 / 5.3
  4      94.7 ± 1.2 (-4.5)  62.2 ± 53.7 (-37.0)  3.7 ± 3.7        0.0 / 1.3 / 2.7
The structures are in configs/structures/cldr.json.

cldr with --config.gates.kind=topk --config.l0.target_heads=12: 12 of 48 heads open (0 / 4 / 8),
dev BLEU 96.78 -> 96.86, test BLEU 97.47 -> 96.85
  --config.optim.gates_factor=40: (0 / 4 / 8), dev BLEU 97.56, test BLEU 97.41

Source and target contributions of cldr, 18 of 48 heads, none of the encoder's (l0.coef 0.08); the
control is --config.gates.kind=none --config.l0.coef=0. 200 sentences of 8 and 8 tokens from
`headprune corpus --kind cldr --out data/more --test 10000`, of whose 10,000 test pairs 7,944 are in
the training set of these runs; reference prefixes, means over positions 2 to 8 (the source's
entropy: 1 to 8), with bootstrap intervals of 95% over sentences, one run of each:
            source contribution   less the control's,      entropy of      behind random
                                  same sentences           source, target  prefixes
  control   0.671 (0.669, 0.674)                           1.71, 0.90      0.632
  baseline  0.670 (0.667, 0.673)  -0.001 (-0.002, +0.000)  1.68, 0.90      0.635
  pruned    0.648 (0.644, 0.651)  -0.024 (-0.025, -0.022)  0.97, 0.68      0.608
It is so at 7 and 7 tokens (-0.025) and at 10 and 12 (-0.019) too. The source's part falls towards
the end, most at the EOS; the models' own translations (BLEU 97 to 99) give what references do.
Three runs after three kinds of prefix took 3:43 on two busy CPU cores.
The grammar with three encoder heads left: 0.474 -> 0.472, source entropy 1.72 -> 1.55 (notebook 6).

multi30k, English to German, float32, on two Xeon cores (AVX-512, no AMX) with other work; test2016
(lower-cased, 13a) and dev BLEU, dev loss; open heads as encoder / decoder / cross:
  headprune train --config concrete:multi30k --workdir runs/multi30k-concrete
    --config.model.precision=float32
  seed 0: baseline, 5,000 steps in 58:01          16 / 16 / 16  39.77  40.60  1.603
    12 of 48 heads, 3,000 steps in 41:05           1 /  3 /  8  39.55  39.92  1.621
  seed 1: baseline, 5,000 steps in 56:03          16 / 16 / 16  39.58  39.96  1.623
    12 of 48 heads, 3,000 steps in 42:34           1 /  3 /  8  39.69  39.84  1.614
    the control, 3,000 steps in 37:23             16 / 16 / 16  40.79  40.83  1.567
      (--config.gates.kind=none --config.l0.target_heads=)
  seed 2: baseline, 5,000 steps in 1:05:16        16 / 16 / 16  39.59  39.95  1.606
    12 of 48 heads, 3,000 steps in 45:16           1 /  3 /  8  39.85  39.90  1.598
So with seed 1 the pruned model is 1.1 (dev set 1.0) below a control that was trained as it was. The
mean of three seeds, pruned less baseline, is +0.05 (dev set -0.28): -0.22, +0.11, +0.26 (-0.68,
-0.12, -0.05).
Seed 0 with 1,800 steps, optim.warmup 1/6, l0.ramp and l0.settled 0.5, dropout (of embeddings and
residuals) and optim.learning_rate (of which optim.gates_factor makes 0.05 for the gates) as told:
  0.3, 0.002   22:46                               1 /  2 /  9  36.91  37.43  1.795
  0.1, 0.002   25:08                               0 /  4 /  8  38.67  38.43  1.675
  0.1, 0.004   26:05                               0 /  3 /  9  38.73  38.70  1.661
  0.03, 0.004  25:52                               1 /  4 /  7  39.27  39.51  1.619
  0.1, 0.002, the control (gates.kind none), 31:27 16 / 16 / 16  40.51  41.19  1.548
  0.03, 0.004, the control, 26:09                 16 / 16 / 16  40.34  41.12  1.546
So 1,800 steps with dropout 0.03 are 1.1 (dev set 1.6) below their own control, the preset's 3,000
1.0 (1.3) below the control with dropout 0.1 and 0.8 (1.2) below that with 0.03, both of 1,800; one
of 3,000 was not run with seed 0. Dropout and rate were chosen by the dev set. At step 500 13 to 17
heads are open, but of the three runs with less dropout the last three surplus heads close only as
the gates settle. compact of seed 0's preset in float32, nothing beside it: logits differ by at most
6.7e-06 on 100 sentences, translations are the same
                                     dense     masked    compact   gain  arithmetic
    parameters                   2,093,696  2,093,696  1,500,416  1.40x
    FLOPs per source token       1,343,304  1,343,304    690,164  1.95x
    FLOPs per target token       2,913,772  2,913,772  2,312,419  1.26x
    cache bytes, target token        4,096      4,096        768  5.33x
    scoring, tokens/s               35,102     33,580     52,011  1.55x       1.41x
    translation, sentences/s           380        358        692  1.93x       1.33x

What the heads do there (analyze --positional 0.6 --alignments by eflomal, 1,000 dev pairs; heads
are layer.head), before -> after; by chance no head passes:
  seed 0: one piece back 2.4 (73%), 4.1 (77%), one ahead 2.2 (71%) -> 4.1 (74%). 10 of 16
    cross-attention heads align -> 6 of 8: 1.3 with the word just read (error rate 14% -> 16%), the
    others with the word that is being written (26% -> 27%). 4.3 and 3.1 that stay do not align
  seed 1: one piece back 3.2 (76%), 4.3 (70%), decoder head 1.4 at the word just read (70%) -> 4.3
    (71%). 11 of 16 align -> 5 of 8: 1.1 with the word just read (45% -> 33%), the others with the
    word that is being written (25% -> 27%)
  seed 2: one piece back 4.1 (82%), one ahead 2.4 (60%), decoder head 1.2 at the word just read
    (62%) -> 3.4 (70% one piece back; before 46%, and 38% two back). 11 of 16 align -> 5 of 8: 1.1
    with the word just read (14% -> 16%), the others with the word that is being written (21% ->
    29%)
  Rare words: the best encoder head 20%, 23% and 22% -> 7%. One head closed alone costs at most
  0.048, 0.022 and 0.050 nats a token (cross-attention 1.3, 1.1 and 1.1), of the encoder 0.015,
  0.010 and 0.013 (of seed 2 by 3.4, which stays); after pruning 0.017 to 0.092, 0.018 to 0.102 and
  0.013 to 0.098, of which the encoder's 0.092, 0.102 and 0.092
  Kept by all five runs of seed 0: decoder 3.1, cross-attention 1.3, 2.4, 3.1, 4.2, 4.3, 4.4

multi30k by an earlier schedule, which --config.l0.target_heads= --config.l0.coef=0.25
--config.train.distill=0 --config.train.steps=1800 --config.optim.learning_rate=0.002041
--config.optim.gates_factor=25 --config.optim.warmup=0.16667 --config.model.embed_dropout=0.3
--config.model.residual_dropout=0.3 bring back (the mean of 8 checkpoints aside), on two CPU cores
(AMD EPYC, Zen 5) with some other work beside it; baseline 39.6:
  1,800 steps in 11:48: 28 of 48 heads closed (2 / 6 / 12 left), BLEU 39.2; in bfloat16 39.20, in
  float32 39.14. Once 38.4, before the program's rounding changed. compact: 20 of 48 heads stay, 1
  of them with a gate to fold in; logits differ by at most 6.9e-06 on 100 sentences
                                     dense     masked    compact   gain  arithmetic
    parameters                   2,093,696  2,093,696  1,632,256  1.28x
    FLOPs per source token       1,343,304  1,343,304    790,505  1.70x
    FLOPs per target token       2,913,772  2,913,772  2,490,867  1.17x
    cache bytes, source token        4,096      4,096      3,072  1.33x
    cache bytes, target token        4,096      4,096      1,536  2.67x
    scoring, tokens/s               48,677     48,946     62,329  1.27x       1.29x
    translation, sentences/s           615        575        863  1.50x       1.23x
  of 15.9 source and 16.8 target tokens, in bfloat16, beam 4, translations of 17 words; medians of
  6, compilation left out
  --config.l0.coef=0.3, in 10:32: 32 closed (2 / 4 / 10 left), BLEU 38.5
  On two slow Xeon cores with much other work, baseline 39.35 (dev loss 1.627, still falling), its
  control, 1,800 steps without gates (--config.gates.kind=none --config.l0.coef=0): 40.12
  --config.l0.target_heads=25%, as now but with l0.ascent 1: 12 of 48 heads (1 / 5 / 6), BLEU 37.41
  (-2.7)
multi30k,encoder, the earlier schedule on the same machine:
  headprune train --config configs/concrete.py:multi30k,encoder \\
    --workdir runs/multi30k-encoder
  1,800 steps in 9:29: 13 of 16 encoder heads closed, BLEU 39.5. By an earlier analysis 2.4, 4.1 and
  3.3 are left; in the baseline 2.4 and 4.1 are positional (60%), 3.3 is not. 4.1 looks back more
  often than before (79% against 75%), 2.4 less often. On Universal Dependencies EWT, whose text is
  far from image captions, no head of either finds a relation better than its most frequent offset.

multi30k by the earlier schedule, German to English (headprune sweep --config concrete:multi30k
--heads 50%,25% --methods l0 with the languages changed), two Intel Xeon cores with much other work;
test2016 (lower-cased, 13a), baseline 40.73 (5,000 steps in 38:41), one seed:
  control 41.72 (1,800 steps in 13:31); 24 of 48 heads (3 / 6 / 15) 40.89; 12 (1 / 3 / 8) 38.75
  The first 5,000 pairs, tokenizer.vocab_size 2,000, 2,000 + 900 steps: baseline 28.6, control 28.8,
  24 of 48 heads (1 / 8 / 15) 28.1; 51 minutes, 12 for each point
  Heads of the model of all pairs (alignments by eflomal, positional from 60% on): encoder head 3.3
  looks one piece back in 14% of the cases after 250 steps, 46% after 1,000, 67 to 68% from 3,500
  on; decoder head 1.2 looks at the word just read (64%); eight of 16 cross-attention heads align,
  the best with 28% errors; no head looks for rare words (22%). 24 heads leave encoder heads 1.1,
  3.3 (71%) and 4.2, 12 leave 3.3; 1.2 closes; eight cross-attention heads align with 24 too.
  Source contributions, 150 training pairs of 12 and 12 tokens, reference prefixes: control 0.736,
  baseline 0.736, 24 heads 0.741 (+0.005, +0.004 to +0.006), 12 heads 0.735 (-0.001); entropy of the
  source 2.31, 2.31, 2.23, 2.02, of the target 1.27, 1.27, 1.19, 1.08. While the baseline trained:
  0.719 after 250 steps, 0.731 after 1,000, 0.735 at the end (100 pairs)

marian, the earlier schedule, from the baseline exported to Hugging Face's form and imported again
(test2016 38.8), same machine with other work beside it:
  --config.init_from=runs/marian-imported --config.l0.target_heads=16
  1,800 steps in 18:11: 16 of 48 heads open (2 / 5 / 9), BLEU 38.9, dev BLEU 38.6 -> 37.9
  --config.l0.target_heads="enc_self 1 a layer, dec_self 1 a layer, dec_enc 2 a layer"
  1,800 steps in 17:42: 16 of 48 heads open (4 / 4 / 8), BLEU 38.4, dev BLEU 38.6 -> 37.0
Its stations (4 + 4 layers, 4 heads, D 128, post-norm, swish, one tied vocabulary of 6,000):
  trained, 5,000 steps (baseline.py:marian)  16 / 16 / 16  BLEU 38.8  8.4 MB
  exported (convert export --format marian)                           8.4 MB
  imported again (convert marian)            16 / 16 / 16  BLEU 38.8  8.4 MB
  pruned to a third, 1,800 steps              2 /  5 /  9  BLEU 38.9
  compact                                     2 /  5 /  9  BLEU 38.9  6.3 MB
  in CTranslate2, dense                      16 / 16 / 16  BLEU 38.9  9.5 MB
  in CTranslate2, pruned                      4 / 12 / 12  BLEU 38.9  8.1 MB, of which 12 are zeros:
    some layer of the decoder keeps three heads, so all have three; the level one has 7.6 MB

words, the text and the sizes of the original program's Multi30k model (3 + 3 layers, 8 heads, D
256; lower-cased words, 8,000 a side; batches of 2,048 tokens), whose own program fell from 35.0 to
33.1 with 10 of 72 heads. 10 of 72 heads by layer (encoder, decoder, cross), BLEU of lower-cased
tokens on test2016 and the dev set, test chrF and dev loss, by seed, on two Intel Xeon cores
(AVX-512, no AMX) with other work, 16 to 20 + 55 to 59 minutes; runs had the preset's fields:
  0  0/0/1, 2/0/0, 1/1/5  37.03 -> 37.40 (+0.4)  36.54 -> 36.71  59.33 -> 59.84  1.452 -> 1.463
  1  0/0/0, 1/1/0, 0/3/5  37.48 -> 35.92 (-1.6)  37.32 -> 36.87  59.67 -> 58.95  1.444 -> 1.493
  2  0/0/0, 3/0/0, 1/2/4  37.03 -> 35.88 (-1.2)  37.06 -> 35.74  59.54 -> 58.80  1.455 -> 1.512
Means: 37.2 -> 36.4 (-0.8, standard deviation 1.0), dev set -0.5 (0.7). No control was run. The dev
loss was 1.54 to 1.58 after 1,000 steps and 1.48 to 1.54 after 1,500 (all gates are 0 or 1 after
849; of seeds 0 and 1 most have taken their side by step 300: perhaps too soon). In half as many
steps, from the baseline of seed 0 with seed 1 (1,500; optim.warmup 0.12, .cooldown 0.43, l0.ramp
0.566, .settled 0.434): 0/0/0, 3/0/0, 0/2/5, 35.86 (-1.2), dev BLEU 35.12, dev loss 1.535. A mean of
steps 750, 1,000 and 1,200 of the first baseline, in place of 1,050 to 1,200, has 36.16 and 1.482.
  compact, seed 0: 11,674,880 -> 9,637,312 parameters, scoring 1.35, translation 1.55 times as fast
  analyze --positional 0.6 --alignments (eflomal) --conllu (EWT, lower-cased), before -> after:
  seed 0: encoder heads at one position 0 of 24 (best 49%) -> 1 of 1 (3.3, one back, 66%), aligning
  heads 10 of 24 -> 4 of 7 (best error rate 38% -> 36%)
  seed 1: 0 of 24 (best 50%) -> no encoder head, aligning 13 of 24 -> 3 of 8 (best 35% -> 38%)
  no syntactic one, none for rare words, before or after
Tried before, with a checkpoint every 250 steps:
  1,700 steps with l0.ramp 0.5, .settled 0.5, warm-up 0.1, cool-down 0.5, on two AMD Zen 3 cores:
  37.6 -> 36.0 (-1.6), dev loss 1.530 and still falling
  2,700 at 0.001 (0.1, 0.5; optim.gates_factor 25) in bfloat16, without a teacher, with l0.ascent 1,
  ramp 0.4, settled 0.3: 37.1 -> 35.0; the control 36.6: it begins to overfit
The smoothed dev loss of a baseline was 1.493 after 750 steps, 1.31 to 1.32 at the end (the
original's: 1.48 after 1,100 of as many tokens).

enru,encoder from the short baseline in baseline.py, with 200 steps of warm-up and 300 of cool-down:
250 steps of 700, then resumed with 300 steps in all: 23 of 24 encoder heads closed, test BLEU 11.4
-> 10.6
"""

from headprune.runs import defaults


def get_config(argument: str = ""):
  return defaults.config("concrete", argument)
