"""Sentence pairs that are drawn at random, without repetitions."""

from collections.abc import Callable, Mapping

from headprune.errors import UserError

_FRUITLESS = 1000  # draws in a row without a new sentence, after which there are no more


def check_sizes(sizes: Mapping[str, int]) -> None:
  """Raises a UserError if a split has a negative size."""
  for split, size in sizes.items():
    if size < 0:
      raise UserError(f"sizes: {split} is {size}; a split has 0 or more sentence pairs")


def unique(
  count: int, draw: Callable[[], tuple[str, object] | None], origin: str, used: set[str]
) -> list:
  """Draws items until there are enough.

  Args:
    count: how many.
    draw: gives (source sentence, item), or None where it found no sentence.
    origin: what they are drawn from, for the message that it has no more.
    used: sentences that may not occur; those of the items are added.
  Raises:
    UserError: there are not so many.
  """
  total, items, fruitless = len(used) + count, [], 0
  while len(items) < count:
    if fruitless == _FRUITLESS:
      raise UserError(
        f"sizes: {total} sentence pairs in all, but {origin} has only about {len(used)}; ask for "
        "fewer"
      )
    fruitless += 1
    drawn = draw()
    if drawn is not None and drawn[0] not in used:
      used.add(drawn[0])
      items.append(drawn[1])
      fruitless = 0
  return items
