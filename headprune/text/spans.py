"""Where the pieces of a SentencePiece model lie in a text."""

import sentencepiece

SPACE = "\u2581"  # SentencePiece's visible space, at the start of each word


def of_pieces(processor: sentencepiece.SentencePieceProcessor, text: str) -> list[tuple[int, int]]:
  """(start, end) in characters of each piece of a text, without the space in front of a word.

  The span of a lone word mark is empty; the pieces of one character (a ligature) share it.
  """
  # The pieces, joined, are the normalised text; its k-th character comes from text[starts[k]:].
  _, starts = processor.normalize(text, with_offsets=True)
  ends = list(starts)
  for k in reversed(range(len(starts) - 1)):
    ends[k] = starts[k + 1] if starts[k + 1] > starts[k] else ends[k + 1]
  spans, end = [], 0
  for piece in processor.encode(text, out_type=str):
    begin, end = end + len(piece) - len(piece.lstrip(SPACE)), end + len(piece)
    spans.append((starts[begin], ends[end - 1] if begin < end else starts[begin]))
  return spans
