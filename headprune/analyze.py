"""Tells what the heads of a run do: `python -m headprune.analyze --workdir runs/x`.

Writes analysis.json, figures and a self-contained report.html into the workdir. By default the text
is the dev set that the run's config names; syntax needs --conllu.
"""

import argparse
import dataclasses
import json
import pathlib

from headprune import cli, metrics, sources
from headprune.analysis import (
  alignment,
  compare,
  conllu,
  figures,
  functions,
  lrp_rules,
  report,
  survey,
)
from headprune.errors import UserError
from headprune.run import Run, load
from headprune.tokenizer import Whitespace

_FIGURE_TITLES = {
  "confidence": "Confidence",
  "relevance": "Relevance (LRP)",
  "gradient": "Gradient importance",
  "loss": "Loss increase when closed",
  "bleu": "BLEU lost when closed",
  "gate": "Test-time gate",
  "p_open": "P(open)",
}


def main() -> None:
  args = _parse()
  run = load(args.workdir, args.checkpoint)
  before = [_read_before(workdir) for workdir in args.before]
  options = _options(args)
  text, rank_V = _read_text(run, args)
  links = _read_links(args.alignments, len(text[0]))
  parsed = None
  if args.conllu:
    spaced = isinstance(run.src_tokenizer, Whitespace)
    parsed = conllu.read(args.conllu, spaced)[: args.sentences]
  pairs = survey.encode(run, *text, options.max_tokens)
  for workdir, result in zip(args.before, before):
    _check_alike(workdir, result, options, survey.sizes(pairs, parsed))
  if not pairs.text:
    raise UserError(f"the text has no pair with 1 to {options.max_tokens - 1} tokens a side")
  metrics.say(f"{len(pairs.text):,} sentence pairs, {len(parsed or ()):,} parsed sentences")
  result = survey.survey(run, pairs, rank_V, parsed, links, options)
  if before:
    result |= compare_with(before, result)
  write(run, result, pairs, args.maps)
  _print(result, run.workdir)


def compare_with(before: list[dict], after: dict) -> dict:
  """What became of the functions of earlier runs: "before" and "outcomes" for the report.

  Args:
    before: results of earlier runs; outcomes are told against the first of them.
    after: the result of this run.
  """
  pair = before[0], after
  shapes = [[len(row) for row in result["heads"]["enc_self"]] for result in pair]
  found = [result["functions"] for result in pair]
  rows = compare.outcomes(*found, same_heads=shapes[0] == shapes[1])
  runs = [{name: result[name] for name in ("run", "kinds")} for result in before]
  return {"before": runs, "outcomes": rows}


def write(run: Run, result: dict, pairs: survey.Pairs, maps: int) -> None:
  """Writes analysis.json, the figures and report.html.

  Args:
    run: the run, whose workdir takes the files.
    result: from survey.survey.
    pairs: the first `maps` of them are drawn in the report.
    maps: how many.
  """
  folder = run.workdir / "figures"
  folder.mkdir(exist_ok=True)
  shares = {name: {"enc_self": result["encoder"][name]} for name in report.shown_shares(result)}
  for score, by_type in (result["scores"] | shares).items():
    gates = {name: result["heads"][name] for name in by_type}
    figure = figures.score_grid(by_type, _FIGURE_TITLES.get(score, score), gates)
    name = score.replace("→", " to ").replace(",", "").replace(" ", "-")
    figures.save(figure, folder / f"{name}.svg")
  figures.save(figures.retained(result["heads"]), folder / "retained.svg")
  runs = [*result.get("before", ()), result]
  counts, names = [r["kinds"] for r in runs], [r["run"] for r in runs]
  figures.save(figures.functions_retained(counts, names), folder / "functions.svg")
  steps, history = figures.gate_history(metrics.read(run.workdir))
  pictures = {}
  if steps:
    figures.save(figures.gate_trajectories(steps, history), folder / "gates.svg")
    figures.gate_animation(steps, history, folder / "gates.gif")
    pictures = {name: (folder / name).read_bytes() for name in ("gates.svg", "gates.gif")}
  text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
  (run.workdir / "analysis.json").write_text(text, encoding="utf-8")
  shown = list(zip(*pairs.text[:maps]))
  drawn = survey.maps(run, *shown) if shown else []
  report.write(result | {"maps": drawn}, run.workdir / "report.html", pictures)


def _print(result: dict, workdir: pathlib.Path) -> None:
  for name, heads in result["functions"].items():
    print(f"  {name:<18} {', '.join(map(report.name_head, heads))}")
  print("  " + ", ".join(f"{count} {kind}" for kind, count in result["kinds"].items()))
  if result["aligning"] is not None:
    print(f"  {report.aligning(result)}")
  seen = {name.split(" ")[0] for name in result["relations"]}
  missing = [name for name in result["options"]["relations"] if name not in seen]
  if missing and result["sentences"]["parsed"]:
    print(f"  note: no case of {', '.join(missing)} in the parsed sentences")
  for row in result.get("outcomes", ()):
    print(f"  {row['outcome']:<6} {row['function']}")
  print(f"report: {workdir / 'report.html'}")


