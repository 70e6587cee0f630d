"""What other programs computed, kept in tests/golden: the original's models and MarianMT's."""

import functools
import json
import pathlib

import numpy as np

from headprune.formats import original
from headprune.nn import gates
from headprune.nn.config import ModelConfig, open_gates

GOLDEN = pathlib.Path(__file__).parent / "golden"
KINDS = ("baseline", "concrete")  # models of the original program; the second has gates


@functools.cache
def arrays(name: str) -> dict[str, np.ndarray]:
  """The arrays of a .npz file in tests/golden."""
  with np.load(GOLDEN / name, allow_pickle=False) as record:
    return dict(record)


@functools.cache
def converted(kind: str) -> tuple[ModelConfig, dict]:
  """A model of the original as it was converted: (sizes, {"model": ..., "gates": log_alphas})."""
  hp = json.loads((GOLDEN / kind / "hp.json").read_text())
  return original.from_npz(arrays(f"{kind}/model.npz"), hp)


def model(kind: str) -> tuple[ModelConfig, dict, dict]:
  """A model of the original as at test time: (sizes, parameters, gate values)."""
  config, params = converted(kind)
  return config, params["model"], gates.eval_gates(open_gates(config), params["gates"])


def pairs(record: dict) -> list[list[list[int]]]:
  """[source ids, target ids] with EOS, of a batch that the original recorded."""
  sides = zip((record["inp"], record["out"]), (record["inp_len"], record["out_len"]))
  return [[row[:n].tolist() for row, n in zip(ids, lengths)] for ids, lengths in sides]


@functools.cache
def marian() -> tuple[ModelConfig, dict]:
  """The Hugging Face model: (sizes and choices, parameters)."""
  hf = json.loads((GOLDEN / "marian" / "config.json").read_text())
  size, heads = hf["d_model"], hf["encoder_attention_heads"]
  config = ModelConfig(
    src_vocab=hf["vocab_size"],
    tgt_vocab=hf["vocab_size"],
    model_size=size,
    enc_self=(heads,) * hf["encoder_layers"],
    dec_self=(heads,) * hf["decoder_layers"],
    dec_enc=(heads,) * hf["decoder_layers"],
    enc_head_size=size // heads,
    dec_head_size=size // heads,
    enc_ff_size=hf["encoder_ffn_dim"],
    dec_ff_size=hf["decoder_ffn_dim"],
    share_embeddings=True,
    norm="post",
    final_norms=False,
    norm_epsilon=1e-5,
    activation="silu",
    positions="huggingface",
    source_bias=False,
    logits_bias=True,
    decoder_start=hf["decoder_start_token_id"],
    eos=hf["eos_token_id"],
    pad=hf["pad_token_id"],
  )
  return config, _marian_params(config)


def _marian_params(config: ModelConfig) -> dict:
  """Hugging Face's names and [out, in] matrices -> our tree; head h owns rows hK to (h+1)K."""
  tensors = read_safetensors(GOLDEN / "marian" / "model.safetensors")
  size = config.model_size
  params = {"shared_embed": tensors["model.shared.weight"]}
  params["logits_bias"] = tensors["final_logits_bias"][0]

  def norm(name):
    return {"scale": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]}

  def attention(name, heads, cross):
    kernel = lambda x: tensors[f"{name}.{x}_proj.weight"].T.reshape(size, heads, -1)
    bias = lambda x: tensors[f"{name}.{x}_proj.bias"].reshape(heads, -1)
    fused = "kv" if cross else "qkv"
    part = {
      f"{fused}_kernel": np.stack([kernel(x) for x in fused], axis=1),
      f"{fused}_bias": np.stack([bias(x) for x in fused]),
      "out_kernel": tensors[f"{name}.out_proj.weight"].T.reshape(heads, -1, size),
      "out_bias": tensors[f"{name}.out_proj.bias"],
    }
    return part | ({"q_kernel": kernel("q"), "q_bias": bias("q")} if cross else {})

  def layer(name, self_heads):
    dense = {"in": "fc1", "out": "fc2"}
    ffn = {f"{ours}_kernel": tensors[f"{name}.{fc}.weight"].T for ours, fc in dense.items()}
    return {
      "self_attention": attention(f"{name}.self_attn", self_heads, cross=False),
      "self_norm": norm(f"{name}.self_attn_layer_norm"),
      "ffn": ffn | {f"{ours}_bias": tensors[f"{name}.{fc}.bias"] for ours, fc in dense.items()},
      "ffn_norm": norm(f"{name}.final_layer_norm"),
    }

  for n, heads in enumerate(config.enc_self):
    params[f"encoder_{n}"] = layer(f"model.encoder.layers.{n}", heads)
  for n, (heads, cross_heads) in enumerate(zip(config.dec_self, config.dec_enc)):
    name = f"model.decoder.layers.{n}"
    params[f"decoder_{n}"] = layer(name, heads) | {
      "cross_attention": attention(f"{name}.encoder_attn", cross_heads, cross=True),
      "cross_norm": norm(f"{name}.encoder_attn_layer_norm"),
    }
  return params


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Name -> array of a float32 file: the header's length, the header in JSON, the raw arrays."""
  data = path.read_bytes()
  first = 8 + int.from_bytes(data[:8], "little")
  tensors = {}
  for name, entry in json.loads(data[8:first]).items():
    if name != "__metadata__":
      assert entry["dtype"] == "F32", name
      start, stop = entry["data_offsets"]
      flat = np.frombuffer(data[first + start : first + stop], "<f4")
      tensors[name] = flat.reshape(entry["shape"])
  return tensors
