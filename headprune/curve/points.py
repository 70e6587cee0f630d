"""The points of a pruning curve: which runs there are, what each is called, and its config."""

from collections.abc import Sequence
import dataclasses
import re

from ml_collections import ConfigDict

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs.heads import Lists

CONTROL, SCRATCH = "control", "scratch"
LEARNED = {"l0": "concrete", "topk": "topk"}  # method -> gates.kind
CHOSEN = ("gradient", "confidence", "lrp", "random")  # heads are chosen once, before training on
METHODS = (*LEARNED, *CHOSEN, SCRATCH)
HEADS = ("75%", "50%", "33%", "25%", "16%", "8%")


@dataclasses.dataclass(frozen=True)
class Point:
  """One run of a sweep."""

  method: str  # CONTROL or one of METHODS
  seed: int
  heads: str = ""  # as l0.target_heads; "" for the control and where `coef` says what heads cost
  coef: float | None = None  # as l0.coef

  @property
  def name(self) -> str:
    """That of its folder, such as l0-12-seed0."""
    amount = self.heads.replace("%", "pct") if self.coef is None else f"coef{self.coef:g}"
    parts = (self.method, re.sub(r"[^\w.]+", "-", amount), f"seed{self.seed}")
    return "-".join(filter(None, parts))


def baseline_name(seed: int) -> str:
  """The folder of the baseline of a seed."""
  return f"baseline-seed{seed}"


def plan(
  methods: Sequence[str],
  heads: Sequence[str],
  coefs: Sequence[float],
  seed: int,
  compared: Sequence[str] = (),
) -> tuple[list[Point], list[Point]]:
  """The points of one seed: those that start from its baseline, and those that need these.

  The control is the first, whatever the methods. Coefficients are for "l0" alone.

  Args:
    methods: of METHODS.
    heads: targets, each in a form that l0.target_heads has.
    coefs: of l0.coef.
    seed: of initialisation, data order and noise.
    compared: those of `heads` at which methods besides "l0" are tried; () is all.
  Raises:
    UserError: "scratch" without the runs whose heads it takes.
  """
  if SCRATCH in methods and "l0" not in methods:
    raise UserError("--methods scratch takes the heads that l0 finds: name l0 as well")
  first = [Point(CONTROL, seed)]
  for method in (m for m in methods if m != SCRATCH):
    amounts = heads if method == "l0" else compared or heads
    first += [Point(method, seed, heads=amount) for amount in amounts]
    if method == "l0":
      first += [Point(method, seed, coef=coef) for coef in coefs]
  if SCRATCH not in methods:
    return first, []
  found = [p for p in first if p.method == "l0" and (p.heads in compared or not compared)]
  return first, [dataclasses.replace(point, method=SCRATCH) for point in found]


def baseline_config(config: ConfigDict, seed: int) -> ConfigDict:
  """The config of the baseline that is trained for a seed."""
  return _changed(config_lib.pretraining(config), {"seed": seed})


def point_config(
  config: ConfigDict, point: Point, baseline: str, heads: Lists | None = None
) -> ConfigDict:
  """The config of a point.

  Args:
    config: of the "concrete" method; what all points share.
    point: which one.
    baseline: workdir that it starts from.
    heads: the gates of a method in CHOSEN, or of "scratch".
  """
  own = {"seed": point.seed, "init_from": baseline, "l0.coef": 0.0, "l0.target_heads": ""}
  if point.method in LEARNED:
    own |= {"gates.kind": LEARNED[point.method], "l0.target_heads": point.heads}
    own["l0.coef"] = point.coef or 0.0
    return _changed(config, own)
  own["optim.rules"] = _without_gates(config.optim.rules)
  if point.method == CONTROL:
    return _changed(config, own | {"gates.kind": "none"})
  own |= {"gates.kind": "fixed", "gates.fixed_from": "", "gates.chosen_by": point.method}
  own |= {f"gates.fixed.{name}": _tuples(layers) for name, layers in heads.items()}
  if point.method == SCRATCH:
    baseline = baseline_config(config, point.seed)
    return _changed(baseline, own | {"init_from": "", "optim.rules": baseline.optim.rules})
  return _changed(config, own | {"train.translate_first": True})


def together(point: Point) -> tuple:
  """Points of one seed and of equal value here differ in what is traced alone."""
  if point.method == SCRATCH:
    return (SCRATCH,)
  if point.method not in LEARNED:
    return ("fixed",)
  return point.method, re.sub(r"\d+%?", "N", point.heads)


def _without_gates(rules: tuple) -> tuple:
  """Rules of a run that learns no gates, whose pattern would match nothing."""
  return tuple(rule for rule in rules if not rule[0].startswith("gates/"))


def _tuples(layers) -> tuple:
  return tuple(map(tuple, layers))


def _changed(config: ConfigDict, fields: dict) -> ConfigDict:
  result = ConfigDict(config.to_dict())
  if "pretrain" in result:
    del result.pretrain
  result.update_from_flattened_dict(fields)
  return result.lock()
