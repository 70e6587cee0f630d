"""Models of the original TensorFlow program (Voita et al. 2019), from and to runs.

Compact models have narrower matrices; hp.heads, which that program does not know, counts their
heads.

That program's options (hp and command line) -> a run's config:
  num_layers, num_heads           model.layers, .num_heads
  ff_size, hid_size / emb_size    model.ff_size, .model_size
  res_dropout, attn_dropout       model.residual_dropout (embed_dropout), .attention_dropout
  relu_dropout                    model.activation_dropout
  label_smoothing, share_emb      train.label_smoothing, model.share_embeddings
  concrete_heads                  gates.kind="concrete" and gates.types
  concrete_coef                   l0.coef (the paper's lambda: l0.per_head)
  alive_heads                     gates.kind="fixed" and gates.fixed or gates.fixed_from
  beam_size, len_alpha            eval.beams, .alpha
  beam_spread                     eval.spread
  --batch-len times the number    train.batch_tokens (a side, over all devices)
    of GPUs
  --max-srclen, --max-dstlen      data.row_length
  --optimizer-opts: beta1, beta2  optim.b1, .b2
    sync_every_steps, variables   train.accumulate, optim.rules
  --learning-rate, --decay-steps  optim.learning_rate = learning rate / sqrt(model.model_size *
    (t2t_noam)                    decay steps), optim.warmup = decay steps / train.steps
  --pre-init-model-checkpoint     init_from
  --num-batches, --seed           train.steps, seed
  --score-dev-every               train.eval_every
  --translate-dev-every           train.translate_every
  --checkpoint-every-steps        train.checkpoint_every
  --keep-checkpoints-max          train.keep
  lib/tools/average_npz.py        eval.average
"""

from collections.abc import Mapping
import json
import pathlib

from flax import traverse_util
from ml_collections import ConfigDict
import numpy as np

from headprune.errors import UserError
from headprune.formats import npz, original_hp
from headprune.formats.original_variables import all_variables
from headprune.nn import gates, transformer
from headprune.nn.config import ModelConfig
from headprune.runs import defaults, derived, heads, validation
from headprune.runs import run as run_lib
from headprune.runs.summary import Summary
from headprune.runs.workdir import check_unused, new_folder
from headprune.text import textfile, tokenizer
from headprune.translator.translator import Translator

_CHOICES = (  # of a ModelConfig: its defaults are what that program computes
  "norm", "final_norms", "norm_epsilon", "activation", "positions", "scale_embeddings",
  "source_bias", "logits_bias", "decoder_start", "eos", "pad",
)  # fmt: skip


def read(npz_path, src_vocab, tgt_vocab, hp_path, out: pathlib.Path) -> str:
  """Makes a run of a model of the original program; nothing is written before all is read.

  Args:
    npz_path: its variables.
    src_vocab: path of the source token list.
    tgt_vocab: path of the target token list.
    hp_path: path of the hyper-parameters or None.
    out: folder to make.
  Returns:
    A line that says what was converted.
  Raises:
    UserError: a file or a field of hp cannot be used, or `out` is in use.
  """
  check_unused(out)
  arrays, hp = npz.read(npz_path), original_hp.read(hp_path)
  tokens = textfile.read_lines(src_vocab), textfile.read_lines(tgt_vocab)
  try:
    model, params = from_npz(arrays, hp)
    fixed = original_hp.fixed_gates(hp, model)
  except UserError as error:
    raise UserError(f"{npz_path}: {error}") from None
  for path, side, rows in zip((src_vocab, tgt_vocab), tokens, (model.src_vocab, model.tgt_vocab)):
    if len(side) != rows:
      raise UserError(f"{path} has {len(side)} tokens, but the model embeds {rows}")
  config = _run_config(model, tuple(params["gates"]), fixed, hp)
  validation.validate(config)
  gate_values = gates.eval_gates(derived.fixed_gates(config.gates, model), params["gates"])
  translator = Translator(model, params["model"], gate_values)
  files, summary = tokenizer.whitespace_files(*tokens), Summary("converted", str(npz_path))
  run_lib.write(out, config, files, translator, params["gates"], summary)
  kinds = {"none": "no gates", "concrete": "trained gates", "fixed": "fixed gates"}
  return (
    f"{out}: {model.enc_layers}+{model.dec_layers} layers, D {model.model_size}, "
    f"{config.model.num_heads} heads, {kinds[config.gates.kind]}"
  )


