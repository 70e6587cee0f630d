"""Runs at work on real text, here and in CTranslate2: speed by turns, BLEU, size."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import os
import pathlib
import statistics
import tempfile

import jax
from ml_collections import ConfigDict

from headprune import layout, timing
from headprune.errors import UserError
from headprune.formats import ctranslate2 as export
from headprune.runs.run import Run
from headprune.text import bleu, sources
from headprune.translator.translator import length_limits

PEER = "ctranslate2"  # also with a quantization, as in "ctranslate2:int8"


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
  """A model in a program that translates lines of text."""

  run: str
  name: str
  megabytes: float  # of the model's numbers
  translate: Callable[[list[str]], list[str]]


def test_text(run: Run, count: int) -> tuple[list[str], list[str]]:
  """The first lines of a run's test set, or of its dev set if it has none."""
  try:
    pairs = sources.read_pairs(run.config.data, ("dev", "test"))
  except UserError as error:
    raise UserError(
      f"{run.workdir.path}: its dev and test data cannot be read ({error}): name a run first whose "
      "data is there"
    ) from error
  src_lines, references = pairs.get("test", pairs["dev"])
  return src_lines[:count], references[:count]


def here(run: Run, batch_size: int) -> Program:
  """A run in this program, in its own precision."""
  config = ConfigDict(run.config.to_dict())
  config.eval.batch_sentences = batch_size
  same = dataclasses.replace(run, config=config)
  size = sum(x.size for x in jax.tree.leaves(run.translator.params)) * 4 / 1e6
  name = f"headprune {run.translator.config.precision}"
  return Program(str(run.workdir.path), name, size, same.translate)


def elsewhere(
  run: Run, peer: str, folder: pathlib.Path, batch_size: int, lines: list[str]
) -> Program:
  """A run in CTranslate2, with the same beams and the same exponent of its own length penalty.

  It has one thread or one for each core, whichever is faster.

  Args:
    run: any that the format can hold.
    peer: PEER, or PEER:QUANTIZATION.
    folder: where to write the model, unless it is there.
    batch_size: sentences at a time; the engine sorts them by length as well.
    lines: to choose the number of threads on.
  """
  name, _, quantization = peer.partition(":")
  if name != PEER or quantization not in ("", *export.QUANTIZATIONS):
    known = ", ".join(f"{PEER}:{q}" for q in export.QUANTIZATIONS)
    raise UserError(f"--against: {peer!r} is not one of {PEER}, {known}")
  if not folder.exists():
    export.write(run, folder, quantization or None)
  c, target = run.config.eval, run.tgt_tokenizer
  id_of = {piece: i for i, piece in enumerate(target.pieces(range(target.vocab_size)))}

  def translate(lines, engine):
    rows = run.src_tokenizer.encode(lines)
    _, limit = length_limits(max(map(len, rows)))  # the engine has one for all
    found = engine.translate_batch(
      [run.src_tokenizer.pieces(ids[:-1]) for ids in rows],
      beam_size=c.beams, length_penalty=c.alpha, max_batch_size=batch_size,
      max_input_length=export.MAX_POSITIONS, max_decoding_length=min(limit, export.MAX_POSITIONS),
    )  # fmt: skip
    words = [[*(id_of[piece] for piece in one.hypotheses[0]), target.eos] for one in found]
    return target.decode(words)

  calls = {
    threads: functools.partial(
      translate, engine=export.engine(folder, quantization or "float32", threads)
    )
    for threads in sorted({1, os.cpu_count()})
  }
  _, timed = timing.take_turns([functools.partial(call, lines) for call in calls.values()], 1)
  best = min(calls, key=dict(zip(calls, map(min, timed))).get)
  size = (folder / "model.bin").stat().st_size / 1e6
  return Program(str(run.workdir.path), f"{peer}, {best} thread(s)", size, calls[best])


def measure(
  runs: Sequence[Run], peers: Sequence[str], batch_size: int, count: int, repeats: int
) -> list[dict]:
  """Speed, BLEU and size of all runs in all programs, which take turns.

  Args:
    runs: of the same languages; all translate the first one's text.
    peers: such as PEER; may be empty.
    batch_size: sentences translated at a time.
    count: sentences at most.
    repeats: timed translations of the text by each, at least.
  Returns:
    A row per run and program; `ratio` is its speed over that of the first run here, pair by pair of
    calls: median, least and most.
  """
  lines, references = test_text(runs[0], count)
  with tempfile.TemporaryDirectory() as folder:
    programs = [here(run, batch_size) for run in runs]
    programs += [
      elsewhere(run, peer, pathlib.Path(folder, f"{i}-{peer}"), batch_size, lines[:100])
      for peer in peers
      for i, run in enumerate(runs)
    ]
    texts = [program.translate(lines) for program in programs]
    calls = [lambda translate=program.translate: translate(lines) for program in programs]
    _, timed = timing.take_turns(calls, repeats)
  rows = []
  for program, text, seconds in zip(programs, texts, timed):
    ratios = [first / own for first, own in zip(timed[0], seconds)]
    rows.append({
      "run": program.run, "program": program.name, "batch": batch_size, "sentences": len(lines),
      "median": len(lines) / statistics.median(seconds),
      "low": len(lines) / max(seconds), "high": len(lines) / min(seconds),
      "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
      "bleu": bleu.score(text, references, runs[0].config.eval)[0], "megabytes": program.megabytes,
    })  # fmt: skip
  return rows


def table(rows: list[dict]) -> str:
  """The rows as text."""
  cells = [("run", "program", "batch", "sentences/s", "low", "high", "ratio", "BLEU", "MB")]
  for row in rows:
    ratio, low, high = row["ratio"]
    cells.append((
      row["run"], row["program"], str(row["batch"]),
      *(f"{row[key]:.1f}" for key in ("median", "low", "high")),
      f"{ratio:.2f} ({low:.2f} - {high:.2f})", f"{row['bleu']:.1f}", f"{row['megabytes']:.1f}",
    ))  # fmt: skip
  return layout.aligned(cells, "<<>")
