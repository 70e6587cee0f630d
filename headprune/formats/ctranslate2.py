"""Any run as a model of CTranslate2, an inference engine for CPUs and GPUs.

The format has one head count for a whole stack: the encoder, and the decoder with both its
attentions. Heads that a layer lacks are filled up with zeros, so that only the largest count of a
stack makes the engine faster. Gates are folded in; the source bias is a part of the position table.
Padding that a vocabulary has takes no part of the probability there. The engine reads and writes
pieces, of text that is lower-cased first where the run does that:

  import ctranslate2, sentencepiece
  engine = ctranslate2.Translator("x-ct2")
  # or src.model and tgt.model; of a MarianMT model source.spm and target.spm
  pieces = sentencepiece.SentencePieceProcessor(model_file="x-ct2/tokenizer/shared.model")
  lines = ["ein mann schläft auf einem grünen sofa."]
  found = engine.translate_batch(pieces.encode(lines, out_type=str), beam_size=4)
  print(*pieces.decode([one.hypotheses[0] for one in found]), sep="\\n")

What a multilingual MarianMT model reads first, such as >>deu<<, is one piece, which SentencePiece
would split: [">>deu<<", *pieces.encode(line, out_type=str)].
"""

import pathlib

import jax
import numpy as np

from headprune.errors import UserError
from headprune.nn import ops
from headprune.nn.config import ModelConfig
from headprune.prune.cut import cut, pad
from headprune.runs.run import Run
from headprune.runs.workdir import new_folder
from headprune.text import tokenizer
from headprune.translator.translator import Translator

QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int16", "float16", "bfloat16", "float32")
MAX_POSITIONS = 2048  # tokens of a sentence at most


def write(run: Run, out: pathlib.Path, quantization: str | None = None) -> str:
  """Writes a run for CTranslate2: model.bin, config.json, vocabularies, and the tokenizer's files.

  Args:
    run: gated, fixed, dense or compact, of any architecture but post-norm with final norms.
    out: folder to make.
    quantization: one of QUANTIZATIONS; None keeps float32.
  Returns:
    What was written, and which heads the format could not leave out.
  Raises:
    UserError: `out` is in use, a package is not there, or the format has no such model.
  """
  specs = _package().specs
  if run.translator.config.norm == "post" and run.translator.config.final_norms:
    raise UserError("CTranslate2 has no post-norm model with final norms")
  small = cut(run.translator)
  even = pad(small, even_heads(small.config))
  spec = _spec(specs, even)
  _register_vocabularies(spec, run)
  spec.validate()
  try:
    spec.optimize(quantization=quantization)
  except RuntimeError as error:  # bfloat16 is made by PyTorch
    raise UserError(f"CTranslate2, {quantization}: {error}, or choose another type") from error
  files = tokenizer.read_files(run.workdir.tokenizer)
  with new_folder(out) as draft:
    spec.save(str(draft))
    tokenizer.write_files(draft / "tokenizer", files)
  return "\n".join([
    f"{out}: a CTranslate2 model, {quantization or 'float32'}", *_padded(small, even), _usage(run)
  ])  # fmt: skip


