"""Tests of headprune.analysis.measured.rare_words: synthetic attention with known answers."""

import types

import numpy as np
import pytest

from headprune.analysis import plug, pointing
from headprune.analysis.measured import rare_words
from headprune.runs import defaults
from headprune.text import special, whitespace
from tests.analysis import subjects

pytestmark = pytest.mark.usefixtures("small_batches")

WORDS = np.array([[True] * 5 + [False] * 2])  # five tokens, EOS, padding


def test_rare_words():
  rank_V = np.arange(10)  # id 9 is the least frequent
  ids = np.array([[3, 9, 4, 8, 2, 1, 1]])
  on_rarest, on_second = subjects.pointing([1] * 7, 7), subjects.pointing([3] * 7, 7)
  both = np.stack([on_rarest, on_second])[None, None]
  hits, cases = rare_words.count(both, ids, WORDS, rank_V, top=5)
  assert cases == [5]
  assert pointing.share(hits, cases).tolist() == [[[[1.0, 0.0]], [[1.0, 1.0]]]]
  assert rare_words.count(both, ids, WORDS, rank_V, top=9)[1] == [5]
  assert rare_words.count(both, ids, WORDS, rank_V, top=10)[1] == [0]


def test_eos_is_skipped_and_every_occurrence_counts():
  ids = np.array([[9, 3, 9, 4, 4, 1, 1]])
  attn = subjects.pointing([5] * 7, 7)  # all on EOS
  attn[:, 2] += 0.05  # the second occurrence of the rarest comes next
  hits, cases = rare_words.count(subjects.one_head(attn), ids, WORDS, np.arange(10), top=0)
  assert hits[0, 0, 0, 0] == cases[0] == 5


def test_ranks_by_frequency_without_eos(monkeypatch):
  monkeypatch.setattr(rare_words, "_CHUNK", 2)
  words, sizes = whitespace.Whitespace((*special.RESERVED, "a", "b", "c")), []

  def encode(lines):
    sizes.append(len(lines))
    return words.encode(lines)

  counted = types.SimpleNamespace(vocab_size=6, eos=words.eos, encode=encode)
  # b three times, c twice, a once; EOS (1) is as rare as what never occurs.
  ranks = rare_words.ranks(["b b c", "", "b c", "a", ""], counted)
  assert ranks.tolist() == [3, 4, 5, 2, 0, 1] and sizes == [2, 2, 1]


SENTENCES = [[3, 7, 4, 1], [5, 3, 3, 6, 1], [3, 4, 1]]
HIGHEST = lambda q, ids: ids.index(max(ids))
LAST_WORD = lambda q, ids: len(ids) - 2


def test_heads_on_rare_words_are_found_and_measured():
  subject = subjects.encoder(SENTENCES, [HIGHEST, LAST_WORD, HIGHEST], [0.5, 1.0, 0.0])
  found = rare_words.measure(subject, np.arange(8), 0.6, top=5, notes=("counted",))
  # Only the first two sentences have a rare word; in the second it is the last one.
  assert found.numbers == {"rare_word_cases": 3 + 4} and found.notes == ("counted",)
  rarest, either = found.scores
  assert rarest.values == {"enc_self": [[1.0, 4 / 7, 1.0]]} and rarest.key == "rarest"
  assert either.values == {"enc_self": [[1.0, 1.0, 1.0]]} and either.key == "one-of-two-rarest"
  (function,) = found.functions
  assert (function.kind, function.heads, function.strength) == ("rare words", ((0, 0),), 1.0)
  nothing = rare_words.measure(subject, np.arange(8), 0.0, top=8)
  assert nothing.functions == nothing.scores == () and nothing.notes == (
    "No sentence has a word behind rank 8 (--rare-top): none is rare.",
  )
  (weaker,) = rare_words.measure(subject, np.arange(8), 4 / 7, top=5).functions
  assert weaker.heads == ((0, 0), (0, 1))


def test_words_are_counted_in_a_file_or_else_in_the_text(tmp_path):
  (tmp_path / "words").write_text("b b\nb a\n")
  subject = subjects.encoder([[3, 4, 1]], [HIGHEST], [1.0], words=("a", "b"))
  options = types.SimpleNamespace(frequencies=str(tmp_path / "words"), rare=0.5, rare_top=0)
  plan = rare_words.prepare(subject, options)
  assert plan.settings == {
    "rare": 0.5, "rare_top": 0, "frequencies": plug.checksum(["b b", "b a"]),
  }  # fmt: skip
  assert plan.measure(subject).scores[0].values == {"enc_self": [[0.0]]}  # a is the rarest, not b
  subject.run.config = defaults.base()
  subject.run.config.data.kind = "text"  # whose files nobody has named
  subject.lines[:] = ["a a b"]
  plan = rare_words.prepare(subject, types.SimpleNamespace(frequencies=None, rare=0.5, rare_top=0))
  assert plan.settings == {
    "rare": 0.5, "rare_top": 0, "frequencies": plug.checksum(["a a b"]),
  }  # fmt: skip
  found = plan.measure(subject)
  assert found.scores[0].values == {"enc_self": [[1.0]]}
  assert found.notes[0].startswith("Words are counted in the analysed text itself (config.data")


def test_counts_in_other_training_text_do_not_compare(tmp_path):
  for name, text in (("one", "b b\nb a\n"), ("other", "a a\nb a\n")):
    (tmp_path / name).write_text(text)

  def settings(train, frequencies=None):
    subject = subjects.encoder([[3, 4, 1]], [HIGHEST], [1.0], words=("a", "b"))
    config = subject.run.config = defaults.base()
    config.data.kind = "text"
    config.data.text.train_src = config.data.text.train_tgt = str(tmp_path / train)
    options = types.SimpleNamespace(frequencies=frequencies, rare=0.5, rare_top=0)
    return rare_words.prepare(subject, options).settings

  assert settings("one") != settings("other")
  assert settings("other", str(tmp_path / "one")) == settings("one"), "the same text"
