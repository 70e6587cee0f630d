"""BLEU's numbers, settings and signature; tokenizers that it knows."""

from ml_collections import ConfigDict
import pytest

from headprune.errors import UserError
from headprune.text import bleu


@pytest.fixture
def config():
  return ConfigDict({"tokenize": "13a", "lowercase": False})


def test_bleu_has_its_signature(config):
  lines = ["Das ist ein kleines Haus .", "Guten Morgen allerseits , Leute !"]
  score, signature = bleu.score(lines, lines, config)
  assert score == pytest.approx(100.0)
  assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
  lower = [line.lower() for line in lines]
  assert bleu.score(lower, lines, config)[0] < 90
  config.lowercase, config.tokenize = True, "none"
  score, signature = bleu.score(lower, lines, config)
  assert score == pytest.approx(100.0) and "case:lc" in signature and "tok:none" in signature


def test_hypotheses_are_not_references(config):
  # One of four 1-grams, none of the longer ones: sacreBLEU's exponential smoothing.
  score, _ = bleu.score(["a x y z"], ["a b c d"], config)
  assert score == pytest.approx(100 * (1 / 4 * 1 / 6 * 1 / 8 * 1 / 8) ** 0.25)
  # All of five words, of a reference of ten: the brevity penalty alone.
  score, _ = bleu.score(["a b c d e"], ["a b c d e f g h i j"], config)
  assert score == pytest.approx(100 * 2.718281828 ** (1 - 10 / 5))


def test_text_that_is_split_already_is_no_reason_to_complain(config, caplog):
  bleu.score(["a b ."] * 200, ["a b ."] * 200, config)
  assert not caplog.records


def test_tokenizers_are_checked(config):
  bleu.check(config)
  config.tokenize = "14a"
  with pytest.raises(UserError, match="config.eval.tokenize='14a': choose one of .*13a"):
    bleu.check(config)
  config.tokenize = "ja-mecab"  # needs a package that is no requirement of ours
  with pytest.raises(UserError, match="config.eval.tokenize='ja-mecab': .*install") as caught:
    bleu.check(config)
  assert "\n" not in str(caught.value)


def test_words_without_spaces_need_another_tokenizer(config):
  chinese = ["机器翻译系统很好。", "我喜欢用 MT 翻译长长的句子。"]
  german = ["Wörter wie Häuser", "日本 ist Japan"]
  assert bleu.counts_words(german, config) and not bleu.counts_words(chinese, config)
  assert not bleu.counts_words(["ระบบแปลภาษา"], config) and bleu.counts_words([], config)
  assert bleu.counts_words(["机器 翻译 系统 很 好 。"], config), "they are split already"
  config.tokenize = "zh"
  assert bleu.counts_words(chinese, config)


def test_sentences_are_smoothed_by_a_tenth_of_a_match(config):
  lines = ["a x y z", "a b c d", "a b", "x", "", "A b c d"]
  scores = bleu.sentence_scores(lines, ["a b c d"] * 2 + ["a b"] + ["a b c d"] * 3, config)
  want = [(1 / 4 * 0.1 / 3 * 0.1 / 2 * 0.1 / 1) ** 0.25, 1, 1, 0, 0]
  assert scores[:5] == pytest.approx([100 * x for x in want])
  assert scores[5] == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 0.1 / 1) ** 0.25)
  config.lowercase = True
  assert bleu.sentence_scores(lines[5:], lines[1:2], config) == pytest.approx([100])
