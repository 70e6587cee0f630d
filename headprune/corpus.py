"""Writes the built-in corpus out as text files: `headprune corpus --out mydata`.

With the numbers that a run's config has (config.data.corpus), they hold that run's own sentences.
"""

import argparse
import pathlib

from headprune import cli
from headprune.runs import defaults
from headprune.runs.workdir import new_folder, write_text
from headprune.text import sources


def main() -> None:
  data = defaults.base().data
  parser = argparse.ArgumentParser(prog="headprune corpus", description=__doc__)
  parser.add_argument(
    "--out", required=True, type=pathlib.Path,
    help="folder for train.en, train.LOCALE, dev.en, ...: one sentence a line",
  )  # fmt: skip
  parser.add_argument(
    "--locale", default=data.corpus.locale,
    help=f"target language: any locale of CLDR (default: {data.corpus.locale}); the source is en",
  )  # fmt: skip
  for split in sources.SPLITS:
    size = data.corpus[split]
    parser.add_argument(
      f"--{split}", type=int, default=size, metavar="N", help=f"sentence pairs (default: {size})"
    )
  args = parser.parse_args()
  for field in ("locale", *sources.SPLITS):
    data.corpus[field] = getattr(args, field)
  print(write(data, args.out))


def write(data, out: pathlib.Path) -> str:
  """Writes the corpus of a config's `data` section; says what was written.

  Raises:
    UserError: `out` is in use, or there is no such corpus.
  """
  pairs = sources.read_pairs(data, [split for split in sources.SPLITS if data.corpus[split]])
  languages = "en", data.corpus.locale
  with new_folder(out) as draft:
    for split, sides in pairs.items():
      for language, lines in zip(languages, sides):
        write_text(draft / f"{split}.{language}", "".join(f"{line}\n" for line in lines))
  counts = ", ".join(f"{split} {len(sides[0]):,}" for split, sides in pairs.items())
  return f"{out}: pairs of {' and '.join(languages)}: {counts}"


if __name__ == "__main__":
  cli.run(main)