def write(run: run_lib.Run, out: pathlib.Path) -> str:
  """Writes a run under the original program's variable names, for other programs to read.

  Gates that are not learned (fixed ones, those of `Run.with_gates`), of which that program knows
  nothing in a checkpoint, go into hp.alive_heads. It takes text that is split into pieces: the
  tokenizer that splits stays behind.

  Args:
    run: gated, fixed, dense or compact.
    out: folder to make.
  Returns:
    What was written, and what it reads.
  Raises:
    UserError: `out` is in use, the architecture is another one, or gates are of layers that lack
      heads.
  """
  model, values = run.translator.config, run.gates()
  ones = {name: gates.present(n, values[name].shape[1]) for name, n in model.heads.items()}
  expected = gates.eval_gates(ones, run.log_alphas)
  learned = all(np.array_equal(expected[name], gate_NH) for name, gate_NH in values.items())
  whole = original_hp.num_heads(model)
  cut_layers = any(n != whole for counts in model.heads.values() for n in counts)
  if cut_layers and (run.log_alphas or not learned):
    raise UserError(
      f"{run.workdir.path} has gates and cut layers: run headprune compact on it first"
    )
  log_alphas = run.log_alphas if learned else {}
  arrays, hp = to_npz(model, {"model": run.translator.params, "gates": log_alphas})
  if not learned:
    lists = heads.as_lists(values, model.heads)
    hp["alive_heads"] = {original_hp.NAMES[name][0]: layers for name, layers in lists.items()}
  c = run.config
  hp |= {"label_smoothing": c.train.label_smoothing, "beam_size": c.eval.beams}
  hp |= {"len_alpha": c.eval.alpha, "beam_spread": c.eval.spread}
  with new_folder(out) as draft:
    for side, one in (("src", run.src_tokenizer), ("dst", run.tgt_tokenizer)):
      text = "".join(f"{piece}\n" for piece in one.pieces(range(one.vocab_size)))
      (draft / f"{side}.voc.txt").write_text(text, encoding="utf-8")
    (draft / "hp.json").write_text(json.dumps(hp, indent=1) + "\n", encoding="utf-8")
    np.savez(draft / "model.npz", **arrays)
  first = ", lower-cased first" if c.tokenizer.lowercase else ""
  return (
    f"{out}: model.npz ({len(arrays)} arrays), hp.json, src.voc.txt, dst.voc.txt\n"
    f"  it translates pieces, which {run.workdir.tokenizer} makes of a line{first}"
  )


def from_npz(arrays: Mapping[str, np.ndarray], hp: Mapping) -> tuple[ModelConfig, dict]:
  """Converts a checkpoint's variables.

  Args:
    arrays: variable name -> array, as in `model-*.npz`.
    hp: the program's hyper-parameters, as far as known; the rest is what the released scripts set.
      Needed for the number of heads where no attention type has trained gates.
  Returns:
    (sizes and dropout rates, {"model": ..., "gates": type -> log_alpha_NH}), float32.
  Raises:
    UserError: a variable is missing, superfluous or mis-shaped, hp contradicts the file, or hp asks
      for what this model does not compute.
  """
  original_hp.check(hp)
  gated = original_hp.gated_types(arrays, hp)
  config = original_hp.sizes(arrays, hp)
  variables = all_variables(config)
  num_heads = original_hp.num_heads(config)
  gate_variables = {
    name: [f"mod/{original_hp.NAMES[name][1]}-{n}/gate/log_a:0" for n in range(config.enc_layers)]
    for name in gated
  }
  shapes = {v.name: v.shape for v in variables}
  shapes |= {name: (1, num_heads, 1, 1) for names in gate_variables.values() for name in names}
  _check_arrays(arrays, shapes)
  flat = {v.path: np.asarray(arrays[v.name], np.float32).reshape(v.new_shape) for v in variables}
  log_alphas = {
    name: np.stack([np.asarray(arrays[n], np.float32).reshape(num_heads) for n in names])
    for name, names in gate_variables.items()
  }
  return config, {"model": traverse_util.unflatten_dict(flat, sep="/"), "gates": log_alphas}


