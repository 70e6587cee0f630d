"""A tokenizer folder: trained, written, copied, loaded.

Everywhere in this program the ids of a sentence end in EOS. The vocabularies made here start with
0 `_BOS_` (never used), 1 `_EOS_`, 2 `_UNK_`. A tokenizer folder is self-contained: `tokenizer.json`
(kind, shared, lowercase, checksums), written last, and `src.*` and `tgt.*`, or one `shared.*`,
where `*` is `model` (SentencePiece) or `vocab` (one token a line in id order, UTF-8). Those of a
MarianMT model are its own files (see marian_tokenizer).
"""

from collections.abc import Callable, Mapping, Sequence
import itertools
import json
import pathlib
import zlib

from headprune.errors import UserError
from headprune.files import check_fetched
from headprune.text import marian_tokenizer, pieces, whitespace
from headprune.text.special import RESERVED

KINDS = ("bpe", "unigram", "whitespace")

_META = "tokenizer.json"
_FLAGS = ("shared", "lowercase")
_SIDE_NAMES = {"src": "source", "tgt": "target", "shared": "source and target"}


Tokenizer = pieces.SentencePiece | whitespace.Whitespace | marian_tokenizer.Marian


def train(
  kind: str,
  src_lines: Sequence[str],
  tgt_lines: Sequence[str],
  vocab_size: int,
  shared: bool,
  lowercase: bool,
  folder: pathlib.Path,
) -> None:
  """Trains a tokenizer for each side, or one for both, and writes them into `folder`.

  The same text gives the same files, byte for byte. Nothing is written before all went well. One
  process alone may write into a folder.

  Args:
    kind: "bpe" or "unigram" (SentencePiece), or "whitespace".
    src_lines: raw source text, no line breaks in a line.
    tgt_lines: raw target text.
    vocab_size: number of ids a side. SentencePiece may find fewer in a small text; a whitespace
      vocabulary keeps the most frequent words, or all of them if this is 0.
    shared: one tokenizer for both sides, from the text of both.
    lowercase: lower-case the text, in training and ever after.
    folder: made if it is not there; a tokenizer in it is replaced.

  Raises:
    UserError: unknown kind, a vocabulary size that is too small, a side without text.
  """
  if kind not in KINDS:
    raise UserError(f"config.tokenizer.kind={kind!r}: choose one of {', '.join(KINDS)}")
  if vocab_size <= len(RESERVED) and not (kind == "whitespace" and vocab_size == 0):
    raise UserError(
      f"config.tokenizer.vocab_size={vocab_size}: {len(RESERVED)} ids are reserved, ask for more"
    )
  texts = {"src": [src_lines], "tgt": [tgt_lines]}
  if shared:
    texts = {"shared": [src_lines, tgt_lines]}
  files = {}
  for side, parts in texts.items():
    if not any(line.strip() for line in itertools.chain(*parts)):
      raise UserError(f"{_SIDE_NAMES[side]} text: no line with text to train a tokenizer on")
    if kind == "whitespace":
      tokens = whitespace.train(itertools.chain(*parts), vocab_size, lowercase)
      files[f"{side}.vocab"] = whitespace.to_bytes(tokens, _SIDE_NAMES[side])
    else:
      files[f"{side}.model"] = pieces.train(kind, parts, vocab_size, lowercase, _SIDE_NAMES[side])
  write_files(folder, files | _meta_file(files, kind, shared, lowercase))


def whitespace_files(src_tokens: Sequence[str], tgt_tokens: Sequence[str]) -> dict[str, bytes]:
  """The tokenizer folder of two token lists in id order, reserved tokens first.

  Raises:
    UserError: wrong reserved tokens, an empty or repeated token; names its line, counted from 1.
  """
  files = {
    "src.vocab": whitespace.to_bytes(src_tokens, _SIDE_NAMES["src"]),
    "tgt.vocab": whitespace.to_bytes(tgt_tokens, _SIDE_NAMES["tgt"]),
  }
  return files | _meta_file(files, "whitespace", shared=False, lowercase=False)


def marian_files(folder: pathlib.Path, shared: bool) -> dict[str, bytes]:
  """The tokenizer folder of a MarianMT model's folder, whose files stay as they are.

  Args:
    folder: with files that marian_tokenizer can load.
    shared: one vocabulary for both sides.
  """
  names = [name for name in marian_tokenizer.FILES if (folder / name).is_file()]
  files = {name: (folder / name).read_bytes() for name in names}
  return files | _meta_file(files, "marian", shared, lowercase=False)


