"""Cuts dead heads out: `python -m headprune.compact --workdir runs/x --out runs/x-compact`.

A head whose test-time gate is 0 adds nothing: its part of every projection is dropped. Another gate
is a factor of its head's rows of the output projection. What is left is an ordinary model with
fewer heads and no gates. It is compared with the old one on real sentences before it is written.
"""

import argparse
import dataclasses
import pathlib
import shutil
import tempfile

from ml_collections import ConfigDict
import numpy as np

from headprune import checkpoint, cli, data, decode, gates, model, proof, sources, summary
from headprune import config as config_lib
from headprune.errors import UserError
from headprune.metrics import say
from headprune.run import Run, load

_PLACES = {  # attention type -> its place in the parameter tree
  "enc_self": ("encoder", "self_attention"),
  "dec_self": ("decoder", "self_attention"),
  "dec_enc": ("decoder", "cross_attention"),
}
_QUALITY = ("dev_bleu", "test_bleu", "dev_loss", "signature")


def cut(
  model_config: model.ModelConfig, model_params: dict, gate_values: dict
) -> tuple[model.ModelConfig, dict]:
  """The same function of source and target with fewer heads, all of whose gates are one.

  Args:
    model_config: sizes.
    model_params: the model's parameters, without gates.
    gate_values: attention type -> gate_NH, as at test time.
  Returns:
    (sizes, parameters); heads keep their order.
  """
  params, heads = dict(model_params), {}
  for name, (stack, module) in _PLACES.items():
    kept = []
    for n, count in enumerate(model_config.heads[name]):
      gate_H = np.asarray(gate_values[name])[n, :count]
      layer = params[f"{stack}_{n}"]
      params[f"{stack}_{n}"] = layer | {module: _cut_attention(layer[module], gate_H)}
      kept.append(int(np.count_nonzero(gate_H)))
    heads[name] = tuple(kept)
  return dataclasses.replace(model_config, **heads), params


def _cut_attention(params: dict, gate_H: np.ndarray) -> dict:
  """One attention's parameters; of one without heads, the output bias."""
  kept = np.flatnonzero(gate_H)
  if not len(kept):
    return {"out_bias": params["out_bias"]}
  result = {}
  for name, x in params.items():
    if name == "out_kernel":
      x = x[kept] * gate_H[kept, None, None]
    elif name != "out_bias":
      x = np.take(x, kept, axis=-2)  # all others end in [H, K]
    result[name] = x
  return result


def smaller_config(config: ConfigDict, heads: dict[str, tuple[int, ...]]) -> ConfigDict:
  """A run's config with these heads in each layer and no gates, as a model that stands alone."""
  result = ConfigDict(config.to_dict())
  result.init_from, result.gates.kind, result.gates.fixed_from = "", "none", ""
  result.l0.coef = 0.0
  result.eval.average = 1  # of one checkpoint, which may be an average already
  for name in gates.TYPES:
    result.model.heads[name] = heads[name]
    result.gates.fixed[name] = ()
  if "pretrain" in result:
    del result.pretrain
  return result.lock()


def compact(
  workdir: pathlib.Path,
  out: pathlib.Path,
  which: str = "last",
  text: tuple[str, str] | None = None,
  sentences: int = 100,
) -> None:
  """Cuts a run's dead heads out, proves that it is the same model, and writes it.

  Args:
    workdir: any run.
    out: the new run's folder.
    which: checkpoint: "last", "best" or a step.
    text: source and target file with the sentences to compare on; None for the run's dev data.
    sentences: how many of them.
  Raises:
    UserError: there is no such run, `out` is taken, there are no sentences, or the two models
      differ. Nothing is written then.
  """
  _check_out(workdir, out)
  run = load(workdir, which)
  pairs = _pairs(run, text, sentences)
  model_config, params = cut(run.model_config, run.params["model"], run.gates())
  say(_heads_table(run, model_config))
  masked = proof.Variant(run.model_config, run.params["model"], run.gates())
  small = proof.Variant(model_config, params, model.ones(model_config))
  c = run.config.eval
  beam = decode.BeamConfig(c.beams, c.alpha, c.spread)
  difference = proof.check(masked, small, pairs, beam)
  say(
    f"The same model on {len(pairs)} sentences, in float32: logits differ by at most "
    f"{difference:.1e}, all translations are identical."
  )
  say(proof.table(masked, small, pairs, beam))
  _write(run, out, model_config, params, which)
  say(f"{out} is ready; to train it on, give another run --config.init_from={out}")


