"""Where the pieces of a SentencePiece model lie in a text."""

import sentencepiece

SPACE = "\u2581"  # SentencePiece's visible space, at the start of each word


def of_pieces(processor: sentencepiece.SentencePieceProcessor, text: str) -> list[tuple[int, int]]:
  """(start, end) in characters of each piece of a text, without the space in front of a word.

  The span of a lone word mark is empty; the pieces of one character (a ligature, bytes) share it.
  """
  # The pieces, joined, are the normalised text; its k-th character comes from text[starts[k]:].
  normal, starts = processor.normalize(text, with_offsets=True)
  ends = list(starts)
  for k in reversed(range(len(starts) - 1)):
    ends[k] = starts[k + 1] if starts[k + 1] > starts[k] else ends[k + 1]
  # Counted in bytes: of a character that it lacks, a model may have a piece for each byte (<0xC3>).
  place = [*(k for k, char in enumerate(normal) for _ in char.encode()), len(normal)]
  spans, end = [], 0
  for piece in processor.encode(text, out_type=str):
    marks = piece[: len(piece) - len(piece.lstrip(SPACE))]
    size = 1 if processor.is_byte(processor.piece_to_id(piece)) else len(piece.encode())
    begin, end = end + len(marks.encode()), end + size
    first = starts[place[begin]]
    spans.append((first, ends[place[end - 1]] if begin < end else first))
  return spans
