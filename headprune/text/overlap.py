"""How much of the text that a model is to be measured on is text that it is trained on."""

from collections.abc import Iterable, Mapping


def shares(
  held_out: Mapping[str, tuple[Iterable[str], Iterable[str]]],
  src_lines: Iterable[str],
  tgt_lines: Iterable[str],
) -> dict[str, float]:
  """The share of each split's pairs that are in the training text, word by word on both sides.

  Args:
    held_out: split -> (source lines, target lines).
    src_lines: of the training text, which may be large: it is gone through once.
    tgt_lines: as many.
  Returns:
    split -> share of its different pairs, those with an empty side left out.
  """
  wanted = {
    split: {pair for pair in zip(*sides) if all(map(str.strip, pair))}
    for split, sides in held_out.items()
  }
  every = set().union(*wanted.values())
  found = every.intersection(zip(src_lines, tgt_lines))
  return {split: len(pairs & found) / max(len(pairs), 1) for split, pairs in wanted.items()}
