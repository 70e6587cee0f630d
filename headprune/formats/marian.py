"""MarianMT models (opus-mt) of Hugging Face's transformers, from and to runs.

A run that came from such a folder keeps its tokenizer's files as they are, and so does whatever is
pruned or trained on from it. Read are config.json, model.safetensors, source.spm, target.spm,
vocab.json and, where they are there, target_vocab.json, tokenizer_config.json and
generation_config.json. Where vocabularies are separate, training unties target embedding and output
layer, which are one table there: freeze both (optim.rules) to export the run.
"""

import json
import pathlib

import safetensors
import safetensors.numpy

from headprune.errors import UserError
from headprune.formats import marian_config, marian_tensors
from headprune.nn.config import TYPES, ModelConfig, open_gates
from headprune.prune.cut import cut, pad
from headprune.runs import derived, presets, validation
from headprune.runs import run as run_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import check_unused, new_folder
from headprune.text import marian_tokenizer, pieces, tokenizer
from headprune.translator.translator import Translator

_KNOWN = 0.5  # of a SentencePiece model's pieces; nearly all where nothing was mixed up

_PICKLE = (
  "is a pickle, which may run any code when it is read; where you trust it, transformers makes "
  'model.safetensors of it: python -c "from transformers import MarianMTModel as M; '
  "M.from_pretrained('{0}').save_pretrained('{0}')\""
)


def read(folder: pathlib.Path, out: pathlib.Path) -> str:
  """Makes a run of a MarianMT model; nothing is written before all is read.

  Args:
    folder: config.json, model.safetensors, source.spm, target.spm, vocab.json; target_vocab.json,
      tokenizer_config.json and generation_config.json if there are any.
    out: folder to make.
  Returns:
    A line that says what was converted.
  Raises:
    UserError: a file, a field or a tensor cannot be used, or `out` is in use.
  """
  check_unused(out)
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder")
  hf = marian_config.read(folder)
  tokenizers = marian_tokenizer.load(folder)
  _check_pieces(folder, *tokenizers)
  marian_config.check_vocabularies(folder / "config.json", hf, *tokenizers)
  shared = tokenizers[0].tokens == tokenizers[1].tokens
  config = marian_config.run_config(hf, shared)
  validation.validate(config)
  model = derived.model_config(config.model, tokenizers)
  weights = folder / "model.safetensors"
  if not weights.exists() and (folder / "pytorch_model.bin").exists():
    raise UserError(f"{folder / 'pytorch_model.bin'} {_PICKLE.format(folder)}")
  params = marian_tensors.read(weights, model)
  translator = Translator(model, params, open_gates(model))
  files = tokenizer.marian_files(folder, shared)
  run_lib.write(out, config, files, translator, {}, Summary("converted", str(folder)))
  vocabularies = f"{model.src_vocab:,}" + (f" and {model.tgt_vocab:,}" if not shared else "")
  return (
    f"{out}: {model.enc_layers}+{model.dec_layers} layers, D {model.model_size}, "
    f"{model.enc_self[0]} and {model.dec_self[0]} heads, vocabulary {vocabularies}"
  )


def _check_pieces(folder: pathlib.Path, *sides: marian_tokenizer.Marian) -> None:
  """Raises a UserError if most words would be unknown, for a file is another model's."""
  target = "vocab.json" if sides[0].tokens == sides[1].tokens else "target_vocab.json"
  for side, name, vocabulary in zip(sides, ("source.spm", "target.spm"), ("vocab.json", target)):
    if side.known < _KNOWN:
      raise UserError(
        f"{folder / name}: {side.known:.0%} of its pieces are in {vocabulary}: one of these files "
        "is another model's"
      )


