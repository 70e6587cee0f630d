"""Makes the runs of a pruning curve: those that are missing, in an order in which all can start."""

import collections
import itertools
import pathlib
import time

import jax
from ml_collections import ConfigDict

from headprune.curve import importance, onepass, planning, points
from headprune.curve.planning import Sweep
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.files import read_json, write_json
from headprune.layout import duration
from headprune.nn.config import ModelConfig
from headprune.runs import config as config_lib
from headprune.runs import derived, inherit, lock, stored
from headprune.runs import heads as heads_lib
from headprune.runs.heads import Lists, count_open
from headprune.runs.run import load
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir
from headprune.train import checks, mrt, outcome, prepare, start, step_settings, stopping, training

_POLL = 5.0  # seconds between looks at runs that others are at
_TOGETHER = 8  # on an accelerator


def sweep(
  wanted: Sweep, stop: stopping.Stop | None = None
) -> tuple[list[pathlib.Path], dict[str, UserError]]:
  """Trains all points that are not finished, seed by seed; the first ones that no other is at.

  Args:
    wanted: see Sweep.
    stop: see training.train.
  Returns:
    (folders of all finished runs and what they started from; what failed, by name).
  Raises:
    UserError: what cannot work, before anything was trained.
    Stopped: `stop` said so.
  """
  plans, stop = planning.plan(wanted), stop or stopping.Stop()
  there = pathlib.Path(wanted.config.init_from)
  own = wanted.start(wanted.config.seed)
  prepare.print_inherited(*planning.started(wanted, wanted.config.seed))
  if wanted.trains_baselines and there != own and Workdir(there).read_summary():
    print(f"note: each seed has a baseline of its own; --baselines {there} starts from that one")
  done = {}
  while left := [seed for seed in plans if seed not in done]:
    seed = next((seed for seed in left if not lock.is_held(wanted.start(seed))), left[0])
    done[seed] = _train_seed(wanted, seed, *plans[seed], stop)
  folders = dict.fromkeys(path for seed in plans for path in done[seed][0])
  return list(folders), {name: error for seed in plans for name, error in done[seed][1].items()}


def _train_seed(
  wanted: Sweep, seed: int, first: list[Point], later: list[Point], stop: stopping.Stop
) -> tuple[list[pathlib.Path], dict[str, UserError]]:
  """`sweep` of one seed."""
  if wanted.trains_baselines:
    baseline = Point(points.BASELINE, seed)
    run = baseline, points.baseline_config(wanted.config, seed)
    if lost := _train_all({wanted.start(seed): run}, 1, stop):
      failed = {name: start.of_baseline(error) for name, error in lost.items()}
      return [], failed | _without(baseline, [*first, *later])
  try:
    planning.check_start(wanted, seed, first)
  except UserError as error:  # the baseline was made again
    return [], dict.fromkeys([point.name for point in (*first, *later)], error)
  planning.note_start(wanted, seed)
  folders, failed = [wanted.start(seed)], {}
  for stage in (first, later):
    runs, lost = _runs(wanted, stage)
    lost |= _train_all(runs, wanted.together, stop)
    folders += [path for path in runs if path.name not in lost]
    failed |= lost
  return folders, failed


def _without(missing: Point, lost: list[Point]) -> dict[str, UserError]:
  """What to say of points that need one which failed, by name."""
  return {point.name: UserError(f"needs {missing.name}") for point in lost}


def _runs(
  wanted: Sweep, chosen: list[Point]
) -> tuple[dict[pathlib.Path, tuple[Point, ConfigDict]], dict[str, UserError]]:
  """Folder -> (point, config); of points that cannot begin, what is wrong, by name."""
  runs, lost = {}, {}
  for point in chosen:
    source = Workdir(wanted.workdir / point.source.name) if point.source else None
    if source and not source.read_summary():
      lost |= _without(point.source, [point])
      continue
    path = wanted.workdir / point.name
    try:
      runs[path] = point, _config(wanted, point, source, Workdir(path))
    except UserError as error:  # such as a trunk without its checkpoints
      lost[point.name] = error
  return runs, lost


def _config(wanted: Sweep, point: Point, source: Workdir | None, own: Workdir) -> ConfigDict:
  """A point's config; of one that has begun with the gates that were chosen for it."""
  config, start = wanted.config, wanted.start(point.seed)
  if point.method == points.SCRATCH:
    like = config_lib.load(Workdir(start))
    return points.point_config(config, point, "", source.read_heads(), like=like)
  begun = config_lib.load(own) if own.is_run() else None
  heads = begun.gates.fixed.to_dict() if begun else None
  if point.method == points.ONEPASS:
    step, heads = (begun.init_checkpoint, heads) if begun else onepass.fork(source, point.heads)
    return points.point_config(config, point, str(source.path), heads, str(step))
  if point.method in points.CHOSEN and not begun:
    heads = _heads(wanted, point)
  return points.point_config(config, point, str(start), heads)


