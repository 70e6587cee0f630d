"""config.json and generation_config.json of a MarianMT model, from and to a run's config."""

from collections.abc import Mapping
import pathlib

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.nn.config import ModelConfig
from headprune.runs import defaults, presets
from headprune.text.marian_tokenizer import Marian, read_object

_ACTIVATIONS = {"swish": "silu", "silu": "silu", "relu": "relu", "gelu": "gelu"}
_SIZES = (  # counts that must be given
  "d_model", "vocab_size", "encoder_layers", "encoder_ffn_dim", "encoder_attention_heads",
  "decoder_layers", "decoder_ffn_dim", "decoder_attention_heads",
)  # fmt: skip
_MOST = {"encoder_layers": 1000, "decoder_layers": 1000}
# Fields that may be left out, with what transformers takes then.
_DEFAULTS = {
  "activation_function": "gelu",
  "decoder_vocab_size": None,
  "share_encoder_decoder_embeddings": True,
  "scale_embedding": False,
  "decoder_start_token_id": 58100,
  "pad_token_id": 58100,
  "eos_token_id": 0,
  "forced_eos_token_id": 0,
  "bad_words_ids": None,
  "num_beams": None,
  "dropout": 0.1,
  "attention_dropout": 0.0,
  "activation_dropout": 0.0,
}
# Fields that may only have one value: others would compute something else, or search otherwise.
_REQUIRED = {
  "model_type": "marian",
  "is_encoder_decoder": True,
  "is_decoder": False,
  "add_cross_attention": False,
  "cross_attention_hidden_size": None,
  "tie_encoder_decoder": False,
  "tie_word_embeddings": True,
  "normalize_before": False,
  "normalize_embedding": False,
  "add_final_layer_norm": False,
  "static_position_embeddings": True,
  "pruned_heads": {},
  "prefix": None,
  "task_specific_params": None,
  "forced_bos_token_id": None,
  "do_sample": False,
  "num_beam_groups": 1,
  "diversity_penalty": 0.0,
  "repetition_penalty": 1.0,
  "encoder_no_repeat_ngram_size": 0,
  "no_repeat_ngram_size": 0,
  "min_length": 0,
  "min_new_tokens": None,
  "suppress_tokens": None,
  "begin_suppress_tokens": None,
  "exponential_decay_length_penalty": None,
  "remove_invalid_values": False,
  "sequence_bias": None,
  "guidance_scale": None,
}
_IGNORED = (  # say how a model was trained, stored or is run, or rule a search with its own rules
  "_from_model_config", "_name_or_path", "_num_labels", "add_bias_logits", "architectures",
  "attn_implementation", "_attn_implementation_autoset", "bos_token_id", "cache_implementation",
  "chunk_size_feed_forward", "classif_dropout", "classifier_dropout", "decoder_layerdrop", "dtype",
  "early_stopping", "encoder_layerdrop", "extra_pos_embeddings", "finetuning_task",
  "force_bos_token_to_be_generated", "gradient_checkpointing", "id2label", "init_std", "label2id",
  "length_penalty", "max_length", "max_new_tokens", "max_position_embeddings", "num_hidden_layers",
  "num_labels", "num_return_sequences", "output_attentions", "output_hidden_states",
  "output_past", "output_scores", "problem_type", "renormalize_logits", "return_dict",
  "return_dict_in_generate", "save_step", "sep_token_id", "temperature", "tf_legacy_loss",
  "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript", "transformers_version",
  "typical_p", "use_bfloat16", "use_cache",
)  # fmt: skip


