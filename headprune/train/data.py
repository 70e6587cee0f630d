"""What a run learns from: its text, its tokenizers, and its pairs as ids, encoded once."""

from collections.abc import Callable
import contextlib
import hashlib
import shutil

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import own_tokenizer
from headprune.runs.config import origin
from headprune.runs.workdir import Workdir
from headprune.text import batching, encoding, overlap, sources, tokenizer
from headprune.train import processes, progress


def load(
  config: ConfigDict, workdir: Workdir, say: Callable[..., None] = processes.print_first
) -> tuple[dict, tuple, dict]:
  """Reads, or makes, what the workdir is to hold; the training text is read only if it must be.

  Args:
    config: checked.
    workdir: takes the tokenizers and the encoded training pairs; the first process writes them.
    say: tells a person what was left out.
  Returns:
    (dev and test as split -> (source lines, target lines), tokenizers, "train" and "dev" -> (Pairs,
    Report)).
  Raises:
    UserError: what is wrong with which file, line or field.
  """
  known = encoding.load(workdir.encoded, _key(config, workdir)) if workdir.is_run() else None
  whole = processes.is_first() and known is None
  splits = sources.SPLITS if whole else ("dev", "test")
  nobody = contextlib.nullcontext(progress.say_nothing)
  with progress.telling() if processes.is_first() else nobody as tell:
    tell("reading the text")
    text = processes.first_before_others(
      "reading text", lambda: sources.read_pairs(config.data, splits)
    )
    train_text = text.pop("train", None)
    tell("making the tokenizer")
    tokenizers = processes.first_before_others(
      "making the tokenizer", lambda: _tokenizers(config, workdir, train_text)
    )
    train = processes.first_before_others(
      "encoding the text",
      lambda: known or _train_pairs(config, workdir, tokenizers, train_text, tell, text),
    )
  found = {
    "train": train,
    "dev": _of("dev", encoding.encode, *text["dev"], tokenizers, config.data.row_length),
  }
  for split, (src_lines, _) in text.items():
    batching.check_lengths(tokenizers[0].encode(src_lines), f"{split} text")
  if workdir.is_run() and whole:
    say(f"the text is encoded anew: {workdir.encoded} is damaged, or of other files")
  for split, (_, report) in found.items():
    say(f"{split}: {report}")
  return text, tokenizers, found


def _tokenizers(config: ConfigDict, workdir: Workdir, train_text) -> tuple:
  """The workdir's tokenizers; those of `init_from` or newly trained ones if it has none."""
  if not workdir.is_run() and processes.is_first():  # what is there is left from a failed start
    shutil.rmtree(workdir.tokenizer, ignore_errors=True)
    start = origin(config)
    if start:
      own_tokenizer.check(start)
      tokenizer.write_files(workdir.tokenizer, tokenizer.read_files(start.tokenizer))
    else:
      c = config.tokenizer
      tokenizer.train(c.kind, *train_text, c.vocab_size, c.shared, c.lowercase, workdir.tokenizer)
  return own_tokenizer.load(workdir) if workdir.is_run() else tokenizer.load(workdir.tokenizer)


def _train_pairs(config: ConfigDict, workdir: Workdir, tokenizers, train_text, tell, held_out):
  """(pairs, report) of the workdir; those of `init_from` if it has the same, or newly encoded."""
  key = _key(config, workdir)
  if processes.is_first():
    start = origin(config)
    if start and encoding.load(start.encoded, key):
      encoding.link(start.encoded, workdir.encoded)
    else:
      seen = overlap.shares(held_out, *train_text)
      length = config.data.row_length
      args = workdir.encoded, key, *train_text, tokenizers, length, tell, seen
      _of("train", encoding.encode_to, *args)
  found = encoding.load(workdir.encoded, key)
  if not found:  # the first process has just made them, of the text that it sees
    raise UserError(
      f"{workdir.encoded}: of other text files than this process sees, by size or time: let all "
      "processes read the same ones (config.data.text.dir)"
    )
  return found


def _of(split: str, encode: Callable, *args):
  """`encode(*args)`; a UserError says of which split it is."""
  try:
    return encode(*args)
  except UserError as error:
    raise UserError(f"{split} text: {error}") from error


def _key(config: ConfigDict, workdir: Workdir) -> dict:
  """What encoded pairs depend on: where the text is from, and the tokenizers' files."""
  digest = hashlib.blake2b(digest_size=16)
  if workdir.tokenizer.is_dir():
    for name, content in sorted(tokenizer.read_files(workdir.tokenizer).items()):
      digest.update(f"{name} {len(content)} ".encode() + content)
  data = config.data.to_dict()
  if data["kind"] != "corpus":  # pairs that were encoded before there was this field stay valid
    data["corpus"].pop("kind")
  return {
    "data": data,
    "files": sources.train_files(config.data),
    "tokenizer": digest.hexdigest(),
  }
