"""Training of SentencePiece models, and the ids that all vocabularies made here begin with."""

from collections.abc import Sequence
import io

import sentencepiece

from headprune.errors import UserError

BOS, EOS, UNK = 0, 1, 2
RESERVED = ("_BOS_", "_EOS_", "_UNK_")

_MAX_LINES = 1_000_000  # of text to learn from


def train(
  kind: str, parts: Sequence[Sequence[str]], vocab_size: int, lowercase: bool, name: str
) -> bytes:
  """A model file; the same text gives the same bytes.

  Args:
    kind: "bpe" or "unigram".
    parts: lines of text, one part after the other.
    vocab_size: number of ids at most, the reserved ones included.
    lowercase: lower-case the text first.
    name: of the text in messages.
  Raises:
    UserError: the text allows no model of this size.
  """
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=(line.lower() if lowercase else line for line in _sample(parts)),
      model_writer=model,
      model_type=kind,
      vocab_size=vocab_size,
      hard_vocab_limit=False,
      # All characters of a small text (< 100,000 characters), but not the thousands of stray
      # ones in a large crawl, each of which would take an id.
      character_coverage=0.99999,
      # One form for the many kinds of spaces, hyphens, ligatures and composed accents, so that
      # what users type meets what was trained. The price: a target's "…" comes out as "...".
      normalization_rule_name="nmt_nfkc",
      bos_id=BOS,
      eos_id=EOS,
      unk_id=UNK,
      pad_id=-1,
      bos_piece=RESERVED[BOS],
      eos_piece=RESERVED[EOS],
      unk_piece=RESERVED[UNK],
      num_threads=4,  # fixed, as the sums of the unigram model depend on it
      minloglevel=2,
    )
  except RuntimeError as error:
    # Without the source location in front and the advice about options that have no field here.
    reason = str(error).rpartition("] ")[2].partition(". Increase")[0]
    raise UserError(
      f"config.tokenizer.vocab_size={vocab_size}: no {kind} model of the {name} text"
      f" has this size, change it: {reason}"
    ) from error
  return model.getvalue()


def _sample(parts: Sequence[Sequence[str]]) -> list[str]:
  """Evenly spaced lines of all parts one after the other; no random numbers needed."""
  step = -(-sum(map(len, parts)) // _MAX_LINES)
  sample, skip = [], 0
  for lines in parts:
    sample += lines[skip::step]
    skip = (skip - len(lines)) % step
  return sample
