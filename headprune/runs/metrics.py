"""The numbers of a run over its steps: metrics.jsonl, and the same on TensorBoard."""

import json

import tensorboardX

from headprune.runs.workdir import Workdir, damaged, write_text


class Writer:
  """Appends rows to metrics.jsonl and TensorBoard."""

  def __init__(self, workdir: Workdir, step: int):
    """Opens the files; rows after `step`, left by an interrupted run, are removed."""
    kept = [json.dumps(row) + "\n" for row in read(workdir) if row["step"] <= step]
    write_text(workdir.metrics, "".join(kept))
    self._file = workdir.metrics.open("a")
    self._board = tensorboardX.SummaryWriter(str(workdir.tensorboard), purge_step=step + 1)

  def write(self, step: int, row: dict) -> None:
    """Writes one row; nested lists (gate values) go to TensorBoard element by element."""
    self._file.write(json.dumps({"step": step, **row}) + "\n")
    self._file.flush()
    for name, value in _scalars("", row):
      self._board.add_scalar(name, value, step)

  def close(self) -> None:
    self._file.close()
    self._board.close()


def read(workdir: Workdir) -> list[dict]:
  """All rows of a run so far; a last line that was cut off is left out.

  Raises:
    UserError: another line is damaged.
  """
  if not workdir.metrics.is_file():
    return []
  lines = workdir.metrics.read_bytes().split(b"\n")
  rows = []
  for number, line in enumerate(lines[:-1], 1):
    try:
      row = json.loads(line.decode("utf-8")) if line else None
      if row is not None:
        rows.append({**row, "step": int(row["step"])})
    except (KeyError, RecursionError, TypeError, ValueError) as error:
      raise damaged(f"{workdir.metrics}, line {number}", error) from error
  return rows


def _scalars(prefix: str, value):
  if isinstance(value, dict):
    for key, inner in value.items():
      yield from _scalars(f"{prefix}/{key}" if prefix else key, inner)
  elif isinstance(value, list):
    for i, inner in enumerate(value):
      yield from _scalars(f"{prefix}/{i}", inner)
  elif isinstance(value, (int, float)) and not isinstance(value, bool):
    yield prefix, value
