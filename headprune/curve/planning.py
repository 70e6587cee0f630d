"""What a sweep is made of, and what can be known to be wrong with it before anything is trained."""

from collections.abc import Sequence
import dataclasses
import pathlib

from ml_collections import ConfigDict

from headprune.curve import onepass, points
from headprune.curve.points import Point
from headprune.errors import UserError, check_least
from headprune.files import read_json, write_json
from headprune.nn.config import ModelConfig
from headprune.runs import config as config_lib
from headprune.runs import derived, inherit, targets
from headprune.runs.workdir import Workdir
from headprune.train import checks, mrt, start


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What a sweep is made of; its command's flags have the same names and say more."""

  config: ConfigDict  # of the "concrete" method; what all points share
  workdir: pathlib.Path
  methods: Sequence[str] = ("l0", "random")
  heads: Sequence[str] = points.HEADS
  compare: Sequence[str] = ()
  coefs: Sequence[float] = ()
  seeds: int = 1
  baselines: Sequence[str] = ()
  together: int = 0

  @property
  def trains_baselines(self) -> bool:
    """Whether each seed has a baseline of its own, in the workdir."""
    return not self.baselines and "pretrain" in self.config

  def start(self, seed: int) -> pathlib.Path:
    """The workdir that the points of a seed start from."""
    if self.trains_baselines:
      return self.workdir / Point(points.BASELINE, seed).name
    given = self.baselines or [self.config.init_from]
    return pathlib.Path(given[(seed - self.config.seed) % len(given)])


def plan(wanted: Sweep) -> dict[int, tuple[list[Point], list[Point]]]:
  """Seed -> its points, checked, see points.plan; errors name the command's flags."""
  check_flags(wanted)
  fewest = _fewest(wanted) if points.ONEPASS in wanted.methods else ""
  given = wanted.methods, wanted.heads, wanted.coefs
  seeds = range(wanted.config.seed, wanted.config.seed + wanted.seeds)
  plans = {seed: points.plan(*given, seed, wanted.compare, fewest) for seed in seeds}
  for seed, stages in plans.items():
    _check_configs(wanted, seed, *stages)
  return plans


def check_flags(wanted: Sweep) -> None:
  """Raises a UserError that names the flag of the command which cannot be."""
  config = wanted.config
  if Workdir(wanted.workdir).is_run():
    raise UserError(f"--workdir {wanted.workdir} is a run: a sweep's runs need another folder")
  if config.gates.kind != "concrete":
    raise UserError("--config: take concrete, with any preset; --methods says how heads are chosen")
  for amount in wanted.compare:
    if amount not in wanted.heads:
      raise UserError(f"--compare {amount}: is not one of --heads {', '.join(wanted.heads)}")
  for method in wanted.methods:
    if method not in points.METHODS:
      raise UserError(f"--methods {method!r}: is not one of {', '.join(points.METHODS)}")
  check_least("--seeds", wanted.seeds, 1)
  check_least("--together", wanted.together, 0)
  mrt.check(config, runs=wanted.together)
  if not wanted.heads and not wanted.coefs:
    raise UserError("--heads and --coefs are both empty: name numbers of heads")
  if wanted.coefs and "l0" not in wanted.methods:
    raise UserError("--coefs are prices for --methods l0: name it, or no --coefs")
  if not wanted.heads and set(wanted.methods) - {"l0", points.SCRATCH}:
    raise UserError("--heads is empty: methods besides l0 need numbers of heads")
  if points.SCRATCH in wanted.methods and "pretrain" not in config:
    raise UserError("--methods scratch trains as the baseline was: a pretrained model's is unknown")
  if len(wanted.baselines) not in (0, 1, wanted.seeds):
    raise UserError(f"--baselines: {len(wanted.baselines)} runs for --seeds {wanted.seeds}")
  for path in wanted.baselines:
    if not Workdir.at(path).read_summary():
      raise UserError(f"--baselines {path}: there is no finished run")
    if points.SCRATCH in wanted.methods and not _is_new(Workdir.at(path)):
      raise UserError(
        f"--methods scratch trains as the baseline was, but --baselines {path} was not trained "
        "from new parameters: leave scratch out"
      )
  path = wanted.start(config.seed)
  if not wanted.trains_baselines and not Workdir(path).read_summary():
    raise start.missing(path)


def _is_new(workdir: Workdir) -> bool:
  """Whether a finished run was trained from new parameters."""
  return workdir.read_summary().kind == "trained" and not config_lib.load(workdir).init_from


def _fewest(wanted: Sweep) -> str:
  """The number of heads that trunks end with."""
  types = wanted.config.gates.types
  return onepass.fewest(wanted.compare or wanted.heads, types, model(wanted, wanted.config.seed))