def even_heads(config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Head counts as the format can hold them: one for each stack, at least 1."""
  encoder = max(1, *config.enc_self)
  decoder = max(1, *config.dec_self, *config.dec_enc)
  counts = {"enc_self": encoder, "dec_self": decoder, "dec_enc": decoder}
  return {name: (counts[name],) * len(heads) for name, heads in config.heads.items()}


def _padded(small: Translator, even: Translator) -> list[str]:
  """A line for each attention type that has to be filled up."""
  lines = []
  for name, counts in even.config.heads.items():
    missing = sum(counts) - sum(small.config.heads[name])
    if missing:
      lines.append(
        f"  {name}: {missing} zero heads added, since all layers of a stack have as many heads "
        f"({counts[0]})"
      )
  return lines


def _usage(run: Run) -> str:
  """What the engine reads and writes."""
  first = ", lower-cased first" if run.config.tokenizer.lowercase else ""
  pieces = run.src_tokenizer.pieces(range(run.src_tokenizer.vocab_size))
  prefix = next((piece for piece in pieces if piece[:2] == ">>" and piece[-2:] == "<<"), "")
  behind = f", behind the language's own, such as {prefix}" if prefix else ""
  return f"  it translates pieces, which the files in tokenizer/ make of a line{first}{behind}"


def engine(folder: pathlib.Path, compute_type: str, threads: int):
  """The engine's own translator of a folder that `write` made.

  Args:
    folder: see `write`.
    compute_type: one of QUANTIZATIONS.
    threads: cores to use for a batch.
  Raises:
    UserError: the processor does not compute in that type.
  """
  package = _package()
  try:
    return package.Translator(str(folder), compute_type=compute_type, intra_threads=threads)
  except ValueError as error:
    known = ", ".join(sorted(package.get_supported_compute_types("cpu")))
    raise UserError(f"CTranslate2: {error} This processor has {known}: choose one") from error


def _package():
  try:
    import ctranslate2
    import ctranslate2.specs
  except ImportError as error:
    raise UserError(
      f"CTranslate2 is not installed ({error}): pip install 'headprune[ctranslate2]'"
    ) from error
  return ctranslate2


def _spec(specs, model: Translator):
  """The engine's description of a model, filled with its arrays."""
  c, params = model.config, jax.tree.map(lambda x: np.asarray(x, np.float32), model.params)
  activations = {"relu": "RELU", "silu": "SWISH", "gelu": "GELU"}
  common = {
    "pre_norm": c.norm == "pre",
    "no_final_norm": not c.final_norms,
    "activation": getattr(specs.Activation, activations[c.activation]),
  }
  encoder = specs.TransformerEncoderSpec(
    c.enc_layers, c.enc_self[0], head_dim=c.enc_head_size, **common
  )
  decoder = specs.TransformerDecoderSpec(
    c.dec_layers, c.dec_self[0], head_dim=c.dec_head_size, **common
  )
  for name, stack in (("encoder", encoder), ("decoder", decoder)):
    stack.scale_embeddings = c.scale_embeddings
    for n, layer in enumerate(stack.layer):
      _fill_layer(layer, params[f"{name}_{n}"])
    if c.final_norms:
      _fill_norm(stack.layer_norm, params[f"{name[:3]}_norm"])
  signal_SD = ops.positions(MAX_POSITIONS, c.model_size, c.positions)
  shared = params.get("shared_embed")
  encoder.embeddings[0].weight = params["src_embed"] if shared is None else shared
  encoder.position_encodings.encodings = signal_SD + params.get("src_bias", np.float32(0))[None]
  decoder.embeddings.weight = params["tgt_embed"] if shared is None else shared
  decoder.position_encodings.encodings = signal_SD
  decoder.start_from_zero_embedding = c.decoder_start is None
  decoder.projection.weight = params["logits_kernel"].T if shared is None else shared
  decoder.projection.bias = _logits_bias(c, params)
  return specs.TransformerSpec(encoder, decoder)


def _logits_bias(config: ModelConfig, params: dict) -> np.ndarray:
  """The bias of the words' scores; padding gets one that it is never emitted with."""
  bias_V = np.array(params.get("logits_bias", np.zeros(config.tgt_vocab, np.float32)))
  if config.pad is not None:
    bias_V[config.pad] = -1e9
  return bias_V


def _fill_layer(layer, params: dict) -> None:
  """An encoder or decoder layer."""
  own = params["self_attention"]
  _fill_norm(layer.self_attention.layer_norm, params["self_norm"])
  fused, out = layer.self_attention.linear
  _fill_linear(fused, own["qkv_kernel"], own["qkv_bias"])
  _fill_out(out, own)
  if "cross_attention" in params:
    cross = params["cross_attention"]
    _fill_norm(layer.attention.layer_norm, params["cross_norm"])
    query, memory, out = layer.attention.linear
    _fill_linear(query, cross["q_kernel"], cross["q_bias"])
    _fill_linear(memory, cross["kv_kernel"], cross["kv_bias"])
    _fill_out(out, cross)
  ffn = params["ffn"]
  _fill_norm(layer.ffn.layer_norm, params["ffn_norm"])
  _fill_linear(layer.ffn.linear_0, ffn["in_kernel"], ffn["in_bias"])
  _fill_linear(layer.ffn.linear_1, ffn["out_kernel"], ffn["out_bias"])


def _fill_norm(spec, params: dict) -> None:
  spec.gamma, spec.beta = params["scale"], params["bias"]


def _fill_linear(spec, kernel, bias) -> None:
  """A matrix of inputs x anything; the engine has outputs x inputs."""
  spec.weight = np.ascontiguousarray(kernel.reshape(kernel.shape[0], -1).T)
  spec.bias = bias.reshape(-1)


def _fill_out(spec, params: dict) -> None:
  """An attention's output projection, whose inputs are heads x channels."""
  kernel = params["out_kernel"]
  _fill_linear(spec, kernel.reshape(-1, kernel.shape[-1]), params["out_bias"])


def _register_vocabularies(spec, run: Run) -> None:
  """Pieces in id order, and which of them are special."""
  c = run.translator.config
  sides = run.src_tokenizer, run.tgt_tokenizer
  source, target = (side.pieces(range(side.vocab_size)) for side in sides)
  spec.register_source_vocabulary(source)
  spec.register_target_vocabulary(target)
  spec.config.unk_token = target[run.tgt_tokenizer.unk]
  spec.config.eos_token = target[c.eos]
  spec.config.bos_token = target[c.eos if c.decoder_start is None else c.decoder_start]
  spec.config.decoder_start_token = spec.config.bos_token
  spec.config.add_source_eos = True
  spec.config.layer_norm_epsilon = c.norm_epsilon
