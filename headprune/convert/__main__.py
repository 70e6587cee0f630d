"""Makes a run of another program's model, or plain arrays of a run.

  python -m headprune.convert original --npz model.npz --src-vocab src.txt --tgt-vocab tgt.txt \\
    [--hp hp.json] --out runs/x
  python -m headprune.convert export --workdir runs/x --out folder
"""

import argparse
import json
import pathlib
import zipfile
import zlib

from ml_collections import ConfigDict
import numpy as np

from configs import common
from headprune import checkpoint, cli, sources, steps, summary, tokenizer
from headprune import config as config_lib
from headprune.convert import original
from headprune.errors import UserError
from headprune.model import ModelConfig
from headprune.run import load


def main() -> None:
  parser = argparse.ArgumentParser(
    prog="python -m headprune.convert", description=__doc__.splitlines()[0]
  )
  commands = parser.add_subparsers(required=True, metavar="program")
  sub = commands.add_parser("original", help="the TensorFlow program of Voita et al. (2019)")
  sub.add_argument("--npz", required=True, help="its model-*.npz")
  sub.add_argument("--src-vocab", required=True, help="source tokens, one a line in id order")
  sub.add_argument("--tgt-vocab", required=True, help="target tokens, one a line in id order")
  sub.add_argument("--hp", help="its hyper-parameters as JSON; needed without trained gates")
  sub.add_argument("--out", required=True, help="folder of the new run")
  sub.set_defaults(call=lambda a: convert_original(a.npz, a.src_vocab, a.tgt_vocab, a.hp, a.out))
  sub = commands.add_parser("export", help="a run as model.npz, hp.json and vocabularies")
  sub.add_argument("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  sub.add_argument("--checkpoint", default="last", help="last, best, or a step")
  sub.add_argument("--out", required=True, help="folder for the files")
  sub.set_defaults(call=lambda a: export(a.workdir, a.checkpoint, a.out))
  args = parser.parse_args()
  args.out = pathlib.Path(args.out)
  print(args.call(args))


def export(workdir, which: str, out: pathlib.Path) -> str:
  """Writes a run under the original program's variable names, for other programs to read.

  Fixed gates, of which that program knows nothing in a checkpoint, go into hp.alive_heads.

  Args:
    workdir: the run.
    which: checkpoint: "last", "best" or a step.
    out: folder to make.
  Returns:
    A line that says what was written.
  Raises:
    UserError: there is no such run, `out` is in use, or gates are of layers that lack heads.
  """
  cli.check_new_folder(out)
  run = load(workdir, which)
  kind, heads = run.config.gates.kind, run.model_config.heads
  whole = run.model_config.model_size // run.model_config.head_size
  if kind != "none" and any(count != whole for counts in heads.values() for count in counts):
    raise UserError(f"{workdir} has gates and cut layers: run headprune.compact on it first")
  arrays, hp = original.to_npz(run.model_config, run.params)
  if kind == "fixed":
    lists = config_lib.heads_as_lists(run.gates(), heads)
    hp["alive_heads"] = {original.TYPES[name][0]: layers for name, layers in lists.items()}
  c = run.config
  hp |= {"label_smoothing": c.train.label_smoothing, "beam_size": c.eval.beams}
  hp |= {"len_alpha": c.eval.alpha, "beam_spread": c.eval.spread}
  out.mkdir(parents=True, exist_ok=True)
  for side, one in (("src", run.src_tokenizer), ("dst", run.tgt_tokenizer)):
    pieces = one.pieces(range(one.vocab_size))
    (out / f"{side}.voc.txt").write_text(
      "".join(f"{piece}\n" for piece in pieces), encoding="utf-8"
    )
  (out / "hp.json").write_text(json.dumps(hp, indent=1) + "\n", encoding="utf-8")
  np.savez(out / "model.npz", **arrays)
  return f"{out}: model.npz ({len(arrays)} arrays), hp.json, src.voc.txt, dst.voc.txt"


def convert_original(npz, src_vocab, tgt_vocab, hp_path, out: pathlib.Path) -> str:
  """Writes a workdir from a model of the original program; nothing is written before all is read.

  Args:
    npz: path of the variables.
    src_vocab: path of the source token list.
    tgt_vocab: path of the target token list.
    hp_path: path of the hyper-parameters or None.
    out: folder to make.
  Returns:
    A line that says what was converted.
  Raises:
    UserError: a file or a field of hp cannot be used, or `out` is in use.
  """
  cli.check_new_folder(out)
  arrays, hp = read_npz(npz), _read_hp(hp_path)
  tokens = sources.read_lines(src_vocab), sources.read_lines(tgt_vocab)
  try:
    model_config, params = original.from_npz(arrays, hp)
    fixed = original.fixed_gates(hp, model_config)
  except UserError as error:
    raise UserError(f"{npz}: {error}") from None
  sizes = model_config.src_vocab, model_config.tgt_vocab
  for path, side, rows in zip((src_vocab, tgt_vocab), tokens, sizes):
    if len(side) != rows:
      raise UserError(f"{path} has {len(side)} tokens, but the model embeds {rows}")
  config = _config(model_config, tuple(params["gates"]), fixed, hp or {})
  config_lib.validate(config)
  tokenizer.write_whitespace(*tokens, out / "tokenizer")
  checkpoint.save_params(out, params)
  _write_summary(config, model_config, params, out)
  config_lib.save(config, out / "config.json")
  kinds = {"none": "no gates", "concrete": "trained gates", "fixed": "fixed gates"}
  return (
    f"{out}: {model_config.layers}+{model_config.layers} layers, D {model_config.model_size}, "
    f"{config.model.num_heads} heads, {kinds[config.gates.kind]}"
  )


def read_npz(path) -> dict[str, np.ndarray]:
  """All arrays of an .npz file, without ever unpickling."""
  arrays, name = {}, "the file"
  try:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
      raise UserError(f"{path}: one array, expected an .npz file of named arrays")
    with archive:
      for name in archive.files:
        arrays[name] = archive[name]
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
    raise UserError(f"{path}: {name} is damaged or not a plain array (.npz)") from error
  for name, array in arrays.items():
    if not isinstance(array, np.ndarray):
      raise UserError(f"{path}: {name} is not an array")
  return arrays


def _read_hp(path) -> dict | None:
  if path is None:
    return None
  text = "\n".join(sources.read_lines(path))
  try:
    hp = json.loads(text)
  except ValueError as error:
    raise UserError(f"{path}: not JSON ({error})") from error
  if not isinstance(hp, dict):
    raise UserError(f"{path}: expected a JSON object of hyper-parameters")
  return hp


def _config(model: ModelConfig, gated: tuple, fixed: dict, hp: dict) -> ConfigDict:
  """The config that a run of this model would have; what is unknown is as in configs/common.py."""
  config = common.base()
  config.data.kind = "text"
  config.tokenizer.kind = "whitespace"
  config.tokenizer.vocab_size = 0
  config.model.layers = model.layers
  config.model.num_heads = model.model_size // model.head_size
  for name, counts in model.heads.items():
    if set(counts) != {config.model.num_heads}:
      config.model.heads[name] = counts
  for field in ("model_size", "ff_size", "precision"):
    config.model[field] = getattr(model, field)
  for name in ("embed", "residual", "attention", "relu"):
    config.model[f"{name}_dropout"] = getattr(model, f"{name}_dropout")
  if gated:
    config.gates.kind, config.gates.types = "concrete", gated
  elif fixed:
    config.gates.kind = "fixed"
    for name, layers in fixed.items():
      config.gates.fixed[name] = layers
  config.train.label_smoothing = hp.get("label_smoothing", config.train.label_smoothing)
  for field, key in (("beams", "beam_size"), ("alpha", "len_alpha"), ("spread", "beam_spread")):
    config.eval[field] = hp.get(key, config.eval[field])
  config.eval.tokenize = "none"  # the text is split into pieces already
  return config.lock()


def _write_summary(config: ConfigDict, model: ModelConfig, params: dict, out: pathlib.Path) -> None:
  """Marks the run as finished, so that others can start from it."""
  values = steps.test_gates(config_lib.fixed_gates(config.gates, model), params)
  done = {
    "step": 0,
    "ends_at": [config.train.steps, config.train.patience],
    "tokens_per_second": 0.0,
    "train_seconds": 0.0,
    "signature": "not measured",
  }
  summary.write(out, done, config_lib.heads_as_lists(values, model.heads))


if __name__ == "__main__":
  cli.run(main)
