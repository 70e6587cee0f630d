"""What analyses find, as typed values; report, figures and analysis.json are made of them."""

from collections.abc import Iterator
import dataclasses

from headprune.errors import UserError
from headprune.files import read_json, write_json
from headprune.nn.config import TYPES
from headprune.runs import stored
from headprune.runs.heads import Layers, Lists
from headprune.runs.workdir import Workdir

Head = tuple[int, int]  # layer and head, from 0

TITLES = {
  "enc_self": "encoder self-attention",
  "dec_self": "decoder self-attention",
  "dec_enc": "cross-attention",
}
LAST = "last"
IMPORTANCE, SHARE = "importance", "share"
FORMS = (
  "text", "wrapped text", "number", "numbered text", "percent", "points", "offset", "signed",
  "head", "heads",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Score:
  """A number for every head of some attention types."""

  key: str  # names its figure and its entry in analysis.json; fit for a file name
  title: str
  meaning: str  # a sentence for the report
  values: Lists
  # IMPORTANCE: how much a head matters or how sure it is, a column of the table of all heads that
  # is compared with the others. SHARE: how often its largest weight is at one kind of place.
  kind: str = IMPORTANCE
  full: float | None = None  # the value that gets full colour; None: the largest
  drawn: bool = True  # as a grid in the report and as a figure

  def __post_init__(self):
    if self.kind not in (IMPORTANCE, SHARE) or not set(self.values) <= set(TYPES):
      raise ValueError(f"score {self.key}: kind {self.kind!r}, types {', '.join(self.values)}")

  @property
  def heading(self) -> str:
    """The title as a heading begins."""
    return self.title[0].upper() + self.title[1:]


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of function, and when a head has one."""

  name: str
  type: str  # attention type whose heads may have it
  rule: str  # a sentence for the report
  useful: bool = True  # whether its heads have a function; being idle is none
  interval: tuple[int, int] | None = None  # 95%, of the number of heads that count under it
  chance: float | None = None  # the mean number of such heads in models that `chance` draws
  nearest: str | None = None  # where no head has one: what the best reaches, and what it would need


@dataclasses.dataclass(frozen=True)
class Function:
  """Something that heads do, of those that are open."""

  kind: str  # name of its Kind
  name: str
  type: str
  heads: tuple[Head, ...]  # at least one
  measure: str  # what `strength` is: "share", "accuracy", "error rate"
  strength: float  # of the best of the heads, 0..1
  baseline: float | None = None  # what the same measure is without any head
  interval: tuple[float, float] | None = None  # 95%, of `strength`


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a table; `form`, in FORMS, says what its cells are and how they are written."""

  name: str
  form: str = "number"

  def __post_init__(self):
    if self.form not in FORMS:
      raise ValueError(f"column {self.name}: form {self.form!r} is not one of {', '.join(FORMS)}")


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of the report. Cells: strings, numbers (shares for percent), heads; None is empty."""

  title: str
  meaning: str
  columns: tuple[Column, ...]
  rows: tuple[tuple, ...]


@dataclasses.dataclass(frozen=True)
class Correlation:
  """Rank correlations between scores of the open heads of one attention type."""

  type: str
  scores: tuple[str, ...]  # their keys
  matrix: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
  """What one analysis found; all of it may be left out."""

  scores: tuple[Score, ...] = ()
  kinds: tuple[Kind, ...] = ()
  functions: tuple[Function, ...] = ()
  tables: tuple[Table, ...] = ()
  numbers: dict[str, float] = dataclasses.field(default_factory=dict)  # for analysis.json
  notes: tuple[str, ...] = ()  # sentences, for the terminal and the head of the report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(Findings):
  """What all analyses found, of one run on one text."""

  run: str
  settings: dict[str, float | str]  # what two runs must share for their functions to be compared
  sentences: int  # pairs
  heads: Lists  # test-time gates of the heads that there are
  checkpoint: str = LAST  # "last", which its summary tells of, "best" or a step
  step: int | None = None  # of the last one; None of models from elsewhere and of older versions
  correlations: tuple[Correlation, ...] = ()

  @property
  def title(self) -> str:
    """The run, and which of its checkpoints where that is not the last."""
    return self.run if self.checkpoint == LAST else f"{self.run}, checkpoint {self.checkpoint}"

  def score(self, key: str) -> Score:
    """The score with a key; KeyError if it was not measured."""
    return {score.key: score for score in self.scores}[key]

  def list_open(self, name: str) -> Iterator[Head]:
    """The open heads of an attention type."""
    for n, row in enumerate(self.heads[name]):
      yield from ((n, h) for h, gate in enumerate(row) if gate > 0)


def to_json(result: Result) -> dict:
  """The content of analysis.json; scores stand under their keys."""
  return dataclasses.asdict(result) | {
    "scores": {score.key: dataclasses.asdict(score) for score in result.scores}
  }


def from_json(value: dict) -> Result:
  """The other way.

  Raises:
    AttributeError, KeyError, TypeError, ValueError: it is not what `to_json` makes.
  """
  several = lambda make, items: tuple(make(item) for item in items)
  return Result(
    run=str(value["run"]),
    settings=dict(value["settings"]),
    sentences=int(value["sentences"]),
    heads={name: _layers(value["heads"][name]) for name in TYPES},
    scores=several(_score, value["scores"].values()),
    kinds=several(_kind, value["kinds"]),
    functions=several(_function, value["functions"]),
    tables=several(_table, value["tables"]),
    numbers={str(name): float(x) for name, x in value["numbers"].items()},
    notes=several(str, value["notes"]),
    checkpoint=str(value.get("checkpoint", LAST)),  # older versions wrote none
    step=None if value.get("step") is None else int(value["step"]),
    correlations=several(_correlation, value["correlations"]),
  )


def write(workdir: Workdir, result: Result) -> None:
  """Writes analysis.json."""
  write_json(workdir.analysis, to_json(result))


def read(workdir: Workdir) -> Result:
  """Reads analysis.json.

  Raises:
    UserError: there is none, or it is not what this version of the program writes.
  """
  value = read_json(workdir.analysis)
  try:
    return from_json(value)
  except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    raise UserError(
      f"{workdir.analysis}: damaged, or of another version of the program ({reason}); run "
      "headprune analyze on it again"
    ) from error


def is_outdated(result: Result, workdir: Workdir) -> bool:
  """Whether the run was trained on since its last checkpoint was analysed."""
  if result.checkpoint != LAST or result.step is None:
    return False
  return stored.last_step(workdir) not in (result.step, None)  # None: its checkpoints are gone


def _score(value: dict) -> Score:
  return Score(**value | {"values": {name: _layers(x) for name, x in value["values"].items()}})


def _function(value: dict) -> Function:
  heads, interval = tuple(map(_head, value["heads"])), _interval(value["interval"], float)
  return Function(**value | {"heads": heads, "interval": interval})


def _kind(value: dict) -> Kind:
  return Kind(**value | {"interval": _interval(value["interval"], int)})


def _interval(value, make) -> tuple | None:
  if value is None:
    return None
  low, high = map(make, value)
  return low, high


def _table(value: dict) -> Table:
  columns = tuple(Column(**item) for item in value["columns"])
  return Table(
    **value | {"columns": columns, "rows": tuple(_row(row, columns) for row in value["rows"])}
  )


def _row(row: list, columns: tuple[Column, ...]) -> tuple:
  makers = {"head": _head, "heads": lambda cell: tuple(map(_head, cell))}
  if len(row) != len(columns):
    raise ValueError(f"a row of {len(row)} cells under {len(columns)} columns")
  return tuple(makers.get(column.form, lambda cell: cell)(x) for x, column in zip(row, columns))


def _correlation(value: dict) -> Correlation:
  matrix = tuple(tuple(map(float, row)) for row in value["matrix"])
  return Correlation(**value | {"scores": tuple(map(str, value["scores"])), "matrix": matrix})


def _head(value) -> Head:
  layer, head = map(int, value)
  return layer, head


def _layers(value) -> Layers:
  return [[float(x) for x in row] for row in value]