def read(folder: pathlib.Path) -> dict:
  """The fields of both files that tell what is computed.

  Args:
    folder: of the model; it may lack generation_config.json.
  Returns:
    all of _SIZES and _DEFAULTS; decoder_vocab_size is resolved.
  Raises:
    UserError: a file cannot be read; a field is missing, unknown or asks for something else.
  """
  path = folder / "config.json"
  fields = read_object(path)
  if fields.get("model_type") != "marian":
    raise UserError(f"{path}: model_type={fields.get('model_type')!r}: only 'marian' is read")
  _check_fields(path, fields)
  for name in _SIZES:
    if name not in fields:
      raise UserError(f"{path}: {name} is missing")
  hf = _DEFAULTS | {name: fields[name] for name in fields if name in (*_SIZES, *_DEFAULTS)}
  search = folder / "generation_config.json"
  if search.exists():
    fields = read_object(search)
    _check_fields(search, fields)
    for name in ("bad_words_ids", "num_beams"):
      hf[name] = fields.get(name, hf[name])
    for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id", "forced_eos_token_id"):
      if fields.get(name) not in (None, hf[name]):
        raise UserError(f"{search}: {name}={fields[name]!r}, but config.json has {hf[name]!r}")
  _check_values(path, hf)
  if hf["share_encoder_decoder_embeddings"]:
    if hf["decoder_vocab_size"] not in (None, hf["vocab_size"]):
      raise UserError(
        f"{path}: decoder_vocab_size={hf['decoder_vocab_size']!r}, but embeddings are shared and "
        f"vocab_size is {hf['vocab_size']}"
      )
  return hf | {"decoder_vocab_size": hf["decoder_vocab_size"] or hf["vocab_size"]}


def _check_fields(path: pathlib.Path, fields: Mapping) -> None:
  """Raises a UserError for the first field that is unknown or has a value that is not done here."""
  for name, value in fields.items():
    if name in _REQUIRED:
      if value not in (None, _REQUIRED[name]):
        raise UserError(f"{path}: {name}={value!r}: only {_REQUIRED[name]!r} can be converted")
    elif name not in (*_SIZES, *_DEFAULTS, *_IGNORED):
      raise UserError(
        f"{path}: {name}={value!r} is not known here; remove it if it changes nothing"
      )


def _check_values(path: pathlib.Path, hf: Mapping) -> None:
  """Raises a UserError for the first value that is not of its kind."""
  for name in _SIZES:
    most = _MOST.get(name, 2**31 - 1)
    if type(hf[name]) is not int or not 1 <= hf[name] <= most:
      raise UserError(f"{path}: {name}={hf[name]!r} is not a whole number in 1 ... {most}")
  for name in ("encoder_attention_heads", "decoder_attention_heads"):
    if hf["d_model"] % hf[name]:
      raise UserError(f"{path}: {name}={hf[name]} does not divide d_model={hf['d_model']}")
  if hf["d_model"] % 2 or hf["d_model"] < 4:
    raise UserError(f"{path}: d_model={hf['d_model']} must be even and at least 4")
  if hf["activation_function"] not in tuple(_ACTIVATIONS):  # a list has no place in a dict
    known = ", ".join(_ACTIVATIONS)
    raise UserError(f"{path}: activation_function={hf['activation_function']!r} is not in {known}")
  for name in ("dropout", "attention_dropout", "activation_dropout"):
    if type(hf[name]) not in (int, float) or not 0 <= hf[name] < 1:
      raise UserError(f"{path}: {name}={hf[name]!r} is not a probability below 1")
  for name in ("share_encoder_decoder_embeddings", "scale_embedding"):
    if type(hf[name]) is not bool:
      raise UserError(f"{path}: {name}={hf[name]!r} is not true or false")
  size = hf["decoder_vocab_size"]
  if size is not None and (type(size) is not int or size < 1):
    raise UserError(f"{path}: decoder_vocab_size={size!r} is not a whole number above 0")
  if hf["num_beams"] is not None and (type(hf["num_beams"]) is not int or hf["num_beams"] < 1):
    raise UserError(f"{path}: num_beams={hf['num_beams']!r} is not a whole number above 0")


def check_vocabularies(path: pathlib.Path, hf: Mapping, src: Marian, tgt: Marian) -> None:
  """Raises a UserError where config.json and the vocabularies contradict each other."""
  one = src.tokens == tgt.tokens
  if hf["share_encoder_decoder_embeddings"] and not one:
    raise UserError(
      f"{path}: share_encoder_decoder_embeddings is true, but there are two vocabularies"
    )
  target = "vocab.json" if one else "target_vocab.json"
  for name, side, file in (
    ("vocab_size", src, "vocab.json"),
    ("decoder_vocab_size", tgt, target),
  ):
    if side.vocab_size != hf[name]:
      raise UserError(f"{path}: {name}={hf[name]}, but {file} has {side.vocab_size} tokens")
  if src.eos != tgt.eos:
    raise UserError(f"{path}: '</s>' has the ids {src.eos} and {tgt.eos}, one must do for both")
  for name, ids in (("eos_token_id", [tgt.eos]), ("pad_token_id", [tgt.pad, src.pad])):
    if type(hf[name]) is not int or hf[name] not in ids:
      raise UserError(f"{path}: {name}={hf[name]!r}, but in {target} it is {ids[0]}")
  start = hf["decoder_start_token_id"]
  if type(start) is not int or not 0 <= start < tgt.vocab_size:
    raise UserError(f"{path}: decoder_start_token_id={start!r} is no id of {target}")
  if hf["forced_eos_token_id"] not in (None, tgt.eos):
    raise UserError(f"{path}: forced_eos_token_id={hf['forced_eos_token_id']!r} is not '</s>'")
  if hf["bad_words_ids"] not in (None, [], [[hf["pad_token_id"]]]):
    raise UserError(f"{path}: bad_words_ids={hf['bad_words_ids']!r}: only <pad> can be forbidden")