def _heads(wanted: Sweep, point: Point) -> Lists:
  """The gates of a point whose heads are chosen by how important they are in the baseline."""
  path = wanted.workdir / f"importance-{point.method}-seed{point.seed}.json"
  start, which = wanted.start(point.seed), wanted.config.init_checkpoint
  model = planning.model(wanted, point.seed)
  of = [str(start), which, *planning.start_state(wanted, point.seed).values()]
  scores = _known_scores(path, of, model)
  if scores is None:
    print(f"how important heads are by {point.method}, of {start}", flush=True)
    scores = importance.scores(load(start, which), wanted.config.data, point.method, point.seed)
    write_json(path, {"of": of, "scores": scores})
  return importance.choose(scores, point.heads, wanted.config.gates.types, model)


def _known_scores(path: pathlib.Path, of: list[str], model: ModelConfig) -> Lists | None:
  """The scores in a file; None if there is none, or one that is damaged or of another model."""
  try:
    known = read_json(path)
    scores = heads_lib.checked(known["scores"])
    counts = {name: tuple(map(len, scores[name])) for name in model.heads}
  except (KeyError, TypeError, UserError, ValueError):
    return None
  return scores if known.get("of") == of and counts == model.heads else None


def _train_all(
  runs: dict[pathlib.Path, tuple[Point, ConfigDict]], together: int, stop: stopping.Stop
) -> dict[str, UserError]:
  """Trains all that is not finished; what failed, by name."""
  failed = {path: error for path in runs if (error := _outdated(*runs[path], path))}
  told = set()
  while True:
    pending = [path for path in runs if path not in failed and not _finished(runs[path][1], path)]
    if not pending:
      return {path.name: error for path, error in failed.items()}
    free = [path for path in pending if not lock.is_held(path)]
    if not free:
      _wait(pending, told)
      continue
    configs = {path: runs[path][1] for path in free}
    alone = any(c.train.shard_params or mrt.wanted(c) for c in configs.values())  # lacks memory
    group = _next_group(configs, 1 if alone else together)
    print(f"\n{', '.join(path.name for path in group)}", flush=True)
    try:
      results = training.train_together([(runs[path][1], path) for path in group], stop)
    except lock.InUse:  # another program was quicker
      continue
    except UserError as error:
      if len(group) == 1:
        failed[group[0]] = error
      else:  # it may be of one of them alone
        print(f"note: one at a time from here on, for {error}", flush=True)
        together = 1
      continue
    for path, result in zip(group, results):
      if isinstance(result, UserError):
        failed[path] = result
      else:
        print(_said(*runs[path], path, result), flush=True)


def _outdated(point: Point, config: ConfigDict, path: pathlib.Path) -> UserError | None:
  """What is wrong with a run whose heads are not any more those that its source found."""
  if point.method != points.SCRATCH or not Workdir(path).is_run():
    return None
  if config_lib.load(Workdir(path)).gates.fixed.to_dict() == config.gates.fixed.to_dict():
    return None
  return UserError(
    f"{path} has other heads than {point.source.name}, which was made again: remove that folder, "
    "and the same command trains it with these"
  )


def _finished(config: ConfigDict, path: pathlib.Path) -> bool:
  return bool(checks.finished(config, Workdir(path)))


def _next_group(runs: dict[pathlib.Path, ConfigDict], together: int) -> list[pathlib.Path]:
  """The first of the runs and those that can train together with it."""
  most = together or (1 if jax.default_backend() == "cpu" else _TOGETHER)
  groups = collections.defaultdict(list)
  for path, config in runs.items():
    workdir = Workdir(path)
    groups[_program(config, workdir), stored.newest_step(workdir)].append(path)
  return list(itertools.islice(next(iter(groups.values())), most))


def _program(config: ConfigDict, workdir: Workdir) -> tuple:
  """Equal for runs of one seed that differ in what is traced alone (steps.Knobs, parameters)."""
  config = inherit.inherit(config, workdir)
  settings, _ = step_settings.make(config, derived.model_config(config.model))
  return settings, derived.gated_types(config), config.init_from


def _wait(pending: list[pathlib.Path], told: set) -> None:
  for path in pending:
    if path not in told:
      print(f"{path.name} is being trained by another program", flush=True)
    told.add(path)
  time.sleep(_POLL)


def _said(point: Point, config: ConfigDict, path: pathlib.Path, done: Summary) -> str:
  """What is told of a run that has ended; of a baseline whether it is worth pruning, too."""
  if point.method == points.BASELINE:
    return outcome.table(config, Workdir(path), done)
  return _line(path, done)


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