def _parse():
  parser = argparse.ArgumentParser(prog="python -m headprune.analyze", description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="a trained run")
  add("--checkpoint", default="last", help="last, best, or a step")
  add("--text", nargs=2, metavar=("SRC", "TGT"), help="parallel text instead of the dev set")
  add("--conllu", help="parsed source sentences (plain or .gz), for syntactic functions")
  add("--relations", default=",".join(functions.RELATIONS), help="comma-separated; exact names")
  add("--alignments", help="word alignments of the text in Pharaoh format")
  add("--before", nargs="+", default=[], metavar="WORKDIR", help="analysed runs to compare with")
  add("--frequencies", help="source text to count words in; by default the training text")
  add("--sentences", type=int, default=1000, help="at most so many of each file")
  add("--maps", type=int, default=4, help="sentences whose attention maps are in the report")
  limits = functions.Thresholds()
  add("--positional", type=float, default=limits.positional, help="share at one position")
  add("--syntactic", type=float, default=limits.syntactic, help="accuracy above the baseline")
  add("--rare", type=float, default=limits.rare, help="share on the rarest token")
  defaults = survey.Options()
  add("--aligning", type=float, default=limits.aligning, help="alignment error rate at most")
  add("--min-cases", type=int, default=limits.cases, help="of a relation, to count as syntactic")
  add("--rare-top", type=int, default=defaults.rare_top, help="ranks that are not rare")
  add("--max-offset", type=int, default=defaults.max_offset, help="relative positions to look at")
  add("--lrp-sentences", type=int, default=defaults.lrp_sentences, help="0: no relevance")
  add("--lrp-rule", choices=sorted(lrp_rules.RULES), default=defaults.lrp_rule)
  add("--bleu-sentences", type=int, default=0, help="BLEU after closing each head; slow")
  args = parser.parse_args()
  for name in ("sentences", "max_offset"):
    if getattr(args, name) < 1:
      raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)} must be at least 1")
  return args


def _check_alike(workdir: str, before: dict, options: survey.Options, sizes: dict) -> None:
  """Raises a UserError if an earlier run was analysed otherwise: functions would seem to change."""
  here = json.loads(json.dumps(dataclasses.asdict(options))) | sizes
  there = before["options"] | before["sentences"]
  fields = ("relations", "limits", "max_offset", "rare_top", *sizes)
  changed = [f"{f} {there.get(f)} -> {here[f]}" for f in fields if there.get(f) != here[f]]
  if changed:
    raise UserError(
      f"--before {workdir} was analysed otherwise ({'; '.join(changed)}): analyse it again with "
      "the same arguments"
    )


def _options(args) -> survey.Options:
  return survey.Options(
    relations=tuple(filter(None, args.relations.split(","))),
    limits=functions.Thresholds(
      args.positional, args.syntactic, args.rare, args.aligning, args.min_cases
    ),
    max_offset=args.max_offset,
    rare_top=args.rare_top,
    lrp_sentences=args.lrp_sentences,
    lrp_rule=args.lrp_rule,
    bleu_sentences=args.bleu_sentences,
  )


def _read_text(run: Run, args):
  """((source lines, target lines), rank_V of source ids by frequency)."""
  if args.text:
    text = sources.read_parallel(*args.text)
  else:
    text = sources.read_dev(run.config.data, "give --text SRC TGT")
  counted = _read_counted(run, args.frequencies, text[0])
  tokenizer = run.src_tokenizer
  rank_V = functions.ranks(tokenizer.encode(counted), tokenizer.vocab_size)
  return tuple(lines[: args.sentences] for lines in text), rank_V


def _read_counted(run: Run, path: str | None, text: list[str]) -> list[str]:
  """Source lines that tell how frequent a word is: a file, the training text, or else `text`."""
  if path:
    return sources.read_lines(path)
  try:
    return sources.read_pairs(run.config.data, ("train",))["train"][0]
  except UserError as error:
    metrics.say(f"note: words are counted in the analysed text itself ({error}); see --frequencies")
    return text


def _read_links(path: str | None, lines: int):
  if path is None:
    return None
  links = alignment.read(path)
  if len(links) < lines:
    raise UserError(f"{path} has {len(links)} lines for {lines} sentence pairs")
  return links


def _read_before(workdir: str) -> dict:
  path = pathlib.Path(workdir) / "analysis.json"
  if not path.is_file():
    raise UserError(f"--before {workdir}: no analysis.json; run headprune.analyze on it first")
  return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
  cli.run(main)
