"""The built-in corpus "cldr": English and any other locale of CLDR, written by Babel.

A sentence is one to three phrases in a frame of punctuation. A phrase is drawn as a value (a day,
an amount, a list of countries) and then written twice, in English and in the other locale. The
translation is therefore exact, with real agreement (1 километр, 2 километра, 5 километров) and
reordering (June 5, 2014 / 5 июня 2014 г.), and there is nothing to download.

A phrase has one translation. This is why some of CLDR's formats are absent: "May 5, 2014" is both a
long and a medium date, and weeks of the year are counted differently from country to country.
"""

from collections.abc import Callable, Mapping
import datetime
import difflib
import functools
import random

import babel
from babel import dates, lists, localedata, numbers, units

from headprune.errors import UserError
from headprune.text import draws

Phrase = Callable[..., str]  # called as phrase(locale=locale)

_ENGLISH = babel.Locale("en")

_FRAMES = (
  "{}",
  "{}; {}",
  "{} / {}",
  "{} ({})",
  "{}; {}; {}",
)

_UNITS = """
  length-kilometer length-meter length-centimeter length-mile length-inch area-square-meter
  area-hectare mass-kilogram mass-gram mass-tonne volume-liter volume-cubic-meter volume-milliliter
  duration-second duration-minute duration-hour duration-day duration-week duration-month
  duration-year energy-kilowatt-hour power-watt digital-megabyte digital-bit temperature-celsius
  speed-kilometer-per-hour speed-meter-per-second
""".split()

_RATED_UNITS = """
  mass-kilogram mass-gram mass-tonne volume-liter volume-cubic-meter length-centimeter length-inch
""".split()

_CURRENCIES = "USD EUR GBP JPY CNY RUB CHF SEK NOK PLN CZK HUF TRY INR BRL MXN KRW THB".split()

_NAMES = {
  "languages": """
    ar bg bn ca cs cy da de el en es et fa fi fr ga he hi hr hu hy id is it ja ka kk ko la lt lv mn
    nl pl pt ro ru sk sl sr sv ta th tr uk ur vi zh
  """.split(),
  "territories": """
    AR AT AU BE BG BO BR CA CH CL CN CO CU CY CZ DE DK EC EE EG ES FI FR GB GR HR HU ID IE IL IN IQ
    IR IS IT JP KE KR KZ LT LV MA MN MX MY NG NL NO NP PE PK PL PT RO RS RU SA SE SI SK TH TN TR UA
    US UY VN ZA
  """.split(),
}

_SECONDS = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "year": 365 * 86400}

_BIDI_MARKS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))


def generate(
  locale: str, sizes: Mapping[str, int], seed: int
) -> dict[str, tuple[list[str], list[str]]]:
  """Draws disjoint splits of a parallel corpus from English to `locale`.

  No English sentence occurs twice, within a split or between splits.

  Args:
    locale: a locale of CLDR other than English, such as "ru" or "pt_BR".
    sizes: number of sentence pairs of each split, such as {"train": 20000, "dev": 500}.
    seed: the same seed gives the same corpus, under the same release of Babel.

  Returns:
    For each split, the English lines and the lines of the locale, in the same order.

  Raises:
    UserError: the locale is unknown or English, or a size is negative or cannot be reached.
  """
  target_locale = _parse_locale(locale)
  draws.check_sizes(sizes)
  rng = random.Random(seed)
  draw = lambda: _draw_pair(target_locale, rng)
  pairs = draws.unique(sum(sizes.values()), draw, f"locale {str(target_locale)!r}", set())
  # The first draws hold more of the short sentences, which soon run out.
  rng.shuffle(pairs)
  splits, start = {}, 0
  for split, size in sizes.items():
    part = pairs[start : start + size]
    splits[split] = [source for source, _ in part], [target for _, target in part]
    start += size
  return splits


def _parse_locale(name: str) -> babel.Locale:
  identifier = name.replace("-", "_")
  try:
    locale = babel.Locale.parse(identifier)
  except (ValueError, babel.UnknownLocaleError):
    nearest = _nearest_locale(identifier)
    raise UserError(
      f"locale: {name!r} is not a locale of CLDR; did you mean {nearest!r}?"
    ) from None
  if locale.language == "en":
    raise UserError(f"locale: {name!r} is English, the source language; try another, such as 'ru'")
  return locale


def _nearest_locale(identifier: str) -> str:
  """The language alone where that exists ("de" for "de_XX"), else the most similar identifier."""
  identifiers = sorted(i for i in localedata.locale_identifiers() if i.split("_")[0] != "en")
  language = identifier.split("_")[0]
  if language in identifiers:
    return language
  return difflib.get_close_matches(identifier, identifiers, n=1, cutoff=0.0)[0]


def _draw_pair(locale: babel.Locale, rng: random.Random) -> tuple[str, tuple[str, str]] | None:
  """(English sentence, pair), or None where CLDR has no word for it in this locale."""
  frame, phrases = _draw_sentence(rng)
  source = _write(frame, phrases, _ENGLISH)
  try:
    return source, (source, _write(frame, phrases, locale))
  except KeyError:
    return None


