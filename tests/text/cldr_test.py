"""The built-in corpus: CLDR's own strings, one translation per phrase, disjoint splits."""

import datetime
import functools
import re

import babel
from babel import dates, numbers
import pytest

from headprune.errors import UserError
from headprune.text import cldr

_SIZES = {"train": 1500, "dev": 100, "test": 100}
_BETWEEN_PHRASES = re.compile(r"; | / | \(|\)")


@pytest.fixture(scope="module")
def russian():
  return cldr.generate("ru", _SIZES, seed=0)


def _phrases(lines: list[str]) -> list[list[str]]:
  return [[phrase for phrase in _BETWEEN_PHRASES.split(line) if phrase] for line in lines]


@pytest.mark.parametrize(
  "number, unit, english, russian",
  [
    (1, "length-kilometer", "1 kilometer", "1 километр"),
    (2, "length-kilometer", "2 kilometers", "2 километра"),
    (5, "length-kilometer", "5 kilometers", "5 километров"),
    (11, "length-kilometer", "11 kilometers", "11 километров"),
    (21, "length-kilometer", "21 kilometers", "21 километр"),
    (1.5, "length-kilometer", "1.5 kilometers", "1,5 километра"),
    (5, "duration-year", "5 years", "5 лет"),
  ],
)
def test_units_agree_with_their_number(number, unit, english, russian):
  phrase = functools.partial(cldr._format_unit, number, unit)
  assert phrase(locale=babel.Locale("en")) == english
  assert phrase(locale=babel.Locale("ru")) == russian


def test_rates_and_units_without_words_in_the_locale():
  rate = functools.partial(cldr._format_unit, 2, "mass-kilogram", "duration-day")
  assert rate(locale=babel.Locale("en")) == "2 kilograms per day"
  assert rate(locale=babel.Locale("ru")) == "2 килограмма в день"
  # Japanese has no long form of "second"; its short form is the word.
  assert cldr._format_unit(3, "duration-second", locale=babel.Locale("ja")) == "3 秒"


def test_a_sentence_has_plain_spaces_and_no_direction_marks():
  day = functools.partial(dates.format_date, datetime.date(2014, 6, 5), "full")
  price = functools.partial(
    numbers.format_currency, 12.5, "USD", format_type="name", currency_digits=False
  )
  phrases = [day, price]
  english = cldr._write("{} ({})", phrases, babel.Locale("en"))
  assert english == "Thursday, June 5, 2014 (12.5 US dollars)"
  russian = cldr._write("{} ({})", phrases, babel.Locale("ru"))
  assert russian == "четверг, 5 июня 2014 г. (12,5 доллара США)"
  hebrew_time = functools.partial(dates.format_timedelta, -3600, add_direction=True)
  marked = cldr._write("\u200f{}\u00a0", [hebrew_time], babel.Locale("he"))
  assert marked == "לפני שעה"


def test_lists_keep_their_order():
  items = [functools.partial(cldr._name, "territories", code) for code in ("NO", "HU", "JP")]
  phrase = functools.partial(cldr._format_list, items, "or")
  assert phrase(locale=babel.Locale("en")) == "Norway, Hungary, or Japan"
  assert phrase(locale=babel.Locale("de")) == "Norwegen, Ungarn oder Japan"


def test_recorded_sentences():
  sources, targets = cldr.generate("ru", {"train": 4}, seed=0)["train"]
  assert list(zip(sources, targets, strict=True)) == [
    ("5 metric tons (4:05 AM)", "5 тонн (04:05)"),
    ("July – August 2011 (880 Polish zlotys)", "июль – август 2011 г. (880 польских злотых)"),
    (
      "348 centimeters per week; 13%; in 16 minutes",
      "348 сантиметров в неделю; 13 %; через 16 минут",
    ),
    (
      "Tunisia or Saudi Arabia; 30 Thai baht; 24 minutes ago",
      "Тунис или Саудовская Аравия; 30 таиландских батов; 24 минуты назад",
    ),
  ]


def test_the_seed_decides(russian):
  assert cldr.generate("ru", _SIZES, seed=0) == russian
  other, _ = cldr.generate("ru", _SIZES, seed=1)["train"]
  assert other != russian["train"][0]


def test_splits_are_disjoint_and_as_large_as_asked(russian):
  assert {split: len(sources) for split, (sources, _) in russian.items()} == _SIZES
  assert all(len(sources) == len(targets) for sources, targets in russian.values())
  everything = [line for sources, _ in russian.values() for line in sources]
  assert len(set(everything)) == sum(_SIZES.values())


@pytest.mark.parametrize("locale", ["ru", "de", "fr", "ja", "ar"])
def test_a_phrase_has_one_translation(locale):
  sources, targets = cldr.generate(locale, {"train": 3000}, seed=5)["train"]
  translations, repeated = {}, 0
  for source, target in zip(_phrases(sources), _phrases(targets), strict=True):
    for phrase, translation in zip(source, target, strict=True):
      repeated += phrase in translations
      assert translations.setdefault(phrase, translation) == translation
  assert repeated > 500


@pytest.mark.parametrize("locale", ["ru", "de", "fr", "ja", "ar", "hi", "pt-BR", "zh_TW"])
def test_lines_are_text_of_the_locale(locale):
  sources, targets = cldr.generate(locale, {"train": 500}, seed=2)["train"]
  for line in sources + targets:
    assert line and line == " ".join(line.split())
    assert not re.search("[\u061c\u200e\u200f]", line)
    # What Babel writes where it has no words: the identifier of a unit, the number of a month.
    assert not re.search(r"(duration|length|mass|volume|area|speed|digital)-|\bM\d\d\b", line)
  different = sum(s != t for s, t in zip(sources, targets, strict=True))
  assert different > 480


def test_sentences_are_short(russian):
  lengths = [len(line.split()) for line in russian["train"][0]]
  assert max(lengths) <= 40
  assert 5 <= sum(lengths) / len(lengths) <= 10


@pytest.mark.parametrize(
  "locale, message",
  [
    ("en", "'en' is English.* such as 'ru'"),
    ("en_GB", "'en_GB' is English.* such as 'ru'"),
    ("de_XX", "'de_XX' is not a locale of CLDR; did you mean 'de'"),
    ("zhh_Hant_TW", "did you mean 'zh_Hant_TW'"),
    ("", "'' is not a locale of CLDR"),
  ],
)
def test_a_wrong_locale_names_a_right_one(locale, message):
  with pytest.raises(UserError, match=message):
    cldr.generate(locale, {"train": 1}, seed=0)


def test_impossible_sizes(monkeypatch):
  with pytest.raises(UserError, match="dev is -1"):
    cldr.generate("ru", {"train": 5, "dev": -1}, seed=0)
  monkeypatch.setattr(cldr, "_PHRASES", {cldr._percentage: 1})
  monkeypatch.setattr(cldr, "_FRAMES", ("{}",))
  all_of_them = cldr.generate("ru", {"train": 90, "dev": 10}, seed=0)
  assert set(all_of_them["train"][0] + all_of_them["dev"][0]) == {f"{n}%" for n in range(1, 101)}
  with pytest.raises(UserError, match="101 sentence pairs .* about 100"):
    cldr.generate("ru", {"train": 91, "dev": 10}, seed=0)