def _check_out(workdir: pathlib.Path, out: pathlib.Path) -> None:
  if out.absolute() == workdir.absolute():
    raise UserError("--out and --workdir are the same folder: take another --out")
  cli.check_new_folder(out)


def _pairs(run: Run, text, sentences: int) -> list[dict]:
  """The first pairs of `text` or of the dev data that fit the model's rows, as ids with EOS."""
  instead = "give sentences with --src and --tgt"
  lines = sources.read_parallel(*text) if text else sources.read_dev(run.config.data, instead)
  tokenizers = run.src_tokenizer, run.tgt_tokenizer
  pairs, _ = data.encode(*lines, tokenizers, run.config.data.row_length)
  return [pairs[i] for i in range(min(sentences, len(pairs)))]


def _heads_table(run: Run, model_config: model.ModelConfig) -> str:
  """How many heads stay, by type and layer."""
  before, after = run.model_config.heads, model_config.heads
  total, kept = (sum(map(sum, heads.values())) for heads in (before, after))
  folded = sum(int(np.sum((g != 0) & (g != 1))) for g in run.gates().values())
  rows = [f"{kept} of {total} heads stay, {folded} of them with a gate to fold in"]
  if kept == total and not folded:
    rows = [f"all {total} heads are open and no gate is to fold in: nothing to cut, only copied"]
  for name in before:
    shown = "  ".join(f"{a}/{b}" for a, b in zip(after[name], before[name]))
    rows.append(f"  {name:<10}{shown}   (layer 1 first)")
  return "\n".join(rows)


def _write(run: Run, out: pathlib.Path, model_config: model.ModelConfig, params: dict, which: str):
  """Writes the workdir beside its place and moves it there when it is complete."""
  out.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as folder:
    draft = pathlib.Path(folder) / out.name
    shutil.copytree(run.workdir / "tokenizer", draft / "tokenizer")
    config_lib.save(smaller_config(run.config, model_config.heads), draft / "config.json")
    checkpoint.save_params(draft, {"model": params, "gates": {}})
    done = {"step": 0, "ends_at": [0, 0], "compact_of": str(run.workdir), "checkpoint": which}
    before = summary.read(run.workdir) if which == "last" else None
    done |= {name: before[name] for name in _QUALITY if before and name in before}
    heads = {name: [[1.0] * n for n in counts] for name, counts in model_config.heads.items()}
    summary.write(draft, done, heads)
    draft.rename(out.absolute())


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m headprune.compact", description=__doc__)
  parser.add_argument("--workdir", required=True, help="any run: gated, fixed, dense or compact")
  parser.add_argument("--out", required=True, help="folder for the smaller model")
  parser.add_argument("--checkpoint", default="last", help="last, best, or a step")
  parser.add_argument("--src", help="source text to compare on (default: the run's dev data)")
  parser.add_argument("--tgt", help="its translations, as many lines")
  parser.add_argument("--sentences", type=int, default=100, help="how many of them (default: 100)")
  args = parser.parse_args()
  if (args.src is None) != (args.tgt is None):
    raise UserError("give both --src and --tgt, or neither")
  if args.sentences < 1:
    raise UserError(f"--sentences {args.sentences} must be at least 1")
  text = (args.src, args.tgt) if args.src else None
  workdir, out = pathlib.Path(args.workdir), pathlib.Path(args.out)
  compact(workdir, out, args.checkpoint, text, args.sentences)


if __name__ == "__main__":
  cli.run(main)