def _draw_sentence(rng: random.Random) -> tuple[str, list[Phrase]]:
  frame = rng.choice(_FRAMES)
  makers = rng.choices(list(_PHRASES), weights=_PHRASES.values(), k=frame.count("{}"))
  return frame, [make(rng) for make in makers]


def _write(frame: str, phrases: list[Phrase], locale: babel.Locale) -> str:
  """Writes a sentence with plain spaces and without direction marks."""
  line = frame.format(*(phrase(locale=locale) for phrase in phrases))
  return " ".join(line.translate(_BIDI_MARKS).split())


def _number(rng: random.Random) -> float:
  """Mostly a small integer, where the plural forms differ; now and then n.5 or a large one."""
  draw = rng.random()
  if draw < 0.7:
    return rng.randint(1, 30)
  return rng.randint(1, 20) + 0.5 if draw < 0.85 else rng.randint(31, 999)


def _day(rng: random.Random) -> datetime.date:
  first, last = datetime.date(2000, 1, 1), datetime.date(2029, 12, 31)
  return datetime.date.fromordinal(rng.randint(first.toordinal(), last.toordinal()))


def _date(rng: random.Random) -> Phrase:
  return functools.partial(dates.format_date, _day(rng), rng.choice(("full", "long")))


def _partial_date(rng: random.Random) -> Phrase:
  """A month and a year, a day and a month, a quarter."""
  skeleton = rng.choice(("yMMMM", "MMMMd", "MMMEd", "yQQQQ"))
  return functools.partial(dates.format_skeleton, skeleton, _day(rng))


def _interval(rng: random.Random) -> Phrase:
  """From day to day within a month, or from month to month within a year."""
  day = _day(rng).replace(day=1)
  if rng.random() < 0.5:
    start, end = (day.replace(day=d) for d in sorted(rng.sample(range(1, 29), 2)))
    return functools.partial(dates.format_interval, start, end, "yMMMd")
  start, end = (day.replace(month=m) for m in sorted(rng.sample(range(1, 13), 2)))
  return functools.partial(dates.format_interval, start, end, "yMMMM")


def _time(rng: random.Random) -> Phrase:
  time = datetime.time(rng.randrange(24), rng.randrange(0, 60, 5))
  return functools.partial(dates.format_time, time, "short")


def _relative_time(rng: random.Random) -> Phrase:
  unit = rng.choice(list(_SECONDS))
  seconds = rng.choice((-1, 1)) * rng.randint(1, 30) * _SECONDS[unit]
  return functools.partial(
    dates.format_timedelta, seconds, granularity=unit, threshold=1000, add_direction=True
  )


def _unit(rng: random.Random) -> Phrase:
  return functools.partial(_format_unit, _number(rng), rng.choice(_UNITS))


def _rate(rng: random.Random) -> Phrase:
  unit = rng.choice(_RATED_UNITS)
  per = rng.choice(("second", "minute", "hour", "day", "week"))
  return functools.partial(_format_unit, _number(rng), unit, f"duration-{per}")


def _currency(rng: random.Random) -> Phrase:
  return functools.partial(
    numbers.format_currency,
    _number(rng),
    rng.choice(_CURRENCIES),
    format_type="name",
    currency_digits=False,
  )


def _big_number(rng: random.Random) -> Phrase:
  number = rng.randint(1, 30) * 10 ** rng.choice((3, 6, 9))
  return functools.partial(numbers.format_compact_decimal, number, format_type="long")


def _percentage(rng: random.Random) -> Phrase:
  return functools.partial(numbers.format_percent, rng.randint(1, 100) / 100)


def _list(rng: random.Random) -> Phrase:
  """Amounts, languages or countries, all different, joined by "and" or by "or"."""
  size = rng.choice((2, 2, 3, 3, 4))
  kind = rng.choice(("units", *_NAMES))
  if kind == "units":
    items = [functools.partial(_format_unit, _number(rng), u) for u in rng.sample(_UNITS, size)]
  else:
    items = [functools.partial(_name, kind, code) for code in rng.sample(_NAMES[kind], size)]
  return functools.partial(_format_list, items, rng.choice(("standard", "or")))


def _name(kind: str, code: str, locale: babel.Locale) -> str:
  return getattr(locale, kind)[code]


def _format_list(items: list[Phrase], style: str, locale: babel.Locale) -> str:
  return lists.format_list([item(locale=locale) for item in items], style, locale)


@functools.cache
def _format_unit(number: float, unit: str, per: str | None = None, *, locale: babel.Locale) -> str:
  """Writes an amount in words, or with the unit's symbol where CLDR has no words for it."""
  for length in ("long", "short"):
    if per is None:
      text = units.format_unit(number, unit, length, locale=locale)
    else:
      text = units.format_compound_unit(
        number, unit, denominator_unit=per, length=length, locale=locale
      )
    # Babel puts the identifier itself where it finds no pattern.
    if text is not None and unit not in text and (per is None or per not in text):
      return text
  raise KeyError(unit)


# Phrases and how often each occurs.
_PHRASES = {
  _list: 5,
  _date: 3,
  _unit: 3,
  _currency: 3,
  _relative_time: 3,
  _partial_date: 2,
  _interval: 2,
  _rate: 2,
  _time: 2,
  _big_number: 1,
  _percentage: 1,
}