def run_config(hf: Mapping, shared_vocabulary: bool) -> ConfigDict:
  """The config of the run that such a model becomes; what is not said is as in defaults.base().

  transformers' length penalty is another function than ours, so that eval.alpha stays.
  """
  config = defaults.base()
  config.data.kind, config.data.row_length = "text", 128
  config.tokenizer.kind, config.tokenizer.shared = "marian", shared_vocabulary
  config.tokenizer.vocab_size = hf["vocab_size"]
  config.eval.beams = hf["num_beams"] or config.eval.beams
  c = config.model
  c.update(presets.MARIAN)
  c.model_size, c.layers, c.ff_size = hf["d_model"], hf["encoder_layers"], hf["encoder_ffn_dim"]
  c.num_heads = hf["encoder_attention_heads"]
  for ours, theirs in (
    ("layers", "layers"),
    ("ff_size", "ffn_dim"),
    ("num_heads", "attention_heads"),
  ):
    value = hf[f"decoder_{theirs}"]
    c[f"dec_{ours}"] = 0 if value == hf[f"encoder_{theirs}"] else value
  c.share_embeddings = hf["share_encoder_decoder_embeddings"]
  c.scale_embeddings = hf["scale_embedding"]
  c.activation = _ACTIVATIONS[hf["activation_function"]]
  c.decoder_start = hf["decoder_start_token_id"]
  c.embed_dropout = c.residual_dropout = float(hf["dropout"])
  c.attention_dropout = float(hf["attention_dropout"])
  c.activation_dropout = float(hf["activation_dropout"])
  c.precision = "float32"
  return config.lock()


def written(config: ModelConfig, src: Marian, tgt: Marian, beams: int) -> tuple[dict, dict]:
  """The other way: config.json and generation_config.json of a model with whole layers.

  Args:
    config: of presets.MARIAN, with a start token.
    src: source tokenizer.
    tgt: target tokenizer.
    beams: of a search.
  """
  size = config.model_size
  # transformers wants an id of both vocabularies; it is the source's that it masks with.
  pad = tgt.pad if tgt.pad < src.vocab_size else src.pad
  ids = {
    "decoder_start_token_id": config.decoder_start,
    "eos_token_id": tgt.eos,
    "forced_eos_token_id": tgt.eos,
    "pad_token_id": pad,
  }
  activation = "swish" if config.activation == "silu" else config.activation
  fields = {
    "architectures": ["MarianMTModel"],
    "model_type": "marian",
    "is_encoder_decoder": True,
    "d_model": size,
    "vocab_size": config.src_vocab,
    "decoder_vocab_size": config.tgt_vocab,
    "share_encoder_decoder_embeddings": config.share_embeddings,
    "tie_word_embeddings": True,
    "scale_embedding": config.scale_embeddings,
    "activation_function": activation,
    "encoder_layers": config.enc_layers,
    "encoder_ffn_dim": config.enc_ff_size,
    "encoder_attention_heads": size // config.enc_head_size,
    "decoder_layers": config.dec_layers,
    "decoder_ffn_dim": config.dec_ff_size,
    "decoder_attention_heads": size // config.dec_head_size,
    "dropout": config.residual_dropout,
    "attention_dropout": config.attention_dropout,
    "activation_dropout": config.activation_dropout,
    "max_position_embeddings": 1024,
    "dtype": "float32",
  }
  search = {"bad_words_ids": [[pad]], "max_length": 512, "num_beams": beams}
  return fields | ids, ids | search | {"renormalize_logits": True}
