"""A result as analyses would make it, for what reads results."""

from headprune.analysis.result import (
  SHARE,
  Column,
  Correlation,
  Function,
  Kind,
  Result,
  Score,
  Table,
)

GATES = {"enc_self": [[1.0, 0.0], [0.5]], "dec_self": [[], [1.0]], "dec_enc": [[1.0], [1.0]]}
CLOSED = {"enc_self": [[0.0, 0.0], [0.0]], "dec_self": [[], [0.0]], "dec_enc": [[0.0], [0.0]]}
RESULT = Result(
  run="a<b",
  settings={"sentences": 1000, "positional": 0.9, "relations": "obj,amod"},
  sentences=1000,
  heads=GATES,
  scores=(
    Score(
      "confidence",
      "confidence",
      "mean of <something>",
      {
        "enc_self": [[0.25, 0.125], [0.75]],
        "dec_self": [[], [0.5]],
        "dec_enc": [[1.0], [0.0]],
      },
    ),
    Score("errors", "alignment error", "less is better", {"dec_enc": [[0.375], [0.625]]}),
    Score("rarest", "rarest", "", {"enc_self": [[0.1, 0.9], [0.6]]}, SHARE, 1.0),
    Score("far", "position -2", "", {"enc_self": [[0.4, 0.3], [0.2]]}, SHARE, 1.0, drawn=False),
  ),
  kinds=(
    Kind("positional", "enc_self", "at least 90% at one position"),
    Kind("syntactic", "enc_self", "at least 10 points above"),
    Kind("rare words", "enc_self", "at least 50%"),
    Kind("aligning", "dec_enc", "an error rate of at most 40%"),
  ),
  functions=(
    Function("positional", "position -1", "enc_self", ((0, 0),), "share", 0.95),
    Function("syntactic", "obj head→dep", "enc_self", ((1, 0),), "accuracy", 0.7, 0.41),
    Function("rare words", "rare words", "enc_self", ((1, 0),), "share", 0.6),
    Function("aligning", "word alignment", "dec_enc", ((0, 0),), "error rate", 0.375),
  ),
  tables=(
    Table(
      "Relations",
      "best <open> heads",
      (
        Column("relation", "text"),
        Column("cases"),
        Column("best", "percent"),
        Column("difference", "points"),
        Column("offset", "offset"),
        Column("head", "head"),
        Column("others", "heads"),
        Column("score"),
      ),
      (
        ("obj", 100, 0.7, 0.29, 2, (1, 0), ((0, 0), (0, 9)), 0.5),
        ("amod", 7, 0.1, -0.2, -1, (0, 9), (), None),
      ),
    ),
  ),
  numbers={"loss": 1.5},
  notes=("-log p is 1.5000 per target token.",),
  correlations=(Correlation("enc_self", ("confidence", "errors"), ((1.0, -0.5), (-0.5, 1.0))),),
)