def to_npz(config: ModelConfig, params: dict) -> tuple[dict[str, np.ndarray], dict]:
  """The other way: variables and hyper-parameters of a run's parameters.

  Args:
    config: sizes.
    params: {"model": ..., "gates": type -> log_alpha_NH}. Of shared embeddings, all three matrices
      are written.
  Returns:
    (variable name -> float32 array, hp); from_npz gives the same model back.
  """
  _check_architecture(config)
  flat = traverse_util.flatten_dict(transformer.unshared(params["model"]), sep="/")
  arrays = {
    v.name: np.asarray(flat[v.path], np.float32).reshape(v.shape) for v in all_variables(config)
  }
  for name, log_alpha_NH in params["gates"].items():
    for n, log_alpha_H in enumerate(log_alpha_NH):
      row = np.asarray(log_alpha_H, np.float32).reshape(1, -1, 1, 1)
      arrays[f"mod/{original_hp.NAMES[name][1]}-{n}/gate/log_a:0"] = row
  size = config.model_size
  hp = {
    field: value for field, value in original_hp.REQUIRED.items() if not field.startswith("dst_")
  }
  hp |= {"num_layers": config.enc_layers, "num_heads": original_hp.num_heads(config)}
  hp |= {"hid_size": size, "emb_size": size, "ff_size": config.enc_ff_size}
  hp |= {"res_dropout": config.residual_dropout, "attn_dropout": config.attention_dropout}
  hp["relu_dropout"] = config.activation_dropout
  if params["gates"]:
    hp["concrete_heads"] = [original_hp.NAMES[name][0] for name in params["gates"]]
  if any(count != hp["num_heads"] for counts in config.heads.values() for count in counts):
    hp["heads"] = {
      original_hp.NAMES[name][0]: list(counts) for name, counts in config.heads.items()
    }
  return arrays, hp


def _check_architecture(config: ModelConfig) -> None:
  """Raises a UserError for the first choice that the original program does not know."""
  for name in _CHOICES:
    value, default = getattr(config, name), getattr(ModelConfig, name)
    if value != default:
      raise UserError(f"config.model.{name}={value!r}: the original program has {default!r} only")
  for name in ("layers", "head_size", "ff_size"):
    values = getattr(config, f"enc_{name}"), getattr(config, f"dec_{name}")
    if values[0] != values[1]:
      raise UserError(f"encoder and decoder differ in {name}: the original program has one number")


def _check_arrays(arrays: Mapping, shapes: Mapping) -> None:
  """Raises a UserError for the first variable that should not be as it is."""
  for name, shape in shapes.items():
    if name not in arrays:
      raise UserError(f"variable {name} is missing")
    array = arrays[name]
    if array.shape != shape:
      raise UserError(f"variable {name} has shape {array.shape}, expected {shape}")
    if not np.issubdtype(array.dtype, np.floating):
      raise UserError(f"variable {name} has type {array.dtype}, expected float32")
    if not (abs(array) <= np.finfo(np.float32).max).all():  # NaN is not
      raise UserError(f"variable {name} has values that are not finite (NaN or infinity)")
  superfluous = sorted(arrays.keys() - shapes.keys())
  if superfluous:
    raise UserError(
      f"variable {superfluous[0]} is superfluous ({len(superfluous)} in all): the model has no "
      "place for it"
    )


def _run_config(model: ModelConfig, gated: tuple, fixed: dict, hp: dict) -> ConfigDict:
  """The config that a run of this model would have; what is unknown is as in defaults.base()."""
  config = defaults.base()
  config.data.kind = "text"
  config.tokenizer.kind = "whitespace"
  config.tokenizer.vocab_size = 0
  c = config.model
  c.layers, c.num_heads = model.enc_layers, original_hp.num_heads(model)
  c.model_size, c.ff_size, c.precision = model.model_size, model.enc_ff_size, model.precision
  for name, counts in model.heads.items():
    if set(counts) != {c.num_heads}:
      c.heads[name] = counts
  for name in ("embed_dropout", "residual_dropout", "attention_dropout", "activation_dropout"):
    c[name] = getattr(model, name)
  if gated:
    config.gates.kind, config.gates.types = "concrete", gated
  elif fixed:
    config.gates.kind = "fixed"
    config.gates.fixed.update(fixed)
  config.train.label_smoothing = hp.get("label_smoothing", config.train.label_smoothing)
  for field, key in (("beams", "beam_size"), ("alpha", "len_alpha"), ("spread", "beam_spread")):
    config.eval[field] = hp.get(key, config.eval[field])
  config.eval.tokenize = "none"  # the text is split into pieces already
  return config.lock()
