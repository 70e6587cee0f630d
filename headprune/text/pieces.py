"""SentencePiece models: what they make of text, and how they are trained."""

from collections.abc import Sequence
import dataclasses
import io

import numpy as np
import sentencepiece

from headprune.errors import UserError
from headprune.text import spans
from headprune.text.special import BOS, EOS, RESERVED, UNK, Reserved, content

_MAX_LINES = 1_000_000  # of text to learn from
_LONGEST = 4192  # bytes of a line to learn from


@dataclasses.dataclass(frozen=True)
class SentencePiece(Reserved):
  """A trained SentencePiece model; text is lower-cased first if `lowercase`."""

  processor: sentencepiece.SentencePieceProcessor
  lowercase: bool = False

  @property
  def vocab_size(self) -> int:
    """Number of ids, the reserved ones included."""
    return self.processor.get_piece_size()

  def encode(self, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line and EOS; all cores work on the batch."""
    texts = [line.lower() if self.lowercase else line for line in lines]
    return self.processor.encode(texts, add_eos=True)

  def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """Text of each sequence up to its first EOS; an unknown piece shows as U+2047."""
    rows = [content(row) for row in ids]
    return self.processor.decode(rows) if rows else []  # [] alone would be taken for one sentence

  def pieces(self, ids: Sequence[int]) -> list[str]:
    """The pieces as they stand in the vocabulary; U+2581 marks the start of a word."""
    return self.processor.id_to_piece(np.asarray(ids, np.int64).tolist())

  def spans(self, line: str) -> list[tuple[int, int]]:
    """Where each piece of `encode([line])[0]`, EOS left out, lies in `line`.

    Args:
      line: the text as it was before lower-casing and normalisation.

    Returns:
      (start, end) in characters for each piece, without the space in front of a word. The span of
      a lone word mark is empty; the pieces of one character (a ligature) share that character.
    """
    if not self.lowercase:
      return spans.of_pieces(self.processor, line)
    text, origin = _lower(line)
    found = spans.of_pieces(self.processor, text)
    return [(origin[a], origin[b - 1] + 1 if a < b else origin[a]) for a, b in found]


def train(
  kind: str, parts: Sequence[Sequence[str]], vocab_size: int, lowercase: bool, name: str
) -> bytes:
  """A model file; the same text gives the same bytes.

  Args:
    kind: "bpe" or "unigram".
    parts: lines of text, one part after the other; those of more than _LONGEST bytes are left out.
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
      max_sentence_length=_LONGEST,
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
    if not reason:  # it found nothing to learn from
      raise UserError(
        f"{name} text: no line to train a tokenizer on: SentencePiece leaves out those without a "
        f"visible character and those of more than {_LONGEST:,} bytes; split these into sentences"
      ) from error
    raise UserError(
      f"config.tokenizer.vocab_size={vocab_size}: no {kind} model of the {name} text"
      f" has this size, change it: {reason}"
    ) from error
  return model.getvalue()


def parse(data: bytes, lowercase: bool) -> SentencePiece:
  """What `train` made; a RuntimeError or ValueError where it cannot be."""
  processor = sentencepiece.SentencePieceProcessor(model_proto=data)
  found = processor.bos_id(), processor.eos_id(), processor.unk_id()
  if found != (BOS, EOS, UNK):
    raise ValueError(f"BOS, EOS and unknown have the ids {found}, not {(BOS, EOS, UNK)}")
  return SentencePiece(processor, lowercase)


def _sample(parts: Sequence[Sequence[str]]) -> list[str]:
  """Evenly spaced lines of all parts one after the other; no random numbers needed."""
  step = -(-sum(map(len, parts)) // _MAX_LINES)
  sample, skip = [], 0
  for lines in parts:
    sample += lines[skip::step]
    skip = (skip - len(lines)) % step
  return sample


def _lower(line: str) -> tuple[str, list[int]]:
  """The lower-cased line, and for each of its characters (and its end) the index in `line`."""
  # "İ" becomes two characters.
  origin = [i for i, char in enumerate(line) for _ in char.lower()]
  return line.lower(), [*origin, len(line)]
