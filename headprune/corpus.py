"""Writes a built-in corpus out as text files: `headprune corpus --out mydata`.

Kinds: "grammar" (sentences, from English into an invented language, with parses and word alignments
beside them) and "cldr" (dates, amounts, lists, in English and any locale of CLDR).

With the numbers that a run's config has (config.data.corpus), they hold that run's own sentences.
With more of dev or test, most of these are sentences that such a run was trained on. New ones of
"grammar" stand at the end of a longer train set: behind line 40,000 with --train 50000.
"""

import argparse
import pathlib

from headprune import cli
from headprune.errors import UserError
from headprune.files import write_text
from headprune.runs import defaults
from headprune.runs.workdir import check_unused, new_folder
from headprune.text import grammar, sources


def main() -> None:
  data = defaults.base().data
  args = _parse(data.corpus)
  if args.kind == "grammar" and args.locale:
    raise UserError("--locale: the kind grammar has one target language; leave it out")
  for split in sources.SPLITS:
    data.corpus[split] = getattr(args, split)
  data.corpus.kind = args.kind or ("cldr" if args.locale else data.corpus.kind)
  data.corpus.locale = args.locale or data.corpus.locale
  print(write(data, args.out))


def write(data, out: pathlib.Path) -> str:
  """Writes the corpus of a config's `data` section; says what was written.

  Raises:
    UserError: `out` is in use, or there is no such corpus.
  """
  check_unused(out)
  grammatical = data.corpus.kind == "grammar"
  languages = grammar.LANGUAGES if grammatical else ("en", data.corpus.locale)
  splits = _parsed(data) if grammatical else _plain(data, languages)
  with new_folder(out) as draft:
    for split, files in splits.items():
      for extension, lines in files.items():
        write_text(draft / f"{split}.{extension}", "".join(f"{line}\n" for line in lines))
  counts = ", ".join(f"{split} {len(files['en']):,}" for split, files in splits.items())
  return f"{out}: pairs of {' and '.join(languages)}: {counts}"


def _plain(data, languages: tuple[str, str]) -> dict[str, dict[str, list[str]]]:
  """Split -> extension -> lines."""
  pairs = sources.read_pairs(data, [split for split in sources.SPLITS if data.corpus[split]])
  return {split: dict(zip(languages, sides)) for split, sides in pairs.items()}


def _parsed(data) -> dict[str, dict[str, list[str]]]:
  """`_plain` of the grammar, with parses and alignments."""
  english, invented = grammar.LANGUAGES
  parts = {
    english: lambda pair: pair.source,
    invented: lambda pair: pair.target,
    "conllu": lambda pair: pair.conllu,
    "align": lambda pair: pair.pharaoh,
  }
  return {
    split: {extension: list(map(part, pairs)) for extension, part in parts.items()}
    for split, pairs in sources.parsed_corpus(data).items()
  }


def _parse(corpus) -> argparse.Namespace:
  """The options, whose defaults are those of a config's `data.corpus` section."""
  parser = cli.Parser(prog="headprune corpus", description=__doc__)
  add = parser.add_argument
  add(
    "--out", required=True, type=pathlib.Path,
    help="folder for train.en, train.LANGUAGE, dev.en, ...: one sentence a line; of grammar also "
    "train.conllu, train.align, ...: parses of the English side, links in Pharaoh format",
  )  # fmt: skip
  add("--kind", help=f"grammar or cldr (default: {corpus.kind}; cldr where there is a --locale)")
  add(
    "--locale",
    help="target language of cldr: any locale of CLDR "
    f"(default: {corpus.locale}); the source is en",
  )  # fmt: skip
  for split in sources.SPLITS:
    size = corpus[split]
    add(f"--{split}", type=int, default=size, metavar="N", help="sentence pairs")
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
