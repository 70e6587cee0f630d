"""What a finished run leaves to read: summary.json, heads.json and the closing table."""

import json
import pathlib

from headprune.metrics import duration


def path(workdir: pathlib.Path) -> pathlib.Path:
  """summary.json, whose existence says that the run is finished."""
  return workdir / "summary.json"


def read(workdir: pathlib.Path) -> dict | None:
  """The summary of a finished run, or None."""
  return json.loads(path(workdir).read_text()) if path(workdir).is_file() else None


def write(workdir: pathlib.Path, summary: dict, heads: dict) -> None:
  """Writes heads.json (type -> layer -> test-time gates), then summary.json, which ends the run."""
  for target, content in ((workdir / "heads.json", heads), (path(workdir), summary)):
    draft = target.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.rename(target)


def count_open(heads: dict) -> dict[str, list[int]]:
  """Heads whose test-time gate is above 0: type -> a number for each layer."""
  return {name: [sum(g > 0 for g in row) for row in layers] for name, layers in heads.items()}


def table(workdir: pathlib.Path, summary: dict, heads: dict, before: dict | None) -> str:
  """The closing table: quality before and after, open heads, speed, files.

  Args:
    workdir: the run.
    summary: from `write`.
    heads: type -> layer -> test-time gates.
    before: the summary of the run it started from, if any.
  """
  rows = []
  for key, name, digits in (
    ("dev_bleu", "dev BLEU", 2), ("test_bleu", "test BLEU", 2), ("dev_loss", "dev loss", 4)
  ):  # fmt: skip
    if summary.get(key) is not None:
      old = before.get(key) if before else None
      start = "" if old is None else f"{old:>8.{digits}f} -> "
      rows.append(f"  {name:<12}{start}{summary[key]:>8.{digits}f}")
  total = sum(len(row) for layers in heads.values() for row in layers)
  counts = count_open(heads)
  left = sum(map(sum, counts.values()))
  rows.append(f"  {'heads open':<12}{left} of {total}")
  for name, layers in heads.items():
    shown = "  ".join(f"{n}/{len(row)}" for n, row in zip(counts[name], layers))
    rows.append(f"    {name:<10}{shown}   (layer 1 first)")
  rows.append(
    f"  {'speed':<12}{summary['tokens_per_second']:,.0f} source + target tokens/s, "
    f"{summary['step']:,} steps in {duration(summary['train_seconds'])}"
  )
  rows.append(f"  {'BLEU':<12}{summary['signature']}")
  rows.append(f"  {'files':<12}{workdir}: {_files(workdir)}")
  return "\n".join(rows)


def _files(workdir: pathlib.Path) -> str:
  return ", ".join(sorted(p.name + "/" * p.is_dir() for p in workdir.iterdir()))