def model(wanted: Sweep, seed: int) -> ModelConfig:
  """The sizes of what the points of a seed start from, whether it is there yet or not."""
  _, config = started(wanted, seed)
  return derived.model_config(config.model)


def started(wanted: Sweep, seed: int) -> tuple[ConfigDict, ConfigDict]:
  """The config of what starts where a seed does: as given, as inherited from there."""
  config = ConfigDict(wanted.config.to_dict())
  config.init_from = str(wanted.start(seed))
  return config, inherit.inherit(config, Workdir(wanted.workdir))


def _check_configs(wanted: Sweep, seed: int, first: list[Point], later: list[Point]) -> None:
  """Raises a UserError for what can be known to be wrong with the runs of a seed."""
  config, path = wanted.config, str(wanted.start(seed))
  if wanted.trains_baselines:
    _check_baseline(wanted, seed, first)
  for point in first + later:
    workdir = Workdir(wanted.workdir / point.name)
    if point.method in points.CHOSEN:
      targets.check_reads_source(point.heads, config.gates.types, model(wanted, seed))
    given = path, {}, ""
    if workdir.is_run():  # it has its own gates, and a fork its own place on the trunk
      begun = config_lib.load(workdir)
      given = path, begun.gates.fixed.to_dict(), ""
      if point.method == points.ONEPASS:
        given = begun.init_from, begun.gates.fixed.to_dict(), begun.init_checkpoint
    if point.method != points.SCRATCH:
      mine = points.point_config(config, point, *given)
      checks.check(inherit.inherit(mine, workdir), workdir)
      if point.method == points.TRUNK:
        _check_trunk(mine, workdir, seed)
  _check_amounts(wanted, seed)
  check_start(wanted, seed, first)


def _check_amounts(wanted: Sweep, seed: int) -> None:
  """Raises a UserError for a number of heads that is given twice: it would count as two seeds."""
  found, given = {}, (wanted.config.gates.types, model(wanted, seed))
  for amount in wanted.heads:
    groups, wanted_G = targets.parse(amount, *given)
    other = found.setdefault((groups, tuple(wanted_G)), amount)
    if other != amount:
      raise UserError(f"--heads: {other} and {amount} are the same heads to keep: leave one out")


def _check_baseline(wanted: Sweep, seed: int, first: list[Point]) -> None:
  """Raises a UserError for a baseline that cannot be, or that would leave points behind."""
  own, there = points.baseline_config(wanted.config, seed), Workdir(wanted.start(seed))
  try:
    checks.check(own, there)
  except UserError as error:
    raise start.of_baseline(error) from error
  begun = _begun(wanted, first)
  if begun and there.read_summary() and not checks.finished(own, there):
    raise UserError(
      f"{there.path} would be trained on, but {', '.join(begun)} started from it as it is: take "
      "another --workdir, or leave config.pretrain.train.steps and .patience as they were"
    )


def _check_trunk(config: ConfigDict, trunk: Workdir, seed: int) -> None:
  """Raises a UserError for a trunk that would be another than the one which forks have left."""
  configs = trunk.path.parent.glob(f"{points.ONEPASS}-*-seed{seed}/{trunk.config.name}")
  forks = sorted(path.parent.name for path in configs)
  if forks and not checks.finished(config, trunk):
    raise UserError(
      f"{trunk.path} would be trained again, or on, but {', '.join(forks)} started from it as it "
      "was: restore it and config.train.steps, or remove all of these folders, and the same "
      "command makes them"
    )


def _begun(wanted: Sweep, chosen: list[Point]) -> list[str]:
  """The names of those points that are there, finished or not."""
  return [point.name for point in chosen if Workdir(wanted.workdir / point.name).is_run()]


def check_start(wanted: Sweep, seed: int, first: list[Point]) -> None:
  """Raises a UserError if points of a seed began from what its start was before."""
  file, now = _start_file(wanted, seed), start_state(wanted, seed)
  begun = _begun(wanted, first)
  if begun and now and file.exists() and read_json(file) != now:
    raise UserError(
      f"{wanted.start(seed)} was trained on, or made again, since {', '.join(begun)} started from "
      "it: restore it as it was, or take another --workdir"
    )


def _start_file(wanted: Sweep, seed: int) -> pathlib.Path:
  """What the points of a seed started from, as `start_state` has it."""
  return wanted.workdir / f"start-seed{seed}.json"


def start_state(wanted: Sweep, seed: int) -> dict | None:
  """What changes when the start of a seed is trained on; None if it is not finished."""
  done = Workdir(wanted.start(seed)).read_summary()
  return done and {"step": done.step, "dev_loss": done.dev_loss}


def note_start(wanted: Sweep, seed: int) -> None:
  """Writes down what the points of a seed start from, for `check_start`."""
  write_json(_start_file(wanted, seed), start_state(wanted, seed))
