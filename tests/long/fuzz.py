"""Damages every file of a small run at random and reads it: `python -m tests.long.fuzz`.

A reader must either give its result or raise a UserError of one line that names the file. Whatever
else it does is printed with the number that makes the same damage again (--first). 100,000
mutations of 12 files gave no traceback.
"""

import argparse
from collections.abc import Callable
import contextlib
import io
import json
import pathlib
import random
import tempfile
import time
import traceback

from headprune.analysis import figures
from headprune.analysis import result as result_lib
from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import derived, metrics, summary
from headprune.runs.run import load
from headprune.runs.workdir import Workdir
from headprune.text import tokenizer
from tests import small_run
from tests.analysis import results

LINES = ["the dog saw a cat", "", "x"]
EXTREMES = (None, True, -1, 0, 3, 10**10, 10**400, 0.5, 1e308, float("nan"), float("-inf"), "",
            "x", "\u2028", [], [[]], [1, [2]], {}, {"x": {}})  # fmt: skip


def main() -> None:
  parser = argparse.ArgumentParser(prog="python -m tests.long.fuzz", description=__doc__)
  parser.add_argument("--mutations", type=int, default=100_000)
  parser.add_argument("--first", type=int, default=0, help="number of the first one")
  args = parser.parse_args()
  begin = time.time()
  memory = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None  # a disk is ten times slower
  with tempfile.TemporaryDirectory(dir=memory) as folder:
    targets = make(pathlib.Path(folder))
    faults = run(targets, range(args.first, args.first + args.mutations))
  print(f"{args.mutations:,} mutations of {len(targets)} files in {time.time() - begin:.0f} s: "
        f"{len(faults)} faults")  # fmt: skip
  for number, path, report in faults[:20]:
    print(f"--first {number}: {path.name}\n{report}")
  raise SystemExit(bool(faults))


def make(folder: pathlib.Path) -> list[tuple[pathlib.Path, Callable]]:
  """Files to damage, each with the call that reads it, from two runs that are written here."""
  words, pieces = Workdir(folder / "words"), Workdir(folder / "pieces")
  small_run.make(words.path)
  rows = [{"step": i, "objective": 2.5, "dev_loss": 1.0, "dev_smoothed_loss": 0.5,
           "tokens_per_second": 100.0, "train_seconds": 1.5,
           "log_alpha": {"enc_self": [[0.5, -i], [1, 2]]}}
          for i in range(4)]  # fmt: skip
  words.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
  result_lib.write(words, results.RESULT)
  text = [" ".join(small_run.WORDS)] * 9
  tokenizer.train("bpe", text, text, 30, True, False, pieces.tokenizer)
  read = {
    words.config: lambda: _config(words),
    words.summary: lambda: _table(words),
    words.heads: lambda: _table(words),
    words.metrics: lambda: figures.gate_history(metrics.read(words)),
    words.analysis: lambda: result_lib.read(words),
  }
  read |= {path: lambda: _encode(words) for path in words.tokenizer.iterdir()}
  read |= {path: lambda: _encode(pieces) for path in pieces.tokenizer.iterdir()}
  step = words.checkpoints / "0"
  read |= {step / name: lambda: load(words.path) for name in ("checksums.json", "params/_METADATA")}
  return list(read.items())


def _table(workdir: Workdir) -> str:
  done = workdir.read_summary()
  return summary.table(done, workdir.read_heads(), done)


def _config(workdir: Workdir) -> None:
  """What is cheap of a config every time, one time in twenty the whole run."""
  config = config_lib.load(workdir)
  derived.fixed_gates(config.gates, derived.model_config(config.model))
  if len(workdir.config.read_bytes()) % 20 == 0:
    load(workdir.path)


def _encode(workdir: Workdir) -> list:
  return [t.decode(t.encode(LINES)) for t in tokenizer.load(workdir.tokenizer)]


def run(targets, numbers) -> list[tuple[int, pathlib.Path, str]]:
  """(number, file, what happened) of the mutations that a reader did not take well."""
  faults = []
  for number in numbers:
    path, read = targets[number % len(targets)]
    whole = path.read_bytes()
    path.write_bytes(mutate(whole, random.Random(number)))
    report = _judge(path, read)
    if report:
      faults.append((number, path, report))
    path.write_bytes(whole)
  return faults


def _judge(path: pathlib.Path, read: Callable) -> str:
  """What is wrong with how a damaged file is read, "" for nothing."""
  try:
    with contextlib.redirect_stderr(io.StringIO()):
      read()
  except UserError as error:
    names = [path.name, "checkpoints/0: damaged", "shared.vocab: damaged"]  # which they list
    if "\n" in str(error) or not any(name in str(error) for name in names):
      return f"not a line that names the file: {error}"
  except Exception:
    return traceback.format_exc(limit=-3)
  return ""


def mutate(data: bytes, rng: random.Random) -> bytes:
  """Damaged bytes: bits, ranges, or values of JSON."""
  if rng.random() < 0.4:
    with contextlib.suppress(ValueError):
      return _mutate_json(data, rng)
  first, last = sorted(rng.randrange(len(data) + 1) for _ in "ab")
  part = data[first:last]
  kind = rng.randrange(7)
  if kind == 0 and data:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
  other = {1: b"", 2: part * 2, 3: bytes(len(part)), 4: rng.randbytes(len(part)),
           5: rng.randbytes(rng.randrange(9)) + part, 6: part[::-1]}.get(kind, part)  # fmt: skip
  return data[:first] + other + data[last:]


def _mutate_json(data: bytes, rng: random.Random) -> bytes:
  """Another value, no value or another name at a random place of a JSON text or of its lines."""
  lines = data.decode().splitlines()
  several = len(lines) > 1 and lines[1].startswith("{")
  number = rng.randrange(len(lines)) if several else 0
  value = [json.loads(lines[number] if several else data)]
  node, key = value, 0
  while isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.9:
    node = node[key]
    key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
  kind = rng.randrange(4)
  if kind == 0 and node is not value:
    del node[key]
  elif kind == 1 and isinstance(node, dict):
    node[rng.choice(["x", key + ".x", ""])] = node.pop(key)
  else:
    node[key] = rng.choice(EXTREMES)
  text = json.dumps(value[0])
  return (
    "\n".join([*lines[:number], text, *lines[number + 1 :], ""]) if several else text
  ).encode()


if __name__ == "__main__":
  main()