def read_files(folder: pathlib.Path) -> dict[str, bytes]:
  """A tokenizer folder as it is, for `write_files`."""
  paths = sorted(path for path in folder.iterdir() if owns(path) and path.suffix != ".tmp")
  return {path.name: path.read_bytes() for path in paths}


def write_files(folder: pathlib.Path, files: Mapping[str, bytes]) -> None:
  """Writes all files whole, the meta file last: an interrupted run leaves no half tokenizer."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _META).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == _META):
      temporary = folder / f"{name}.tmp"
      temporary.write_bytes(files[name])
      temporary.replace(folder / name)
  except OSError as error:
    raise UserError(f"{folder}: cannot be written ({error.strerror})") from error


def _meta_file(files: Mapping, kind: str, shared: bool, lowercase: bool) -> dict[str, bytes]:
  sums = {name: zlib.crc32(content) for name, content in sorted(files.items())}
  meta = {"kind": kind, "shared": shared, "lowercase": lowercase, "crc32": sums}
  return {_META: json.dumps(meta).encode("utf-8")}


def owns(path: pathlib.Path) -> bool:
  """Whether a file is called as those of a tokenizer folder, unfinished ones included."""
  marian = path.name.removesuffix(".tmp") in marian_tokenizer.FILES
  return marian or path.name.split(".")[0] in (*_SIDE_NAMES, "tokenizer")


def describe(folder: pathlib.Path) -> dict:
  """What tells a tokenizer folder from others: its kind, and the checksum of each of its files.

  Raises:
    UserError: there is no tokenizer in the folder, or it is damaged.
  """
  if not exists(folder):
    raise UserError(f"{folder}: no tokenizer here ({_META} is missing)")
  return _read(folder / _META, _parse_meta)


def exists(folder: pathlib.Path) -> bool:
  """Whether `folder` holds a tokenizer that was written to its end."""
  return (folder / _META).is_file()


def load(folder: pathlib.Path) -> tuple[Tokenizer, Tokenizer]:
  """The (source, target) tokenizers in `folder`; of those made here the same twice if shared.

  Raises:
    UserError: there is no tokenizer in the folder, or one of its files is damaged.
  """
  meta = describe(folder)
  for name, known in meta.get("crc32", {}).items():
    _read(folder / name, _check_sum, known)
  if meta["kind"] == "marian":
    return marian_tokenizer.load(folder)
  parse = (whitespace if meta["kind"] == "whitespace" else pieces).parse
  found = [_read(folder / name, parse, meta["lowercase"]) for name in _names(meta)]
  return found[0], found[-1]


def _read(path: pathlib.Path, parse: Callable, *further):
  """What `parse` makes of a file's bytes; a UserError that names the file if it cannot."""
  try:
    data = path.read_bytes()
    check_fetched(path, data)
    return parse(data, *further)
  except (KeyError, OSError, RecursionError, RuntimeError, TypeError, ValueError) as error:
    reason = " ".join(str(error).split())
    raise UserError(f"{path}: damaged tokenizer, restore the file: {reason}") from error


def _parse_meta(data: bytes) -> dict:
  meta = json.loads(data.decode("utf-8"))
  if meta["kind"] not in (*KINDS, "marian") or {type(meta[x]) for x in _FLAGS} != {bool}:
    raise ValueError(f"not a kind in {', '.join(KINDS)} and {' and '.join(_FLAGS)} true or false")
  if "crc32" in meta:  # older folders have none
    found, own = {**meta["crc32"]}.keys(), set(_names(meta))
    if not (found <= set(marian_tokenizer.FILES) if meta["kind"] == "marian" else found == own):
      raise ValueError("crc32 is of other files than there are")
  return meta


def _names(meta: Mapping) -> list[str]:
  """The files of tokenizers that were made here, source first."""
  ending = "vocab" if meta["kind"] == "whitespace" else "model"
  return [f"{side}.{ending}" for side in (["shared"] if meta["shared"] else ["src", "tgt"])]


def _check_sum(data: bytes, known: int) -> None:
  if zlib.crc32(data) != known:
    raise ValueError(f"its checksum is not that in {_META}")