def write(run: run_lib.Run, out: pathlib.Path) -> str:
  """Writes a run as a folder that transformers loads.

  Gates are folded in. A layer has as many heads there as the model began with: those that are cut
  or closed are zeros, which changes no output and makes nothing faster.

  Args:
    run: gated, fixed, dense or compact, of this architecture.
    out: folder to make.
  Returns:
    A line that says what was written.
  Raises:
    UserError: `out` is in use, or MarianMT cannot hold such a model or tokenizer.
  """
  _check(run.translator.config)
  files = _tokenizer_files(run)
  small = cut(run.translator)
  whole = pad(small, _whole_layers(small.config))
  tensors = marian_tensors.to_tensors(whole.config, whole.params)
  with new_folder(out) as draft:
    for name, data in files.items():
      (draft / name).write_bytes(data)
    fields = marian_config.written(
      whole.config, *marian_tokenizer.load(draft), run.config.eval.beams
    )
    for name, content in zip(("config.json", "generation_config.json"), fields):
      (draft / name).write_bytes(_json_bytes(content))
    _save(tensors, draft / "model.safetensors")
  zeros = sum(sum(whole.config.heads[name]) - sum(small.config.heads[name]) for name in TYPES)
  heads = f", {zeros} heads are zeros" if zeros else ""
  return (
    f"{out}: model.safetensors ({len(tensors)} tensors{heads}), config.json, {', '.join(files)}"
  )


def _save(tensors: dict, path: pathlib.Path) -> None:
  try:
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
  except safetensors.SafetensorError as error:
    raise OSError(str(error)) from error  # what it was


def _check(config: ModelConfig) -> None:
  """Raises a UserError for the first choice that MarianMT does not know."""
  for name, value in presets.MARIAN.items():
    if getattr(config, name) != value:
      raise UserError(f"config.model.{name}={getattr(config, name)!r}: MarianMT has {value!r} only")
  if config.decoder_start is None:
    raise UserError("config.model.decoder_start=-1: MarianMT reads an id before the first token")
  for name, whole in _whole_layers(config).items():
    for n, counts in enumerate(zip(config.heads[name], whole)):
      if counts[0] > counts[1]:
        raise UserError(
          f"layer {n + 1} of {name} has {counts[0]} heads: MarianMT has D / head size, {counts[1]}"
        )


def _whole_layers(config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """The heads of layers of which nothing was cut."""
  depths = {"enc": config.enc_head_size, "dec": config.dec_head_size}
  return {
    name: (config.model_size // depths[name[:3]],) * len(counts)
    for name, counts in config.heads.items()
  }


def _tokenizer_files(run: run_lib.Run) -> dict[str, bytes]:
  """What MarianTokenizer reads: a converted run's files, or those of what was trained here."""
  sides = run.src_tokenizer, run.tgt_tokenizer
  if isinstance(sides[1], marian_tokenizer.Marian):
    files = tokenizer.read_files(run.workdir.tokenizer)
    return {name: data for name, data in files.items() if name in marian_tokenizer.FILES}
  if not all(isinstance(side, pieces.SentencePiece) and not side.lowercase for side in sides):
    raise UserError(
      f"config.tokenizer.kind={run.config.tokenizer.kind!r}, lowercase="
      f"{run.config.tokenizer.lowercase}: MarianMT has SentencePiece models that keep the case"
    )
  models = [side.processor.serialized_model_proto() for side in sides]
  src, tgt = (_vocabulary(side) for side in sides)
  settings = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": src != tgt}
  files = {"source.spm": models[0], "target.spm": models[1]}
  files |= {"vocab.json": _json_bytes(src), "tokenizer_config.json": _json_bytes(settings)}
  return files | ({"target_vocab.json": _json_bytes(tgt)} if src != tgt else {})


def _vocabulary(side: pieces.SentencePiece) -> dict[str, int]:
  """Piece -> id of a SentencePiece model made here, its reserved pieces under MarianMT's names."""
  special = marian_tokenizer.PAD, marian_tokenizer.EOS, marian_tokenizer.UNK
  tokens = [*special, *side.pieces(range(len(special), side.vocab_size))]
  ids = {token: i for i, token in enumerate(tokens)}
  if len(ids) < len(tokens):
    raise UserError(f"config.tokenizer: one of {', '.join(special)} is an ordinary piece here")
  return ids


def _json_bytes(content: dict) -> bytes:
  return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
