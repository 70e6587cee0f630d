"""Makes a pruning curve: `headprune sweep --config concrete:multi30k --workdir runs/curve`.

Many runs, one folder each: for every seed a baseline, a control that trains on as long without
gates, and one run for each method and number of heads; "onepass" has a trunk, which it needs once,
and short runs that leave it. The same command goes on where it was and skips what is finished;
started several times (on several machines that share the folder), each takes runs that no other is
at.
"""

import collections
import itertools
import pathlib
import sys
import time

from absl import app, flags, logging
import jax
from ml_collections import ConfigDict

from headprune import cli, config_flag
from headprune.curve import importance, onepass, output, points, rows
from headprune.curve.markdown import markdown
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.runs import checkpoint, inherit, lock
from headprune.runs import config as config_lib
from headprune.runs.heads import Lists, count_open
from headprune.runs.run import load
from headprune.runs.summary import Summary, duration
from headprune.runs.workdir import Workdir, read_json, write_json
from headprune.train import loop, prepare, stopping

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
_FLAGS = (_HEADS, _COMPARE, _COEFS, _METHODS, _SEEDS, _BASELINES, _TOGETHER)
_POLL = 5.0  # seconds between looks at runs that others are at


def _sweep(argv: list[str]) -> None:
  del argv
  logging.set_verbosity(logging.FATAL)  # as in main
  folder, config = pathlib.Path(config_flag.WORKDIR.value), config_flag.CONFIG.value
  plans = _plans(config, folder)
  _check(config, plans, folder)
  with stopping.on_signals() as stop:
    failed, folders = {}, []
    for number, (seed, (first, later)) in enumerate(plans.items()):
      baseline = _baseline(config, seed, number, folder, stop)
      folders += [pathlib.Path(baseline), *(folder / point.name for point in first + later)]
      for chosen in (first, later):
        failed |= _train_all(_runs(config, chosen, baseline, folder), stop)
  found = rows.rows(dict.fromkeys(folders))
  output.write(found, folder)
  print(
    f"\n{markdown(found)}\nfiles: {folder}: curve.html, curve.md, curve.csv, figures, structures"
  )
  for name, error in failed.items():
    print(f"error: {name}: {error}", file=sys.stderr)
  if failed:
    raise UserError(f"{len(failed)} of the runs failed; the same command tries them again")


def _plans(config: ConfigDict, folder: pathlib.Path) -> dict[int, tuple[list[Point], list[Point]]]:
  """Seed -> its points; raises a UserError that names a flag."""
  if config.gates.kind not in points.LEARNED.values():
    raise UserError("--config: a sweep prunes: take concrete, with any preset")
  heads, compared = _amounts(_HEADS.value), _amounts(_COMPARE.value)
  for amount in compared:
    if amount not in heads:
      raise UserError(f"--compare {amount}: is not one of --heads {', '.join(heads)}")
  for method in _METHODS.value:
    if method not in points.METHODS:
      raise UserError(f"--methods {method!r}: is not one of {', '.join(points.METHODS)}")
  try:
    coefs = [float(text) for text in _COEFS.value]
  except ValueError as error:
    raise UserError(f"--coefs {','.join(_COEFS.value)}: not all numbers") from error
  if _SEEDS.value < 1 or _TOGETHER.value < 0:
    raise UserError(f"--seeds {_SEEDS.value} --together {_TOGETHER.value}: at least 1 and 0")
  if not heads and not coefs:
    raise UserError("--heads and --coefs are both empty: name numbers of heads")
  if len(_BASELINES.value) not in (0, 1, _SEEDS.value):
    raise UserError(f"--baselines: {len(_BASELINES.value)} runs for --seeds {_SEEDS.value}")
  for path in _BASELINES.value:
    if not Workdir(pathlib.Path(path)).read_summary():
      raise UserError(f"--baselines {path}: there is no finished run")
  seeds = range(config.seed, config.seed + _SEEDS.value)
  fewest = _fewest(config, folder, compared or heads) if points.ONEPASS in _METHODS.value else ""
  given = _METHODS.value, heads, coefs
  return {seed: points.plan(*given, seed, compared, fewest) for seed in seeds}


def _fewest(config: ConfigDict, folder: pathlib.Path, amounts: list[str]) -> str:
  """The number of heads that trunks end with."""
  start = _start(config, config.seed, 0, folder)
  point = points.point_config(config, Point(points.CONTROL, config.seed), str(start))
  model = inherit.inherit(point, Workdir(start)).model
  return onepass.fewest(amounts, config.gates.types, config_lib.model_config(model))


def _amounts(text: str) -> list[str]:
  amounts = text.split(";" if ";" in text else ",")
  return [amount.strip() for amount in amounts if amount.strip()]


