"""The tokenizer of MarianMT models (opus-mt): pieces from SentencePiece, ids from vocab.json.

As transformers has it: a prefix `>>xxx<<` (the target language of a multilingual model) is one
token, what vocab.json lacks is `<unk>`, a sentence ends in `</s>`. Where sacremoses is installed,
transformers (5.24) makes a Moses punctuation normaliser, but does not apply it; neither is it here.
Two things are otherwise: `</s>`, `<pad>` and `<unk>` in a text are text here, special tokens there;
and decoding shows an unknown piece as U+2047, which transformers leaves out or shows as `<unk>`.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import pathlib
import re

import numpy as np
import sentencepiece

from headprune.errors import UserError
from headprune.files import check_fetched, read_json
from headprune.text import spans

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
FILES = ("source.spm", "target.spm", "vocab.json", "target_vocab.json", "tokenizer_config.json")

_PREFIX = re.compile(">>.*?<<", re.DOTALL)
# Fields of tokenizer_config.json that may have no other value, or null.
_REQUIRED = {
  "eos_token": EOS,
  "unk_token": UNK,
  "pad_token": PAD,
  "sp_model_kwargs": {},
  "tokenizer_class": "MarianTokenizer",
  "additional_special_tokens": [],
  "extra_special_tokens": [],
}
_IGNORED = (  # say where files are, how other programs pad, or what sacremoses is told
  "source_lang", "target_lang", "model_max_length", "clean_up_tokenization_spaces", "backend",
  "name_or_path", "_name_or_path", "special_tokens_map_file", "target_vocab_file", "vocab",
  "source_spm", "target_spm", "is_local", "local_files_only", "processor_class",
  "return_tensors", "padding_side", "truncation_side", "model_input_names", "use_fast",
  "_commit_hash", "transformers_version",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Marian:
  """One side's SentencePiece model and vocabulary."""

  processor: sentencepiece.SentencePieceProcessor
  tokens: tuple[str, ...]  # in id order

  @property
  def vocab_size(self) -> int:
    """Number of ids, the special ones included."""
    return len(self.tokens)

  @functools.cached_property
  def eos(self) -> int:
    """The id that ends a sentence."""
    return self.tokens.index(EOS)

  @functools.cached_property
  def unk(self) -> int:
    """The id of what the vocabulary lacks."""
    return self.tokens.index(UNK)

  @functools.cached_property
  def pad(self) -> int:
    """The id of padding, of which no sentence has any."""
    return self.tokens.index(PAD)

  @functools.cached_property
  def known(self) -> float:
    """Share of the SentencePiece model's pieces that are in the vocabulary."""
    model, ids = self.processor, range(self.processor.get_piece_size())
    none = model.is_control, model.is_unknown, model.is_unused, model.is_byte
    pieces = [model.id_to_piece(i) for i in ids if not any(is_none(i) for is_none in none)]
    return len(set(pieces).intersection(self.tokens)) / max(len(pieces), 1)

  @property
  def special(self) -> tuple[int, ...]:
    """Ids that are no words, in ascending order."""
    return tuple(sorted((self.eos, self.unk, self.pad)))

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    # Without the special tokens: a `</s>` in the text must not end the sentence.
    special = (EOS, PAD)
    return {token: i for i, token in enumerate(self.tokens) if token not in special}

  def encode(self, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line and EOS."""
    prefixes = [_prefix(line) for line in lines]
    rests = [line[len(prefix) :] for line, prefix in zip(lines, prefixes)]
    rows = [[prefix] * bool(prefix) for prefix in prefixes]
    for row, pieces in zip(rows, self.processor.encode(rests, out_type=str)):
      row.extend(pieces)
    return [[*(self._ids.get(piece, self.unk) for piece in row), self.eos] for row in rows]

  def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """Text of each sequence up to its first EOS, padding left out."""
    rows = []
    for row in ids:
      row = np.asarray(row, np.int64).tolist()
      end = row.index(self.eos) if self.eos in row else len(row)
      rows.append([self.tokens[i] for i in row[:end] if i != self.pad])
    # One by one: of a batch whose first row is empty, SentencePiece 0.2.0 expects ids. Pieces that
    # the model does not know keep the visible space.
    return [self.processor.decode(row).replace(spans.SPACE, " ").strip() for row in rows]

  def pieces(self, ids: Sequence[int]) -> list[str]:
    """The pieces as they stand in the vocabulary; U+2581 marks the start of a word."""
    return [self.tokens[i] for i in ids]

  def spans(self, line: str) -> list[tuple[int, int]]:
    """(start, end) in characters of each piece of `encode([line])[0]` but EOS."""
    first = len(_prefix(line))
    found = spans.of_pieces(self.processor, line[first:])
    return [(0, first)] * bool(first) + [(first + start, first + end) for start, end in found]


def _prefix(line: str) -> str:
  """The `>>xxx<<` that a line starts with, or ""."""
  match = _PREFIX.match(line)
  return match.group() if match else ""


def load(folder: pathlib.Path) -> tuple[Marian, Marian]:
  """The (source, target) tokenizers of a folder that holds FILES.

  Vocabularies are separate where tokenizer_config.json says so, or, if it does not say anything,
  where there is a target_vocab.json.

  Raises:
    UserError: a file is missing or damaged, or asks for what is not done here; names it.
  """
  settings = _read_settings(folder / "tokenizer_config.json")
  separate = settings.get("separate_vocabs")
  if separate is None:
    separate = (folder / "target_vocab.json").exists()
  src = read_vocabulary(folder / "vocab.json")
  tgt = read_vocabulary(folder / "target_vocab.json") if separate else src
  _check_added(settings, folder, src)
  return (
    Marian(_read_model(folder / "source.spm"), src),
    Marian(_read_model(folder / "target.spm"), tgt),
  )


def read_vocabulary(path: pathlib.Path) -> tuple[str, ...]:
  """The tokens of a vocab.json in id order.

  Raises:
    UserError: it is not there, not token -> id, or its ids are not 0, 1, 2, ...
  """
  ids = read_object(path)
  tokens = [None] * len(ids)
  for token, i in ids.items():
    if type(i) is not int:
      raise UserError(f"{path}: the id of {token!r} is {i!r}, not a whole number")
    if not 0 <= i < len(ids):
      raise UserError(f"{path}: {token!r} has id {i}, but the {len(ids)} ids must be 0, 1, 2, ...")
    if tokens[i] is not None:
      raise UserError(f"{path}: {tokens[i]!r} and {token!r} have the same id {i}")
    tokens[i] = token
  for token in (EOS, UNK, PAD):
    if token not in ids:
      raise UserError(f"{path}: no token is {token!r}")
  return tuple(tokens)


def read_object(path: pathlib.Path) -> dict:
  """A JSON object in which no name is given twice.

  Raises:
    UserError: it is not there, or it is something else.
  """

  def unique(pairs):
    result = {}
    for name, value in pairs:
      if name in result:
        raise UserError(f"{path}: {name!r} is given twice")
      result[name] = value
    return result

  content = read_json(path, unique)
  if not isinstance(content, dict):
    raise UserError(f"{path}: expected a JSON object")
  return content


def _read_settings(path: pathlib.Path) -> dict:
  """tokenizer_config.json, {} without one; what would tokenize otherwise is refused."""
  settings = read_object(path) if path.exists() else {}
  for field, value in settings.items():
    content = value.get("content", value) if isinstance(value, dict) else value
    if field in _REQUIRED:
      if content not in (None, {}, [], _REQUIRED[field]):
        raise UserError(f"{path}: {field}={value!r}: only {_REQUIRED[field]!r} can be converted")
    elif field == "separate_vocabs":
      if value not in (None, True, False):
        raise UserError(f"{path}: {field}={value!r} is not true or false")
    elif field not in ("added_tokens_decoder", *_IGNORED):
      raise UserError(f"{path}: {field}={value!r} is not known here; remove it if nothing needs it")
  return settings


def _check_added(settings: Mapping, folder: pathlib.Path, tokens: tuple[str, ...]) -> None:
  """Raises a UserError for tokens that transformers would cut out of the text besides the three."""
  path = folder / "added_tokens.json"
  added = list(read_object(path).items()) if path.exists() else []
  listed = settings.get("added_tokens_decoder") or {}
  if isinstance(listed, dict):
    added += [(t.get("content") if isinstance(t, dict) else t, i) for i, t in listed.items()]
  else:
    added.append((listed, None))
  for token, i in added:
    if token not in (EOS, UNK, PAD) or str(i) != str(tokens.index(token)):
      raise UserError(f"{folder}: added token {token!r} with id {i} is not one of vocab.json's own")


def _read_model(path: pathlib.Path) -> sentencepiece.SentencePieceProcessor:
  try:
    data = path.read_bytes()
    check_fetched(path, data)
    if data:
      return sentencepiece.SentencePieceProcessor(model_proto=data)
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except (OSError, RuntimeError):
    pass
  raise UserError(f"{path}: damaged, or not a SentencePiece model")
