"""Tells how much of each word a run takes from the source, how much from what it has written.

`headprune contributions --workdir runs/x runs/y` propagates relevance down to the words that are
read (Voita, Sennrich and Titov, ACL 2021), and writes contributions.json, contributions.html and
figures into the first run's folder. All sentences have one source and one target length, so that
positions can be averaged. The text is the dev set of the first run's config, or --text.
"""

import argparse
from collections.abc import Callable
import dataclasses

from headprune import cli
from headprune.analysis import drawing, plug
from headprune.analysis.contributions import figures, measuring, page, prefixes, result
from headprune.analysis.contributions.result import Result
from headprune.errors import UserError, check_least
from headprune.files import write_bytes, write_json, write_text
from headprune.meter import Meter
from headprune.runs import config as config_lib
from headprune.runs import stored
from headprune.runs.run import load
from headprune.runs.workdir import Workdir, name_runs
from headprune.text import sources


def main() -> None:
  args = _parse()
  check_least("--sentences", args.sentences, 1)
  for name in ("resamples", "seed"):
    check_least(f"--{name}", getattr(args, name), 0)
  if args.length and min(args.length) < 2:
    raise UserError(f"--length {args.length[0]} {args.length[1]}: both must be at least 2")
  chosen = _listed("prefix", args.prefix, prefixes.PREFIXES)
  wanted = [
    (path, which) for path in args.workdir for which in _checkpoints(path, args.checkpoints)
  ]
  if not (args.resamples or prefixes.RANDOM in chosen):
    plug.check_unused(args, {"seed": 0}, "--resamples or --prefix random")
  workdir = Workdir.at(args.workdir[0])
  workdir.check_writable()
  with Meter() as meter:
    found = _compare(args, wanted, chosen, meter)
    meter.begin("drawing", 0)
    write(workdir, found)
  print(page.describe(found))
  print(page.table(found))
  print(f"report: {workdir.contributions_page}")


def write(workdir: Workdir, found: Result) -> None:
  """Writes numbers, figures and page into a run's folder."""
  pictures = {name: drawing.render(figure) for name, figure in figures.draw(found).items()}
  for name, data in pictures.items():
    write_bytes(workdir.figures / f"{name}.svg", data)
  for path in workdir.figures.glob("contributions*.svg"):  # of another call, over steps
    if path.stem not in pictures:
      path.unlink(missing_ok=True)
  write_json(workdir.contributions, dataclasses.asdict(found))
  write_text(workdir.contributions_page, page.page(found, pictures))


def _compare(
  args: argparse.Namespace, wanted: list[tuple[str, str]], chosen: list[str], meter: Meter
) -> Result:
  """Measures each checkpoint with each prefix.

  Args:
    args: the command's.
    wanted: (workdir, checkpoint) in the order of the report.
    chosen: prefixes.
    meter: shows how far it is.
  """

  def begin(task: str, total: int) -> Callable[[int], None]:
    meter.begin(task, total)
    return meter.add

  names, found, text = name_runs(args.workdir), [], None
  for path, which in wanted:
    meter.begin(f"reading {path}", 0)
    run = load(path, which)
    if text is None:
      lines = sources.read_given(args.text, run.config.data, "give --text SRC TGT")
      text = measuring.encode(run, *lines, others=args.workdir[1:])
      lengths = tuple(args.length) if args.length else prefixes.most_frequent(text)
    for prefix in chosen:
      of = which, names[path], begin, args.seed
      found.append(measuring.measure(run, text, lengths, prefix, args.sentences, *of))
  return result.summarise(len(text), lengths, found, args.resamples, args.seed)


def _checkpoints(path: str, named: str) -> list[str]:
  """Which of a run's checkpoints --checkpoints means."""
  workdir = Workdir.at(path)
  config_lib.load(workdir)  # which says it if this is no run
  stored.some_steps(workdir)  # and if it has no checkpoint
  if named == "all":
    return stored.kept(workdir)
  return _listed("checkpoints", named, stored.choices(workdir), f" of {path}")


def _listed(option: str, text: str, known, where: str = "") -> list[str]:
  """The words of an option that takes several, each one that is known."""
  words = [word.strip() for word in text.split(",")]
  for word in words:
    if word not in known:
      raise UserError(f"--{option} {text}: {word!r} is not one{where}: {', '.join(known)}")
  return list(dict.fromkeys(words))


def _parse() -> argparse.Namespace:
  parser = cli.Parser(prog="headprune contributions", description=__doc__)
  add = parser.add_argument
  add("--workdir", nargs="+", required=True, help="trained runs that share a tokenizer")
  add(
    "--checkpoints", default="last", metavar="LIST",
    help="last, best, steps such as 250,500, or all that the runs keep",
  )  # fmt: skip
  add(
    "--prefix", default=prefixes.REFERENCE, metavar="LIST",
    help="what was written before: reference, own (the run's translation) or random (another "
    "sentence), or several of them",
  )  # fmt: skip
  add("--sentences", type=int, default=200, metavar="N", help="at most so many of each line")
  add(
    "--length", nargs=2, type=int, metavar=("S", "T"),
    help="tokens of source and target, EOS included (default: the most frequent in the text)",
  )  # fmt: skip
  add(
    "--resamples", type=int, default=1000, metavar="N",
    help="of the sentences, for intervals; 0: none",
  )  # fmt: skip
  add(
    "--seed", type=int, default=0, metavar="N",
    help="of --resamples and of random prefixes",
  )  # fmt: skip
  add("--text", nargs=2, metavar=("SRC", "TGT"), help="parallel text instead of the dev set")
  return parser.parse_args()


if __name__ == "__main__":
  cli.run(main)
