"""Drawing without repetitions."""

import itertools

import pytest

from headprune.errors import UserError
from headprune.text import draws


def test_items_differ_from_each_other_and_from_those_before():
  stream = iter([("b", 1), ("a", 2), None, ("c", 3), ("b", 4), ("d", 5)])
  used = {"a"}
  assert draws.unique(3, lambda: next(stream), "here", used) == [1, 3, 5]
  assert used == {"a", "b", "c", "d"}


def test_where_there_are_too_few():
  numbers = itertools.cycle(range(7))
  draw = lambda: (str(next(numbers)), None)
  with pytest.raises(UserError, match="sizes: 8 sentence pairs in all, but here has only about 7"):
    draws.unique(8, draw, "here", set())


def test_a_negative_size_is_named():
  draws.check_sizes({"train": 0})
  with pytest.raises(UserError, match="dev is -1; a split has 0 or more"):
    draws.check_sizes({"train": 5, "dev": -1})
