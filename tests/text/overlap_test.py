"""Dev and test text that is training text."""

from headprune.text import overlap


def test_shares_are_of_different_pairs_with_words():
  held_out = {
    "dev": (["b", "b", "c", "", "d", "a"], ["y", "y", "x", " ", "w", "x"]),  # b y, a x of four
    "test": (["c"], ["z"]),
    "other": (["a"], ["y"]),  # each side alone is there
    "none": ([""], [""]),
  }
  src, tgt = ["a", "b", "", "c", "a"], ["x", "y", " ", "z", "x"]
  assert overlap.shares(held_out, src, tgt) == {"dev": 0.5, "test": 1.0, "other": 0.0, "none": 0.0}
  assert overlap.shares({}, src, tgt) == {}


def test_training_text_is_gone_through_once():
  src, tgt = iter(["a", "b"]), iter(["x", "y"])
  sides = ["b", "a"], ["y", "x"]
  assert overlap.shares({"dev": sides, "test": sides}, src, tgt) == {"dev": 1.0, "test": 1.0}
