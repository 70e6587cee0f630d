"""Where sentence pairs come from: the built-in corpus, parallel text files, TFDS sets."""

import codecs
import gzip
import pathlib
import textwrap
import zlib

from headprune.errors import UserError
from headprune.text import corpus

SPLITS = ("train", "dev", "test")


def read_pairs(config, splits=SPLITS) -> dict[str, tuple[list[str], list[str]]]:
  """Reads splits as raw text.

  Args:
    config: the `data` section.
    splits: which ones.
  Returns:
    split -> (source lines, target lines); "test" is absent where there is none.
  Raises:
    UserError: what is wrong with which file, line or field.
  """
  readers = {"corpus": _from_corpus, "text": _from_files, "tfds": _from_tfds}
  if config.kind not in readers:
    raise UserError(f"config.data.kind={config.kind!r}: choose one of {', '.join(readers)}")
  pairs = readers[config.kind](config, splits)
  for split in splits:
    if split not in pairs and split != "test":
      raise UserError(f"config.data.{config.kind}.{split}: there must be {split} data")
  for split, sides in pairs.items():
    for side, lines in zip(("source", "target"), sides):
      if not any(line.strip() for line in lines):
        raise UserError(f"the {side} side of the {split} data has no line with text")
  return pairs


def read_dev(config, instead: str) -> tuple[list[str], list[str]]:
  """The dev data of a finished run; if its files have moved, `instead` says what to give."""
  try:
    return read_pairs(config, ("dev",))["dev"]
  except UserError as error:
    raise UserError(f"the run's dev data cannot be read ({error}): {instead}") from error


def read_lines(path: str | pathlib.Path) -> list[str]:
  """Lines of a UTF-8 file, plain or .gz, without their line ends."""
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: no such file")
  try:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
  except (OSError, EOFError, zlib.error) as error:
    raise UserError(f"{path}: cannot be read ({error})") from error
  if not data:
    raise UserError(f"{path}: the file is empty")
  rows = data.removeprefix(codecs.BOM_UTF8).removesuffix(b"\n").split(b"\n")
  try:
    return [row.decode("utf-8").removesuffix("\r") for row in rows]
  except UnicodeDecodeError:
    number = next(i for i, row in enumerate(rows, 1) if not _is_utf8(row))
    raise UserError(f"{path}, line {number}: not UTF-8; convert the file first") from None


def read_parallel(src: str | pathlib.Path, tgt: str | pathlib.Path) -> tuple[list[str], list[str]]:
  """Lines of two files that must have the same number of them."""
  src_lines, tgt_lines = read_lines(src), read_lines(tgt)
  if len(src_lines) != len(tgt_lines):
    raise UserError(
      f"{src} has {len(src_lines)} lines but {tgt} has {len(tgt_lines)}: they must be parallel"
    )
  return src_lines, tgt_lines


def _is_utf8(row: bytes) -> bool:
  try:
    row.decode("utf-8")
  except UnicodeDecodeError:
    return False
  return True


def _from_corpus(config, splits) -> dict:
  sizes = {split: config.corpus[split] for split in SPLITS if config.corpus[split]}
  pairs = corpus.generate(config.corpus.locale, sizes, seed=0)  # each depends on those before it
  return {split: pairs[split] for split in splits if split in pairs}


def _from_files(config, splits) -> dict:
  pairs = {}
  for split in splits:
    names = {f"{split}_{side}": config.text[f"{split}_{side}"] for side in ("src", "tgt")}
    if split == "test" and not any(names.values()):
      continue
    for field, name in names.items():
      if not name:
        raise UserError(f"config.data.text.{field} is not set: name a file")
    pairs[split] = read_parallel(*(pathlib.Path(config.text.dir) / n for n in names.values()))
  return pairs


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
      texts = [(row[c.src].decode(), row[c.tgt].decode()) for row in rows]
      pairs[split] = [src for src, _ in texts], [tgt for _, tgt in texts]
  return pairs


def _brief(error: Exception) -> str:
  return textwrap.shorten(str(error) or repr(error), 300)
