"""Vocabularies of words: their order and size, and lists of tokens that are none.

What all tokenizers have in common is in tokenizer_test.
"""

import pytest

from headprune.errors import UserError
from headprune.text import whitespace
from headprune.text.special import RESERVED


def test_the_order_is_frequency_then_word_descending():
  lines = ["b a  c ", "a b d", "_EOS_ é a"]
  tokens = whitespace.train(lines, 0, lowercase=False)
  assert tokens == [*RESERVED, "a", "b", "é", "d", "c"]
  data = whitespace.to_bytes(tokens, "source")
  assert data.decode("utf-8") == "\n".join(tokens) + "\n"
  side = whitespace.parse(data, lowercase=False)
  assert side.encode(lines) == [[4, 3, 7, 1], [3, 4, 6, 1], [2, 5, 3, 1]]
  assert side.decode([[4, 2, 3, 1, 3]]) == ["b _UNK_ a"]
  assert side.spans(" b a  \té") == [(1, 2), (3, 4), (6, 8)]


def test_a_size_keeps_the_most_frequent():
  tokens = whitespace.train(["c c C b b a"], 5, lowercase=True)
  assert tokens == [*RESERVED, "c", "b"]
  assert whitespace.Whitespace(tuple(tokens)).encode(["a b c"]) == [[2, 4, 3, 1]]


@pytest.mark.parametrize(
  ("tokens", "message"),
  [
    (RESERVED[:2], "2 tokens, but it must start with _BOS_ _EOS_ _UNK_"),
    (["_BOS_", "_UNK_", "_EOS_", "a"], "line 2: must be _EOS_, not '_UNK_'"),
    ([*RESERVED, "a", "b", "a"], "line 6: 'a' is in line 4 already"),
    ([*RESERVED, "a", "_EOS_"], "line 5: '_EOS_' is in line 2 already"),
    ([*RESERVED, "a", ""], "line 5: '' is empty"),
    ([*RESERVED, "a\nb"], "line 4: .* has a line break"),
  ],
)
def test_token_lists_that_are_no_vocabulary(tokens, message):
  with pytest.raises(UserError, match=f"target vocabulary.*{message}"):
    whitespace.to_bytes(tokens, "target")


def test_a_file_that_is_no_vocabulary():
  with pytest.raises(ValueError, match="its first lines are not _BOS_ _EOS_ _UNK_"):
    whitespace.parse(b"_BOS_\n_EOS_\nhello\n", lowercase=False)
