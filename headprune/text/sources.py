"""Where sentence pairs come from: the built-in corpora, parallel text files, TFDS sets."""

from collections.abc import Callable, Sequence
import pathlib
import textwrap

from headprune.errors import UserError
from headprune.text import grammar, textfile

SPLITS = ("train", "dev", "test")
_TRAIN_FILES = ("train_src", "train_tgt")


def read_pairs(config, splits=SPLITS) -> dict[str, tuple[list[str], list[str]]]:
  """Reads splits as raw text.

  Args:
    config: the `data` section, its kind one of KINDS.
    splits: which ones.
  Returns:
    split -> (source lines, target lines), sequences of str; "test" is absent where there is none.
    Lines of large sets are read anew each time that one goes through them.
  Raises:
    UserError: what is wrong with which file, line or field.
  """
  pairs = _KINDS[config.kind](config, splits)
  for split in splits:
    if split not in pairs and split != "test":
      raise UserError(f"config.data.{config.kind}.{split}: there must be {split} data")
  for split, sides in pairs.items():
    for side, lines in zip(("source", "target"), sides):
      if not any(line.strip() for line in lines):
        raise UserError(f"the {side} side of the {split} data has no line with text")
  return pairs


def train_files(config) -> list:
  """Size and time of the training text's files, which tell whether it has changed."""
  names = [config.text[field] for field in _TRAIN_FILES] if config.kind == "text" else []
  paths = [pathlib.Path(config.text.dir, name) for name in names]
  stats = [path.stat() for path in paths if path.is_file()]
  return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def held_out(config) -> dict:
  """What the dev and test text of a `data` section depend on, to tell whether two are the same."""
  fields = {"data": config.kind, **config[config.kind]}
  unused = {"text": _TRAIN_FILES, "tfds": ("train", "data_dir")}.get(config.kind, ())
  if config.kind == "text":
    folder = pathlib.Path(fields.pop("dir"))
    fields |= {f: str((folder / fields[f]).absolute()) for f in fields if fields[f] and f != "data"}
  if (config.kind, config.corpus.kind) == ("corpus", "grammar"):
    unused = "train", "locale"  # in cldr each split depends on all sizes
  return {field: value for field, value in fields.items() if field not in unused}


def read_dev(config, instead: str) -> tuple[list[str], list[str]]:
  """The dev data of a finished run; if its files have moved, `instead` says what to give."""
  return _read_again(config, "dev", instead)["dev"]


def read_given(files: Sequence[str] | None, config, instead: str) -> tuple[list[str], list[str]]:
  """Both sides of the two files that were given, else what `read_dev` gives."""
  return textfile.read_parallel(*files) if files else read_dev(config, instead)


def read_test(config, instead: str) -> tuple[list[str], list[str]]:
  """`read_dev` of the test data, which there may be none of."""
  pairs = _read_again(config, "test", instead)
  if "test" not in pairs:
    raise UserError(f"the run's config names no test set: {instead}")
  return pairs["test"]


def _read_again(config, split: str, instead: str) -> dict:
  try:
    return read_pairs(config, (split,))
  except UserError as error:
    raise UserError(f"the run's {split} data cannot be read ({error}): {instead}") from error


def _from_corpus(config, splits) -> dict:
  kind = config.corpus.kind
  if kind not in CORPORA:
    raise UserError(f"config.data.corpus.kind={kind!r}: choose one of {', '.join(CORPORA)}")
  pairs = _CORPORA[kind](config, splits)
  return {split: pairs[split] for split in splits if split in pairs}


def _from_cldr(config, splits) -> dict:
  from headprune.text import cldr  # here, for every command reads this file, and Babel takes time

  sizes = {split: config.corpus[split] for split in SPLITS if config.corpus[split]}
  return cldr.generate(config.corpus.locale, sizes, seed=0)  # each depends on all sizes


def _from_grammar(config, splits) -> dict:
  drawn = parsed_corpus(config, splits).items()
  return {split: ([p.source for p in pairs], [p.target for p in pairs]) for split, pairs in drawn}


def parsed_corpus(config, splits=SPLITS) -> dict[str, list[grammar.Pair]]:
  """The corpus "grammar" of a config's `data` section with all that is known about it.

  Args:
    config: the section.
    splits: which ones; those of 0 pairs are absent.
  """
  drawn = SPLITS[::-1]  # the large one last: a split depends on those before it
  needed = drawn[: 1 + max(map(drawn.index, splits))]
  pairs = grammar.generate({split: config.corpus[split] for split in needed}, seed=0)
  return {split: pairs[split] for split in splits if pairs[split]}


def _from_files(config, splits) -> dict:
  pairs = {}
  for split in splits:
    names = {f"{split}_{side}": config.text[f"{split}_{side}"] for side in ("src", "tgt")}
    if split == "test" and not any(names.values()):
      continue
    for field, name in names.items():
      if not name:
        raise UserError(f"config.data.text.{field} is not set: name a file")
    paths = {field: pathlib.Path(config.text.dir) / name for field, name in names.items()}
    read = textfile.stream_lines if split == "train" else textfile.read_lines
    sides = (_read_field(field, path, read) for field, path in paths.items())
    pairs[split] = textfile.check_parallel(*paths.values(), *sides)
  return pairs


def _read_field(field: str, path: pathlib.Path, read: Callable) -> Sequence[str]:
  """What `read` makes of the file that a field names; its mistakes name the field as well."""
  try:
    return read(path)
  except UserError as error:
    raise UserError(f"config.data.text.{field}: {error}") from error


def _from_tfds(config, splits) -> dict:
  import importlib_resources  # noqa: F401  (TFDS needs it to prepare a set)
  import tensorflow_datasets as tfds
  import tensorflow_datasets.translate  # noqa: F401  (registers the WMT and TED builders)

  c = config.tfds
  try:
    builder = tfds.builder(c.name, data_dir=c.data_dir or None)
  except Exception as error:  # the set's own code may raise anything, here and below
    raise UserError(f"config.data.tfds.name={c.name!r}: {_brief(error)}") from error
  for side in ("src", "tgt"):
    if c[side] not in builder.info.features:
      names = ", ".join(sorted(builder.info.features))
      raise UserError(f"config.data.tfds.{side}={c[side]!r}: {c.name} has the features {names}")
  try:
    builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
  except Exception as error:
    raise UserError(
      f"config.data.tfds.name={c.name!r}: TFDS cannot prepare it in {builder.data_dir}, give "
      f"config.data.tfds.data_dir a folder that holds it: {_brief(error)}"
    ) from error
  pairs = {}
  for split in splits:
    if c[split]:
      try:
        rows = builder.as_data_source(split=c[split])
      except (NotImplementedError, ValueError) as error:
        raise UserError(f"config.data.tfds.{split}={c[split]!r}: {_brief(error)}") from error
      sides = [_column(rows, c[side]) for side in ("src", "tgt")]
      pairs[split] = tuple(sides if split == "train" else map(list, sides))
  return pairs


def _column(rows, feature: str) -> textfile.Lines:
  return textfile.Lines(lambda: (row[feature].decode() for row in rows), len(rows))


def _brief(error: Exception) -> str:
  return textwrap.shorten(str(error) or repr(error), 300)


_KINDS = {"corpus": _from_corpus, "text": _from_files, "tfds": _from_tfds}
_CORPORA = {"cldr": _from_cldr, "grammar": _from_grammar}
KINDS, CORPORA = tuple(_KINDS), tuple(_CORPORA)  # data.kind, data.corpus.kind
