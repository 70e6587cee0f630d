"""A parsed sentence that tests share."""

from headprune.analysis import conllu

# 0 saw -> nsubj 1, obj 4; 4 <- amod 2, amod 3
SENTENCE = conllu.Sentence(
  "saw I big red dogs",
  [(0, 3), (4, 5), (6, 9), (10, 13), (14, 18)],
  [-1, 0, 4, 4, 0],
  ["root", "nsubj", "amod", "amod", "obj"],
)
