"""Makes a pruning curve: `headprune sweep --config concrete:multi30k --workdir runs/curve`.

Many runs, one folder each: for every seed a baseline, a control that trains on as long without
gates, and one run for each method and number of heads; "onepass" has a trunk, which it needs once,
and short runs that leave it. The same command goes on where it was and skips what is finished;
started several times (on several machines that share the folder), each takes runs that no other is
at.
"""

import pathlib
import sys

from absl import app, flags, logging

from headprune import cli, config_flag
from headprune.curve import output, points, rows
from headprune.curve.markdown import markdown
from headprune.curve.planning import Sweep
from headprune.curve.sweeping import sweep
from headprune.errors import UserError
from headprune.nn.config import TYPES
from headprune.train import stopping

_USAGE = (
  "headprune sweep --config concrete[:PRESET] --workdir FOLDER [--heads 36,24,12] [--methods ...]\n"
  "  [--seeds 3] [--config.FIELD=VALUE ...]"
)
_HEADS = flags.DEFINE_string(
  "heads", ",".join(points.HEADS),
  "Numbers of open heads, each as l0.target_heads; with ; between them where they have commas.",
)  # fmt: skip
_COMPARE = flags.DEFINE_string(
  "compare", "", "Those of --heads at which methods besides l0 are tried; all without it."
)
_COEFS = flags.DEFINE_list("coefs", [], "Values of l0.coef, besides or (--heads=) instead.")
_METHODS = flags.DEFINE_list("methods", ["l0", "random"], f"Of {', '.join(points.METHODS)}.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "How many, from config.seed on.")
_BASELINES = flags.DEFINE_list(
  "baselines", [], "Finished runs to start from, one for all seeds or one for each; else trained."
)
_TOGETHER = flags.DEFINE_integer(
  "together", 0, "Runs that train at a time, in one program; 0 is 8 on an accelerator, 1 on CPUs."
)
_INSTEAD = {
  "gates.kind": "--methods",
  "gates.fixed": "--methods",
  "gates.chosen_by": "--methods",
  "gates.chosen_for": "--heads",
  "l0.target_heads": "--heads",
  "l0.coef": "--coefs",
  "l0.per_head": "--coefs",
}
_FLAGS = (_HEADS, _COMPARE, _COEFS, _METHODS, _SEEDS, _BASELINES, _TOGETHER)


def _sweep(argv: list[str]) -> None:
  del argv
  logging.set_verbosity(logging.FATAL)  # as in main
  wanted = _wanted()
  with stopping.on_signals() as stop:
    folders, failed = sweep(wanted, stop)
  earlier = sorted(path.parent for path in wanted.workdir.glob("*/summary.json"))
  found = rows.rows([*folders, *(path for path in earlier if path.name not in failed)])
  if found:
    output.write(found, wanted.workdir)
    files = "curve.html, curve.md, curve.csv, structures.json, figures"
    print(f"\n{markdown(found)}\nfiles: {wanted.workdir}: {files}")
  names = {}
  for name, error in failed.items():
    names.setdefault(str(error), []).append(name)
  for error, some in names.items():  # many may need one that failed, or lack the same file
    print(f"error: {', '.join(some)}: {error}", file=sys.stderr)
  if failed:
    raise UserError(f"{len(failed)} of the runs failed; the same command tries them again")


def _wanted() -> Sweep:
  """What the flags say."""
  for flag in (_BASELINES, _METHODS, _COMPARE, _COEFS):
    if flag.present and not flag.value:
      raise UserError(f"--{flag.name} is empty: leave it out, or say which")
  for name in config_flag.named(sys.argv):
    if name.startswith("pretrain.") and _BASELINES.value:
      raise UserError(f"--config.{name} has no effect with --baselines: leave it out")
    if name == "init_from" and (_BASELINES.value or "pretrain" in config_flag.CONFIG.value):
      raise UserError(f"--config.{name} has no effect here: leave it out, --baselines says it")
  try:
    coefs = [float(text) for text in _COEFS.value]
  except ValueError as error:
    raise UserError(f"--coefs {','.join(_COEFS.value)}: not all numbers") from error
  return Sweep(
    config_flag.CONFIG.value,
    pathlib.Path(config_flag.WORKDIR.value),
    methods=_METHODS.value,
    heads=_amounts(_HEADS.value),
    compare=_amounts(_COMPARE.value),
    coefs=coefs,
    seeds=_SEEDS.value,
    baselines=_BASELINES.value,
    together=_TOGETHER.value,
  )


def _amounts(text: str) -> list[str]:
  types = [name for name in TYPES if name in text]
  amounts = text.split(";" if ";" in text or len(types) > 1 else ",")  # of several types: one
  return [amount.strip() for amount in amounts if amount.strip()]


def main() -> None:
  app.run(_sweep, argv=sys.argv, flags_parser=config_flag.parser(_USAGE, _FLAGS, _INSTEAD))


if __name__ == "__main__":
  cli.run(main)