def _check(config: ConfigDict, plans: dict, folder: pathlib.Path) -> None:
  """Raises a UserError for what can be known to be wrong before the first run trains."""
  seed, (first, later) = next(iter(plans.items()))
  start = _start(config, seed, 0, folder)
  if _trains_baselines(config):
    prepare.check(points.baseline_config(config, seed), Workdir(start))
  elif not Workdir(start).read_summary():
    raise UserError(f"config.init_from={config.init_from}: there is no finished run")
  for point in first + later:
    workdir = Workdir(folder / point.name)
    begun_fork = point.method == points.ONEPASS and workdir.is_run()  # has its own gates
    if point.method in (*points.LEARNED, points.TRUNK, points.ONEPASS) and not begun_fork:
      mine = points.point_config(config, point, str(start), {})
      prepare.check(inherit.inherit(mine, workdir), workdir)


def _trains_baselines(config: ConfigDict) -> bool:
  return not _BASELINES.value and "pretrain" in config


def _start(config: ConfigDict, seed: int, number: int, folder: pathlib.Path) -> pathlib.Path:
  """The baseline of a seed, the `number`th, whether it is there yet or not."""
  if _trains_baselines(config):
    return folder / points.baseline_name(seed)
  given = _BASELINES.value or [config.init_from]
  return pathlib.Path(given[number % len(given)])


def _baseline(config: ConfigDict, seed: int, number: int, folder: pathlib.Path, stop) -> str:
  """The workdir of a seed's baseline, which is trained if it is to be and is not there."""
  workdir = _start(config, seed, number, folder)
  if _trains_baselines(config):
    baseline = points.baseline_config(config, seed)
    if not prepare.finished(baseline, Workdir(workdir)):
      print(f"\n{workdir.name}", flush=True)
      loop.train(baseline, workdir, stop, wait=True)
  return str(workdir)


def _runs(config: ConfigDict, chosen: list[Point], baseline: str, folder: pathlib.Path) -> dict:
  """Folder -> (point, config); without those that need another run, which failed."""
  runs = {}
  for point in chosen:
    source = Workdir(folder / point.source.name) if point.source else None
    if source and not source.read_summary():
      continue
    if point.method == points.ONEPASS:
      step, heads = onepass.fork(source, point.heads)
      mine = points.point_config(config, point, str(source.path), heads, str(step))
    else:
      heads = source.read_heads() if source else _heads(config, point, baseline, folder)
      mine = points.point_config(config, point, baseline, heads)
    runs[folder / point.name] = point, mine
  return runs


def _heads(config: ConfigDict, point: Point, baseline: str, folder: pathlib.Path) -> Lists | None:
  """The gates of a point whose heads are chosen by how important they are in the baseline."""
  if point.method not in points.CHOSEN:
    return None
  path = folder / f"importance-{point.method}-seed{point.seed}.json"
  if not path.is_file():
    print(f"how important heads are by {point.method}, of {baseline}", flush=True)
    write_json(path, importance.scores(load(baseline), point.method, point.seed))
  model = load(baseline).translator.config
  return importance.choose(read_json(path), point.heads, config.gates.types, model)


def _train_all(runs: dict, stop: stopping.Stop) -> dict[str, UserError]:
  """Trains all that is not finished; what failed, by name."""
  failed, told = {}, set()
  while True:
    pending = [path for path in runs if path not in failed and not _finished(runs[path][1], path)]
    if not pending:
      return {path.name: error for path, error in failed.items()}
    free = [path for path in pending if not lock.is_held(path)]
    if not free:
      _wait(pending, told)
      continue
    group = _next_group({path: runs[path] for path in free})
    print(f"\n{', '.join(path.name for path in group)}", flush=True)
    try:
      results = loop.train_together([(runs[path][1], path) for path in group], stop)
    except lock.InUse:  # another program was quicker
      continue
    for path, result in zip(group, results):
      if isinstance(result, UserError):
        failed[path] = result
      else:
        print(_line(path, result), flush=True)


def _finished(config: ConfigDict, path: pathlib.Path) -> bool:
  return bool(prepare.finished(config, Workdir(path)))


def _next_group(runs: dict) -> list[pathlib.Path]:
  """The first of the runs and those that can train together with it."""
  most = _TOGETHER.value or (1 if jax.default_backend() == "cpu" else 8)
  groups = collections.defaultdict(list)
  for path, (point, _) in runs.items():
    groups[points.together(point), checkpoint.newest_step(Workdir(path))].append(path)
  return list(itertools.islice(next(iter(groups.values())), most))


def _wait(pending: list[pathlib.Path], told: set) -> None:
  for path in pending:
    if path not in told:
      print(f"{path.name} is being trained by another program", flush=True)
    told.add(path)
  time.sleep(_POLL)


def _line(path: pathlib.Path, done: Summary) -> str:
  """A finished run in one line."""
  counts = count_open(Workdir(path).read_heads())
  heads = f"{sum(map(sum, counts.values()))} heads"
  scores = [
    f"{name} BLEU {value:.2f}"
    for name, value in (("dev", done.dev_bleu), ("test", done.test_bleu))
    if value is not None
  ]
  return f"  {path.name:<24} {heads:<9} {'  '.join(scores)}  {duration(done.train_seconds)}"


def main() -> None:
  app.run(_sweep, argv=sys.argv, flags_parser=config_flag.parser(_USAGE, _FLAGS))


if __name__ == "__main__":
  cli.run(main)
