"""What an analysis is: a module with the two functions below, named in `survey.ANALYSES`.

  def add_options(add) -> None: ...
    Declares the analysis's command-line options; `add` is argparse's `add_argument`.

  def prepare(subject: Subject, options) -> Plan | None: ...
    Reads and checks what the analysis needs beside the subject, so that mistakes are told before
    anything is computed. None: the options leave this analysis out. `options` are the parsed ones.

What comes out (`result.Findings`) says itself what it means; command, report, figures and
analysis.json treat all analyses alike. An analysis that tells functions is in `survey.FUNCTIONS`
and gives `evidence.Counted`, from which intervals and trends are made.
"""

from collections.abc import Callable, Iterable
import dataclasses
import zlib

from headprune.analysis.result import Findings
from headprune.analysis.subject import Subject
from headprune.errors import UserError


@dataclasses.dataclass(frozen=True)
class Plan:
  """An analysis that is ready to run."""

  # Takes the subject, or one like it whose heads are drawn by lot: if there is a Kind in what it
  # finds, it is measured on such subjects as well, to tell what chance alone gives.
  measure: Callable[[Subject], Findings]
  # Thresholds, sizes and checksums that decide which head has a function: only runs that share
  # them can be compared with each other. Names are those of the options where there is one.
  settings: dict[str, float | str] = dataclasses.field(default_factory=dict)
  sentences: int | None = None  # that it goes through one by one; None is all of the subject's
  name: str = ""  # for people; survey.prepare gives it the module's


def check_share(name: str, value: float) -> float:
  """The value of an option that is a share.

  Raises:
    UserError: it is not in 0..1.
  """
  if not 0 <= value <= 1:
    raise UserError(f"--{name} {value:g} is a share, from 0 to 1")
  return value


def percent(share: float) -> str:
  """A share that was given, with the digits that it was given with: "90%", "12.5%"."""
  return f"{100 * share:.6g}%"


def check_unused(options, defaults: dict[str, float | str], needed: str) -> None:
  """Raises a UserError for the first option that was given, but has no effect.

  Args:
    options: the parsed ones.
    defaults: name -> default of those that have none.
    needed: what they would have an effect with.
  """
  for name, value in defaults.items():
    if getattr(options, name) != value:
      flag = name.replace("_", "-")
      raise UserError(f"--{flag} has no effect without {needed}: leave it out")


def checksum(lines: Iterable[str]) -> str:
  """CRC-32 of lines that were read: tells in an analysis's settings which ones they were."""
  total, between = 0, b""
  for line in lines:
    total, between = zlib.crc32(between + line.encode(), total), b"\n"
  return f"{total:08x}"


def no_options(add) -> None:
  """`add_options` of an analysis that has none."""
