"""Words of the corpus "grammar": English ones, and those of the invented language it goes into.

Groups stand from frequent to rare, and are drawn with frequencies that fall with the rank (Zipf's
law). `form/other` gives an irregular plural or past tense, and `+` joins a compound of two nouns.
A word with `*` has two translations, one with things and one with people and animals; so has "the",
one with a singular and one with a plural.

The invented language has stems of consonants and vowels, and endings:

  people -a, animals -e, things -o; plural +i          determiner, noun and adjective end alike
  cases: subject "", object -n, goal -k, place -s, company -l
  verbs: stem, -av- with adverbs of frequency, -is- for the past, the subject's -a/-e (+i), -t
"""

from collections.abc import Sequence
import dataclasses
import functools
import itertools
import random

Ending = tuple[str, bool]  # class of the noun, whether it is plural


@dataclasses.dataclass(frozen=True)
class Noun:
  singular: str
  plural: str
  group: str  # its class: "people", "animals" or "things"
  stem: str


@dataclasses.dataclass(frozen=True)
class Adjective:
  form: str
  stem: str  # said of people and animals
  stem_of_things: str


@dataclasses.dataclass(frozen=True)
class Verb:
  form: str
  past: str
  cases: tuple[str, str]  # of its subject and of its object
  stem: str  # done to people and animals, or to nobody
  stem_of_things: str


@dataclasses.dataclass(frozen=True)
class Invariable:
  """A preposition, an adverb, a determiner."""

  form: str
  stem: str
  case: str = ""  # that a preposition's noun is in


_NOUNS = {
  "people": """
    man/men woman/women child/children girl boy friend teacher king doctor farmer queen soldier
    sailor painter baker singer school+boy school+girl boat+man/boatmen door+man/doormen
    school+teacher horse+man/horsemen bell+boy
  """,
  "animals": """
    dog cat horse bird fox wolf/wolves bear cow mouse/mice lion goat rabbit frog snake hen
    duck eagle tiger
  """,
  "things": """
    house book tree boat door school stone letter garden river lamp bridge farm shop bell coat
    table box tree+house farm+house book+shop bird+house door+bell boat+house school+book
    school+house dog+house
  """,
}
# By place before the noun: opinion, size or age, colour.
_ADJECTIVES = (
  "dear* fine* strange beautiful quiet plain* famous ugly",
  "old* little big* new* large tiny",
  "white black red grey brown",
)
# By the cases of subject and object.
_VERBS = {
  ("", "n"): "see/saw find/found* take/took carry* hide/hid wash",
  ("k", ""): "love* know/knew remember* need miss hear/heard",
  ("s", "k"): "follow* help call* visit touch pass",
  ("l", "s"): "leave/left* draw/drew paint* move push lose/lost",
}
_IDLE_VERBS = {("", ""): "wait sleep/slept laugh sit/sat dance rest", ("k", ""): "tremble dream"}
_SPEECH_VERBS = {("", ""): "say/said answer explain", ("k", ""): "think/thought hope believe"}
_PREPOSITIONS = {"s": "near behind beside under", "l": "with from"}
_CONJUNCTIONS = "and but"
_FREQUENCY = "often never always rarely"
_MANNER = "quickly quietly gladly slowly again together"
_DETERMINERS = {False: "the a this every", True: "the some these all"}  # by whether it is plural

_VOWELS = {"people": "a", "animals": "e", "things": "o"}


def zipf(items: Sequence, rng: random.Random):
  """Draws one of `items`, which stand from frequent to rare, with a frequency of 1 / rank."""
  return rng.choices(items, cum_weights=_sums(len(items)))[0]


