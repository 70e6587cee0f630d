"""The folder of a run: every file name in it, whether it is finished, and new folders made whole.

config.json     all fields of its config, and what tells its tokenizer; it makes a folder a run
tokenizer/      see text.tokenizer
encoded/        the training pairs as ids, see text.encoding; made anew if it is gone
teacher.json    what tells the model that train.distill learns from
checkpoints/    see checkpoint; of a stopped run also stopped/; those found damaged are in damaged/
metrics.jsonl   one row per logged step, and the same as tensorboard/
translations/   of dev and test set, by step
diverged.txt    source and target of the pairs at which training broke down
heads.json      test-time gates: type -> layer -> a number for each head
summary.json    what came out; its existence says that the run is finished
analysis.json, report.html, figures/   what headprune analyze found
contributions.json, .html   what headprune contributions found; its figures are there too
trend.json, .csv   what headprune trend found; its figure is there too
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile

from headprune.errors import UserError
from headprune.files import damaged, read_json, without_links, write_json, writing
from headprune.runs import heads as heads_lib
from headprune.runs.summary import Summary


def _inside(name: str) -> property:
  """A path in a run's folder."""
  return property(lambda workdir: workdir.path / name)


@dataclasses.dataclass(frozen=True)
class Workdir:
  """A run's folder."""

  path: pathlib.Path

  config = _inside("config.json")
  tokenizer = _inside("tokenizer")
  encoded = _inside("encoded")
  teacher = _inside("teacher.json")
  checkpoints = _inside("checkpoints")
  stopped = _inside("stopped")
  damaged = _inside("damaged")
  metrics = _inside("metrics.jsonl")
  tensorboard = _inside("tensorboard")
  diverged = _inside("diverged.txt")
  heads = _inside("heads.json")
  summary = _inside("summary.json")
  analysis = _inside("analysis.json")
  report = _inside("report.html")
  figures = _inside("figures")
  contributions = _inside("contributions.json")
  contributions_page = _inside("contributions.html")
  trend = _inside("trend.json")
  trend_table = _inside("trend.csv")
  trend_figure = _inside("figures/trend.svg")

  @classmethod
  def at(cls, path: pathlib.Path | str) -> "Workdir":
    """The run's folder at a path as people give it."""
    return cls(pathlib.Path(path))

  def translations(self, split: str, step: int) -> pathlib.Path:
    """The file for a split's translations after a step."""
    return self.path / "translations" / f"{split}-{step:07d}.txt"

  def is_run(self) -> bool:
    """Whether there is a config, so that the folder belongs to this program."""
    return self.config.is_file()

  def read_summary(self, which: str = "last") -> Summary | None:
    """What a finished run recorded of a checkpoint, or None: all that is known is of the last."""
    if which != "last" or not self.summary.is_file():
      return None
    try:
      return Summary.from_json(read_json(self.summary))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise damaged(self.summary, error) from error

  def read_heads(self) -> dict:
    """The content of heads.json: type -> layer -> test-time gates."""
    if not self.heads.exists():
      raise UserError(
        f"{self.heads}: no such file; restore it, or remove summary.json and give the run's "
        "training command again"
      )
    try:
      return heads_lib.checked(read_json(self.heads))
    except ValueError as error:
      raise damaged(self.heads, error) from error

  def finish(self, summary: Summary, heads: dict) -> None:
    """Writes heads.json (type -> layer -> test-time gates), then summary.json: the run is over."""
    write_json(self.heads, heads)
    write_json(self.summary, summary.to_json())
    shutil.rmtree(self.stopped, ignore_errors=True)

  def reopen(self) -> None:
    """The run goes on: it is not finished any more, and its heads are not known."""
    self.summary.unlink(missing_ok=True)
    self.heads.unlink(missing_ok=True)

  def check_writable(self) -> None:
    """Raises a UserError if the folder cannot be written to, or is not there and cannot be made."""
    parent = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
      new = "" if parent == self.path else f"{self.path} cannot be made: "
      raise UserError(f"{new}{parent} is not a folder that one may write to")

  def list_files(self) -> str:
    """What lies in the folder, for people."""
    paths = [path for path in self.path.iterdir() if not path.name.startswith(".")]
    return ", ".join(sorted(path.name + "/" * path.is_dir() for path in paths))


def name_runs(paths: Sequence[str]) -> dict[str, str]:
  """Workdir -> what it is called: its last part, or as many as no other workdir ends in."""
  parts = {path: pathlib.Path(path).absolute().parts for path in paths}

  def name(path: str) -> str:
    for count in range(1, len(parts[path])):
      end = parts[path][-count:]
      if sum(others[-count:] == end for others in parts.values()) == 1:
        return "/".join(end)
    return path

  return {path: name(path) for path in paths}


def check_unused(out: pathlib.Path) -> None:
  """Raises a UserError if --out is there, unless it is an empty folder, or cannot be made."""
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise UserError(f"--out {out} exists and is not an empty folder: take another or remove it")
  Workdir(out).check_writable()


@contextlib.contextmanager
def new_folder(out: pathlib.Path) -> Iterator[pathlib.Path]:
  """A folder to fill, which becomes `out` when it is complete, or nothing stays.

  It is filled inside of an `out` that is there: that may be a mount, or the current folder.

  Raises:
    UserError: `out` is in use, or the disk does not take what is written.
  """
  check_unused(out)
  out = without_links(out)
  there = out.is_dir()
  with writing(out):
    place = out if there else out.parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{out.name}-") as folder:
      draft = pathlib.Path(folder) / out.name
      draft.mkdir()
      yield draft
      if there:
        _move_up(draft, out)
      else:
        draft.rename(out)


def _move_up(draft: pathlib.Path, out: pathlib.Path) -> None:
  """Moves all into `out`, what makes it a run last: half of a run is none."""
  config = Workdir(draft).config
  for path in sorted(draft.iterdir(), key=lambda path: path == config):
    path.rename(out / path.name)
