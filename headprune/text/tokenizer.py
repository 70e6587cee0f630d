"""Text to ids and back: SentencePiece models and whitespace vocabularies behind one interface.

Everywhere in this program the ids of a sentence end in EOS. The vocabularies made here start with
0 `_BOS_` (never used), 1 `_EOS_`, 2 `_UNK_`. A tokenizer folder is self-contained: `tokenizer.json`
(kind, shared, lowercase, checksums), written last, and `src.*` and `tgt.*`, or one `shared.*`,
where `*` is `model` (SentencePiece) or `vocab` (one token a line in id order, UTF-8). Those of a
MarianMT model are its own files (see marian_tokenizer).
"""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import functools
import itertools
import json
import pathlib
import re
import zlib

import numpy as np
import sentencepiece

from headprune.errors import UserError
from headprune.files import check_fetched
from headprune.text import marian_tokenizer, pieces, spans
from headprune.text.pieces import BOS, EOS, RESERVED, UNK

KINDS = ("bpe", "unigram", "whitespace")

_META = "tokenizer.json"
_FLAGS = ("shared", "lowercase")
_SIDE_NAMES = {"src": "source", "tgt": "target", "shared": "source and target"}


@dataclasses.dataclass(frozen=True)
class SentencePiece:
  """A trained SentencePiece model; text is lower-cased first if `lowercase`."""

  processor: sentencepiece.SentencePieceProcessor
  lowercase: bool = False

  eos = EOS  # the id that ends a sentence
  unk = UNK  # that of what the vocabulary lacks
  pad = None  # there is none of padding
  special = (BOS, EOS, UNK)  # ids that are no words, in ascending order

  @property
  def vocab_size(self) -> int:
    """Number of ids, the reserved ones included."""
    return self.processor.get_piece_size()

  def encode(self, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line and EOS; all cores work on the batch."""
    texts = [line.lower() if self.lowercase else line for line in lines]
    return self.processor.encode(texts, add_eos=True)

  def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """Text of each sequence up to its first EOS; an unknown piece shows as U+2047."""
    rows = [_content(row) for row in ids]
    return self.processor.decode(rows) if rows else []  # [] alone would be taken for one sentence

  def pieces(self, ids: Sequence[int]) -> list[str]:
    """The pieces as they stand in the vocabulary; U+2581 marks the start of a word."""
    return self.processor.id_to_piece(np.asarray(ids, np.int64).tolist())

  def spans(self, line: str) -> list[tuple[int, int]]:
    """Where each piece of `encode([line])[0]`, EOS left out, lies in `line`.

    Args:
      line: the text as it was before lower-casing and normalisation.

    Returns:
      (start, end) in characters for each piece, without the space in front of a word. The span of
      a lone word mark is empty; the pieces of one character (a ligature) share that character.
    """
    if not self.lowercase:
      return spans.of_pieces(self.processor, line)
    text, origin = _lower(line)
    found = spans.of_pieces(self.processor, text)
    return [(origin[a], origin[b - 1] + 1 if a < b else origin[a]) for a, b in found]


@dataclasses.dataclass(frozen=True)
class Whitespace:
  """A word list for text that is already split into pieces by single spaces."""

  tokens: tuple[str, ...]
  lowercase: bool = False

  eos = EOS  # the id that ends a sentence
  unk = UNK  # that of what the vocabulary lacks
  pad = None  # there is none of padding
  special = (BOS, EOS, UNK)  # ids that are no words, in ascending order

  @property
  def vocab_size(self) -> int:
    """Number of ids, the reserved ones included."""
    return len(self.tokens)

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    # Without the reserved tokens: an `_EOS_` in the text must not end the sentence.
    return {token: i for i, token in enumerate(self.tokens) if i > UNK}

  def encode(self, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line and EOS."""
    rows = (_words(line, self.lowercase) for line in lines)
    return [[*(self._ids.get(word, UNK) for word in words), EOS] for words in rows]

  def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """Tokens of each sequence up to its first EOS, joined by spaces; `_UNK_` stays visible."""
    return [" ".join(self.tokens[i] for i in _content(row)) for row in ids]

  def pieces(self, ids: Sequence[int]) -> list[str]:
    """The tokens as they stand in the vocabulary."""
    return [self.tokens[i] for i in ids]

  def spans(self, line: str) -> list[tuple[int, int]]:
    """(start, end) in characters of each token of `encode([line])[0]` but EOS."""
    return [match.span() for match in re.finditer("[^ ]+", line)]


Tokenizer = SentencePiece | Whitespace | marian_tokenizer.Marian


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
      files[f"{side}.vocab"] = _vocab_bytes(
        side, _count_words(itertools.chain(*parts), vocab_size, lowercase)
      )
    else:
      files[f"{side}.model"] = pieces.train(kind, parts, vocab_size, lowercase, _SIDE_NAMES[side])
  write_files(folder, files | _meta_file(files, kind, shared, lowercase))


def whitespace_files(src_tokens: Sequence[str], tgt_tokens: Sequence[str]) -> dict[str, bytes]:
  """The tokenizer folder of two token lists in id order, reserved tokens first.

  Raises:
    UserError: wrong reserved tokens, an empty or repeated token; names its line, counted from 1.
  """
  files = {
    "src.vocab": _vocab_bytes("src", src_tokens),
    "tgt.vocab": _vocab_bytes("tgt", tgt_tokens),
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
  parse = _parse_vocab if meta["kind"] == "whitespace" else _parse_model
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


def _parse_vocab(data: bytes, lowercase: bool) -> Whitespace:
  # Not splitlines(): a token may hold U+2028 and its like.
  tokens = tuple(data.decode("utf-8").removesuffix("\n").split("\n"))
  if tokens[: len(RESERVED)] != RESERVED:
    raise ValueError(f"its first lines are not {' '.join(RESERVED)}")
  return Whitespace(tokens, lowercase)


def _parse_model(data: bytes, lowercase: bool) -> SentencePiece:
  processor = sentencepiece.SentencePieceProcessor(model_proto=data)
  found = processor.bos_id(), processor.eos_id(), processor.unk_id()
  if found != (BOS, EOS, UNK):
    raise ValueError(f"BOS, EOS and unknown have the ids {found}, not {(BOS, EOS, UNK)}")
  return SentencePiece(processor, lowercase)


def _count_words(lines: Iterable[str], vocab_size: int, lowercase: bool) -> list[str]:
  """The reserved tokens, then words by (frequency, word) descending."""
  counts = collections.Counter()
  for line in lines:
    counts.update(_words(line, lowercase))
  for token in RESERVED:
    del counts[token]
  words = sorted(counts, key=lambda word: (counts[word], word), reverse=True)
  return [*RESERVED, *words][: vocab_size or None]


def _vocab_bytes(side: str, tokens: Sequence[str]) -> bytes:
  where = f"{_SIDE_NAMES[side]} vocabulary"
  if len(tokens) < len(RESERVED):
    raise UserError(f"{where}: {len(tokens)} tokens, but it must start with {' '.join(RESERVED)}")
  lines = {}
  for line, token in enumerate(tokens, start=1):
    if line <= len(RESERVED) and token != RESERVED[line - 1]:
      raise UserError(f"{where}, line {line}: must be {RESERVED[line - 1]}, not {token!r}")
    if not token or "\n" in token:
      raise UserError(f"{where}, line {line}: {token!r} is empty or has a line break")
    if token in lines:
      raise UserError(f"{where}, line {line}: {token!r} is in line {lines[token]} already")
    lines[token] = line
  return "".join(f"{token}\n" for token in tokens).encode("utf-8")


def _words(line: str, lowercase: bool) -> list[str]:
  return [word for word in (line.lower() if lowercase else line).split(" ") if word]


def _lower(line: str) -> tuple[str, list[int]]:
  """The lower-cased line, and for each of its characters (and its end) the index in `line`."""
  # "İ" becomes two characters.
  origin = [i for i, char in enumerate(line) for _ in char.lower()]
  return line.lower(), [*origin, len(line)]


def _content(ids: Sequence[int]) -> list[int]:
  """The ids before the first EOS, without BOS; `ids` may be an array."""
  row = np.asarray(ids, np.int64).tolist()
  if EOS in row:
    row = row[: row.index(EOS)]
  return [i for i in row if i != BOS]