@functools.cache
def _sums(count: int) -> tuple[float, ...]:
  return tuple(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


def ending(of: Ending, case: str = "") -> str:
  """What words end with that agree with a noun."""
  group, plural = of
  return _VOWELS[group] + ("i" if plural else "") + case


def present(verb: Verb, plural: bool) -> str:
  """The English verb behind he, or behind they."""
  return verb.form if plural else _s_form(verb.form)


def _stems():
  """Different stems, none of which begins another: short ones first."""
  rng = random.Random(0)
  syllable = lambda: rng.choice("bdfghjklmnprstvz") + rng.choice("aeiou")
  used = set()
  while True:
    stem = syllable() + rng.choice("dgklmnprtvz")
    if len(used) > 60:
      stem = syllable() + stem
    if not any(stem.startswith(other) or other.startswith(stem) for other in used):
      used.add(stem)
      yield stem


def _s_form(form: str) -> str:
  """The plural of a noun, or a verb as it stands after he."""
  if form.endswith("y") and form[-2] not in "aeiou":
    return form[:-1] + "ies"
  return form + ("es" if form.endswith(("s", "x", "ch", "sh")) else "s")


def _past(form: str) -> str:
  if form.endswith("y") and form[-2] not in "aeiou":
    return form[:-1] + "ied"
  return form + ("d" if form.endswith("e") else "ed")


def _read_nouns(stems) -> dict[str, tuple[Noun, ...]]:
  """Group -> nouns. A compound's stem is those of its parts."""
  simple, nouns = {}, {}
  for group, entries in _NOUNS.items():
    nouns[group] = []
    for entry in entries.split():
      parts, _, plural = entry.partition("/")
      singular = parts.replace("+", "")
      if "+" not in parts:
        simple[parts] = next(stems)
      nouns[group].append((singular, plural or _s_form(singular), group, parts.split("+")))
  # A group's compounds may be made of another's nouns.
  return {
    group: tuple(Noun(*fields, "".join(simple[part] for part in parts)) for *fields, parts in rows)
    for group, rows in nouns.items()
  }


def _read_verbs(groups: dict, stems) -> tuple[Verb, ...]:
  """The first of each group, then the second of each, ..."""
  ranked = []
  for cases, entries in groups.items():
    for rank, entry in enumerate(entries.split()):
      form, _, past = entry.rstrip("*").partition("/")
      pair = _two(entry, stems)
      ranked.append((rank, Verb(form, past or _past(form), cases, *pair)))
  return tuple(verb for _, verb in sorted(ranked, key=lambda item: item[0]))


def _two(entry: str, stems) -> tuple[str, str]:
  """The two translations, mostly the same, of a word that may be marked."""
  stem = next(stems)
  return stem, next(stems) if entry.endswith("*") else stem


def _read_invariables(words: str, stems, case: str = "") -> tuple[Invariable, ...]:
  return tuple(Invariable(word, next(stems), case) for word in words.split())


@dataclasses.dataclass(frozen=True)
class Lexicon:
  """All words by their use."""

  nouns: dict[str, tuple[Noun, ...]]
  adjectives: tuple[tuple[Adjective, ...], ...]  # by place before the noun
  verbs: tuple[Verb, ...]  # with an object
  idle_verbs: tuple[Verb, ...]  # without
  speech_verbs: tuple[Verb, ...]  # with a clause
  prepositions: tuple[Invariable, ...]
  conjunctions: tuple[Invariable, ...]
  frequency: tuple[Invariable, ...]  # adverbs before the verb
  manner: tuple[Invariable, ...]  # adverbs at the end
  determiners: dict[bool, tuple[Invariable, ...]]


@functools.cache
def lexicon() -> Lexicon:
  """The words, with translations that are always the same."""
  stems = _stems()
  adjectives = tuple(
    tuple(Adjective(entry.rstrip("*"), *_two(entry, stems)) for entry in place.split())
    for place in _ADJECTIVES
  )
  near = [_read_invariables(words, stems, case) for case, words in _PREPOSITIONS.items()]
  return Lexicon(
    determiners={plural: _read_invariables(words, stems) for plural, words in _DETERMINERS.items()},
    prepositions=near[0] + near[1],
    conjunctions=_read_invariables(_CONJUNCTIONS, stems),
    frequency=_read_invariables(_FREQUENCY, stems),
    manner=_read_invariables(_MANNER, stems),
    verbs=_read_verbs(_VERBS, stems),
    idle_verbs=_read_verbs(_IDLE_VERBS, stems),
    speech_verbs=_read_verbs(_SPEECH_VERBS, stems),
    adjectives=adjectives,
    nouns=_read_nouns(stems),
  )
