"""The points of a pruning curve: which runs there are, what each is called, and its config."""

from collections.abc import Sequence
import dataclasses
import re

from ml_collections import ConfigDict

from headprune.curve import onepass
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import derived
from headprune.runs.heads import Lists

BASELINE, CONTROL, SCRATCH = "baseline", "control", "scratch"
LEARNED = {"l0": "concrete", "topk": "topk"}  # method -> gates.kind
CHOSEN = ("gradient", "confidence", "lrp", "random")  # heads are chosen once, before training on
ONEPASS, TRUNK = "onepass", "trunk"  # heads are chosen on the way of one run, the seed's trunk
METHODS = (*LEARNED, ONEPASS, *CHOSEN, SCRATCH)
HEADS = ("50%", "25%", "16%")


@dataclasses.dataclass(frozen=True)
class Point:
  """One run of a sweep."""

  method: str  # BASELINE, CONTROL, TRUNK or one of METHODS
  seed: int
  heads: str = ""  # as l0.target_heads; "" without gates and where `coef` says what heads cost
  coef: float | None = None  # as l0.coef

  @property
  def name(self) -> str:
    """That of its folder, such as l0-12-seed0."""
    coef = repr(self.coef).removesuffix(".0")  # all its digits: another price is another folder
    amount = self.heads.replace("%", "pct") if self.coef is None else f"coef{coef}"
    amount = "" if self.method == TRUNK else amount  # one for all numbers of heads
    parts = (self.method, re.sub(r"[^\w.]+", "-", amount), f"seed{self.seed}")
    return "-".join(filter(None, parts))

  @property
  def source(self) -> "Point | None":
    """The point of the same sweep that finds its heads, if one does."""
    if self.method == SCRATCH:
      return dataclasses.replace(self, method="l0")
    return Point(TRUNK, self.seed) if self.method == ONEPASS else None


def plan(
  methods: Sequence[str],
  heads: Sequence[str],
  coefs: Sequence[float],
  seed: int,
  compared: Sequence[str] = (),
  fewest: str = "",
) -> tuple[list[Point], list[Point]]:
  """The points of one seed: those that need only its baseline, and those that need these.

  The control is the first, whatever the methods. Coefficients are for "l0" alone.

  Args:
    methods: of METHODS.
    heads: targets, each in a form that l0.target_heads has.
    coefs: of l0.coef.
    seed: of initialisation, data order and noise.
    compared: those of `heads` at which methods besides "l0" are tried; () is all.
    fewest: what the trunk of "onepass" ends with, see onepass.fewest.
  Raises:
    UserError: "scratch" without the runs whose heads it takes.
  """
  if SCRATCH in methods and "l0" not in methods:
    raise UserError("--methods scratch takes the heads that l0 finds: name l0 as well")
  first = [Point(CONTROL, seed)]
  if ONEPASS in methods:
    first.append(Point(TRUNK, seed, heads=fewest))
  for method in (m for m in methods if m not in (ONEPASS, SCRATCH)):
    amounts = heads if method == "l0" else compared or heads
    first += [Point(method, seed, heads=amount) for amount in amounts]
    if method == "l0":
      first += [Point(method, seed, coef=coef) for coef in coefs]
  later = [Point(ONEPASS, seed, amount) for amount in compared or heads if ONEPASS in methods]
  if SCRATCH in methods:
    found = [p for p in first if p.method == "l0" and (p.heads in compared or not compared)]
    later += [dataclasses.replace(point, method=SCRATCH) for point in found]
  return first, later


def baseline_config(config: ConfigDict, seed: int) -> ConfigDict:
  """The config of the baseline that is trained for a seed."""
  return _changed(config_lib.pretraining(config), {"seed": seed})


def point_config(
  config: ConfigDict,
  point: Point,
  baseline: str,
  heads: Lists | None = None,
  checkpoint: str = "",
  like: ConfigDict | None = None,
) -> ConfigDict:
  """The config of a point.

  Args:
    config: of the "concrete" method; what all points share.
    point: which one.
    baseline: workdir that it starts from, the trunk for "onepass".
    heads: the gates of a method in CHOSEN, of "onepass" or of "scratch".
    checkpoint: of `baseline`, as init_checkpoint; "" is what `config` says.
    like: the baseline's config: "scratch" has its architecture, tokenizer and schedule.
  """
  own = {"seed": point.seed, "init_from": baseline, "l0.coef": 0.0, "l0.target_heads": ""}
  if point.method in LEARNED:
    own |= {"gates.kind": LEARNED[point.method], "l0.target_heads": point.heads}
    own["l0.coef"] = point.coef or 0.0
    return _changed(config, own)
  if point.method == TRUNK:
    own |= {"gates.kind": LEARNED["l0"], "gates.chosen_by": TRUNK, "l0.target_heads": point.heads}
    return _changed(config, own | onepass.trunk_fields(config))
  own["optim.rules"] = _without_gates(config.optim.rules)
  if point.method == CONTROL:
    return _changed(config, own | {"gates.kind": "none"})
  own |= {"gates.kind": "fixed", "gates.fixed_from": "", "gates.chosen_by": point.method}
  own["gates.chosen_for"] = point.heads
  own |= {f"gates.fixed.{name}": _tuples(layers) for name, layers in heads.items()}
  if point.method == SCRATCH:
    recipe = baseline_config(config, point.seed)
    fields, same = derived.flatten(like or recipe), ("model.", "tokenizer.", "train.", "optim.")
    own |= {name: value for name, value in fields.items() if name.startswith(same)}
    return _changed(recipe, own | {"init_from": ""})
  own |= {"train.translate_first": True, "init_checkpoint": checkpoint or config.init_checkpoint}
  return _changed(config, own | (onepass.fork_fields(config) if point.method == ONEPASS else {}))


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
