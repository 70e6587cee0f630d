"""model.safetensors: files that are damaged, tensors that do not fit, and what older files hold."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy

import headprune
from headprune.errors import UserError
from headprune.formats import marian, marian_tensors
from headprune.nn import ops
from tests import recorded
from tests.formats import marian_folder

LAYER = "model.decoder.layers.0"


@pytest.fixture
def folder(tmp_path):
  return marian_folder.make(tmp_path / "hf")


def refuse(folder, message):
  """Checks that the folder is refused with one line, and nothing is written."""
  out = folder.parent / "run"
  with pytest.raises(UserError, match=message) as caught:
    marian.read(folder, out)
  assert "\n" not in str(caught.value) and not out.exists()


def test_every_part_stands_where_it_belongs(folder):
  marian.read(folder, folder.parent / "run")
  params = headprune.load(folder.parent / "run").translator.params
  tensors = safetensors.numpy.load_file(folder / "model.safetensors")
  layer, depth = params["decoder_0"], 6
  # Head 1 owns rows 6 to 12 of q, k and v, and those columns of the output.
  for part, x in enumerate("qkv"):
    rows = tensors[f"{LAYER}.self_attn.{x}_proj.weight"][depth:]
    ours = layer["self_attention"]["qkv_kernel"][:, part, 1]
    np.testing.assert_array_equal(ours, rows.T)
    bias = tensors[f"{LAYER}.self_attn.{x}_proj.bias"][depth:]
    np.testing.assert_array_equal(layer["self_attention"]["qkv_bias"][part, 1], bias)
  for part, x in enumerate("kv"):
    ours = layer["cross_attention"]["kv_kernel"][:, part, 1]
    rows = tensors[f"{LAYER}.encoder_attn.{x}_proj.weight"][depth:]
    np.testing.assert_array_equal(ours, rows.T)
  query = tensors[f"{LAYER}.encoder_attn.q_proj.weight"][:depth]
  np.testing.assert_array_equal(layer["cross_attention"]["q_kernel"][:, 0], query.T)
  out = tensors[f"{LAYER}.encoder_attn.out_proj.weight"][:, depth:]
  np.testing.assert_array_equal(layer["cross_attention"]["out_kernel"][1], out.T)
  np.testing.assert_array_equal(layer["ffn"]["out_kernel"], tensors[f"{LAYER}.fc2.weight"].T)
  scale = tensors[f"{LAYER}.encoder_attn_layer_norm.weight"]
  np.testing.assert_array_equal(layer["cross_norm"]["scale"], scale)
  table = tensors["model.decoder.embed_tokens.weight"]
  np.testing.assert_array_equal(params["tgt_embed"], table)
  np.testing.assert_array_equal(params["logits_kernel"], table.T)
  assert params["src_embed"].shape == (118, 12)


def huge_header(data):
  return struct.pack("<Q", 2**40) + data[8:]


def empty_header(data):
  return struct.pack("<Q", 0) + data[8:]


def other_types(_):
  entry = {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}
  header = json.dumps({"final_logits_bias": entry}).encode()
  return struct.pack("<Q", len(header)) + header + b"1234"


@pytest.mark.parametrize(
  "damage",
  [lambda d: d[:-1], lambda d: d[:100], lambda d: b"", lambda d: d + b"x", huge_header,
   empty_header, other_types, lambda d: b"PK\x03\x04" + d[4:]],
)  # fmt: skip
def test_a_damaged_file_is_named(folder, damage):
  path = folder / "model.safetensors"
  path.write_bytes(damage(path.read_bytes()))
  refuse(folder, r"model.safetensors: damaged, or not a file of plain tensors \(.+\)$")


def test_a_file_that_is_not_there_is_named(folder):
  (folder / "model.safetensors").unlink()
  refuse(folder, "model.safetensors: no such file")
  (folder / "pytorch_model.bin").write_bytes(b"pickle")
  refuse(folder, rf"pytorch_model.bin is a pickle.*from_pretrained\('{folder}'\).save_pretrained")
  (folder / "model.safetensors").mkdir()
  refuse(folder, "model.safetensors: damaged")


def no_tensor(tensors):
  del tensors[f"{LAYER}.encoder_attn.k_proj.bias"]


def one_more(tensors):
  tensors["model.encoder.layers.2.fc1.bias"] = np.zeros(20, np.float32)


def transposed(tensors):
  tensors[f"{LAYER}.fc1.weight"] = tensors[f"{LAYER}.fc1.weight"].T.copy()


def flat_bias(tensors):
  tensors["final_logits_bias"] = tensors["final_logits_bias"][0]


def nan(tensors):
  tensors[f"{LAYER}.final_layer_norm.bias"][3] = np.nan


def infinite(tensors):
  tensors["model.decoder.embed_tokens.weight"][3, 2] = -np.inf


def too_large(tensors):
  tensors[f"{LAYER}.fc2.bias"] = np.full(12, 1e300)


def whole_numbers(tensors):
  tensors[f"{LAYER}.fc2.bias"] = np.zeros(12, np.int8)


def untied(tensors):
  tensors["lm_head.weight"] = tensors["model.decoder.embed_tokens.weight"] + 1


def learned_positions(tensors):
  tensors["model.encoder.embed_positions.weight"] = np.zeros((16, 12), np.float32)


def few_positions(tensors):
  tensors["model.decoder.embed_positions.weight"] = np.zeros((16, 8), np.float32)


@pytest.mark.parametrize(
  "damage, message",
  [
    (no_tensor, r"decoder.layers.0.encoder_attn.k_proj.bias is missing"),
    (one_more, r"model.encoder.layers.2.fc1.bias is superfluous \(1 in all\)"),
    (transposed, r"decoder.layers.0.fc1.weight has shape \(12, 14\), expected \(14, 12\)"),
    (flat_bias, r"final_logits_bias has shape \(83,\), expected \(1, 83\)"),
    (nan, r"decoder.layers.0.final_layer_norm.bias has values that are not finite"),
    (infinite, r"model.decoder.embed_tokens.weight has values that are not finite"),
    (too_large, r"fc2.bias has values that are not finite"),
    (whole_numbers, r"fc2.bias has type int8, expected float32"),
    (untied, r"lm_head.weight is not a copy of model.decoder.embed_tokens.weight"),
    (learned_positions, r"encoder.embed_positions.weight is not MarianMT's table of positions"),
    (few_positions, r"decoder.embed_positions.weight has shape \(16, 8\), expected \(16, 12\)"),
  ],
)
def test_the_wrong_tensor_is_named(folder, damage, message):
  path = folder / "model.safetensors"
  tensors = safetensors.numpy.load_file(path)
  damage(tensors)
  safetensors.numpy.save_file(tensors, path)
  refuse(folder, f"model.safetensors: tensor .*{message}")


def test_other_sizes_than_config_json_says_are_named(folder):
  marian_folder.change(folder / "config.json", encoder_layers=1000)
  refuse(folder, "tensor model.encoder.layers.2.self_attn.q_proj.weight is missing")
  marian_folder.change(folder / "config.json", encoder_layers=1)
  refuse(folder, "tensor model.encoder.layers.1.* is superfluous")


def test_copies_and_position_tables_of_older_files_are_checked_and_left_out():
  config, params = recorded.marian()
  tensors = marian_tensors.to_tensors(config, params)
  shared = tensors["model.shared.weight"]
  older = tensors | dict.fromkeys(
    ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
    shared,
  )
  table = ops.positions(512, 32, "huggingface").astype(np.float16)
  older |= {f"model.{stack}.embed_positions.weight": table for stack in ("encoder", "decoder")}
  ours = marian_tensors.from_tensors(config, older)
  np.testing.assert_array_equal(ours["shared_embed"], params["shared_embed"])
  # A file may hold one of the copies alone.
  del older["model.shared.weight"], older["model.encoder.embed_tokens.weight"]
  ours = marian_tensors.from_tensors(config, older)
  np.testing.assert_array_equal(ours["shared_embed"], params["shared_embed"])
  older["lm_head.weight"] = shared + 1
  with pytest.raises(UserError, match="is not a copy of model.shared.weight"):
    marian_tensors.from_tensors(config, older)
  # The original program's own frequencies are not these.
  other = ops.positions(512, 32, "tensor2tensor")
  with pytest.raises(UserError, match="not MarianMT's table of positions"):
    marian_tensors.from_tensors(config, tensors | {"model.encoder.embed_positions.weight": other})
