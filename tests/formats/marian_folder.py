"""MarianMT folders of random weights, to be converted: two vocabularies, two sizes."""

import json
import pathlib
import shutil

import numpy as np
import safetensors.numpy

from tests.recorded import GOLDEN

SPECIAL = ("</s>", "<unk>", "<pad>")
FIELDS = {
  "model_type": "marian", "activation_function": "swish", "scale_embedding": True,
  "share_encoder_decoder_embeddings": False, "tie_word_embeddings": True,
  "vocab_size": 118, "decoder_vocab_size": 83, "d_model": 12,
  "encoder_layers": 2, "encoder_ffn_dim": 20, "encoder_attention_heads": 3,
  "decoder_layers": 1, "decoder_ffn_dim": 14, "decoder_attention_heads": 2,
  "eos_token_id": 0, "pad_token_id": 82, "decoder_start_token_id": 82,
}  # fmt: skip


def make(folder: pathlib.Path, **changes) -> pathlib.Path:
  """Writes such a folder.

  Args:
    folder: made here.
    **changes: fields of config.json; None leaves one out. With shared embeddings, there is one
      vocabulary.
  Returns:
    the folder.
  """
  fields = FIELDS | changes
  if fields["share_encoder_decoder_embeddings"]:
    same = dict.fromkeys(("pad_token_id", "decoder_start_token_id"), 117)
    fields |= {"decoder_vocab_size": 118} | same | changes
  folder.mkdir()
  for name in ("source.spm", "target.spm", "vocab.json"):
    shutil.copy(GOLDEN / "marian" / name, folder / name)
  if not fields["share_encoder_decoder_embeddings"]:
    write_json(folder / "target_vocab.json", target_vocabulary())
  write_json(folder / "config.json", {k: v for k, v in fields.items() if v is not None})
  safetensors.numpy.save_file(random_tensors(fields), folder / "model.safetensors")
  return folder


def target_vocabulary() -> dict[str, int]:
  """80 of the pieces in another order than in vocab.json, between the special tokens."""
  pieces = [p for p in read_json(GOLDEN / "marian" / "vocab.json") if p not in SPECIAL]
  return {piece: i for i, piece in enumerate([*SPECIAL[:2], *pieces[79::-1], SPECIAL[2]])}


def random_tensors(fields: dict) -> dict[str, np.ndarray]:
  """Random weights under transformers' names, for fields of config.json."""
  size, target = fields["d_model"], fields["decoder_vocab_size"]
  shapes = {"final_logits_bias": (1, target)}
  if fields["share_encoder_decoder_embeddings"]:
    shapes["model.shared.weight"] = (target, size)
  else:
    shapes["model.encoder.embed_tokens.weight"] = (fields["vocab_size"], size)
    shapes["model.decoder.embed_tokens.weight"] = (target, size)
  for stack, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
    hidden = fields[f"{stack}_ffn_dim"]
    for n in range(fields[f"{stack}_layers"]):
      name = f"model.{stack}.layers.{n}"
      for norm in (*(f"{x}_layer_norm" for x in attentions), "final_layer_norm"):
        shapes |= {f"{name}.{norm}.weight": (size,), f"{name}.{norm}.bias": (size,)}
      dense = {f"{x}.{p}_proj": (size, size) for x in attentions for p in ("q", "k", "v", "out")}
      for key, shape in (dense | {"fc1": (hidden, size), "fc2": (size, hidden)}).items():
        shapes |= {f"{name}.{key}.weight": shape, f"{name}.{key}.bias": shape[:1]}
  rng = np.random.default_rng(0)
  draw = lambda name, shape: 0.4 * rng.normal(size=shape) + name.endswith("norm.weight")
  return {name: draw(name, shape).astype(np.float32) for name, shape in sorted(shapes.items())}


def read_json(path: pathlib.Path):
  return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: pathlib.Path, content) -> None:
  path.write_text(json.dumps(content), encoding="utf-8")


def change(path: pathlib.Path, **fields) -> None:
  """Changes fields of a JSON file; None takes one out."""
  content = read_json(path) | fields
  write_json(path, {name: value for name, value in content.items() if value is not None})
