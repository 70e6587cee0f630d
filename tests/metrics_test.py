"""metrics.jsonl, TensorBoard events, the clock and the progress line."""

import json

import jax
import pytest
from tensorboardX.proto import event_pb2

from headprune import metrics


@pytest.fixture
def now(monkeypatch):
  """A clock that stands still until it is set."""
  time = [100.0]
  monkeypatch.setattr(metrics.time, "perf_counter", lambda: time[0])
  return time


def _events(workdir) -> list[tuple[int, str, float]]:
  """(step, tag, value) of all TensorBoard scalars."""
  found = []
  for path in sorted((workdir / "tensorboard").iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
      data = data[16 + length :]
  return found


def _write(workdir, start, rows):
  writer = metrics.Writer(workdir, start)
  for step, row in rows:
    writer.write(step, row)
  writer.close()


def test_rows_go_to_both_files(tmp_path):
  row = {"loss": 2.5, "tokens": 7, "open": {"enc_self": 3}, "gates": {"enc_self": [[0.5, 1.0]]}}
  _write(tmp_path, 0, [(5, row | {"signature": "x", "done": True})])
  assert metrics.read(tmp_path) == [{"step": 5, **row, "signature": "x", "done": True}]
  assert _events(tmp_path) == [
    (5, "loss", 2.5), (5, "tokens", 7.0), (5, "open/enc_self", 3.0),
    (5, "gates/enc_self/0/0", 0.5), (5, "gates/enc_self/0/1", 1.0),
  ]  # fmt: skip


def test_rows_are_readable_while_the_run_goes_on(tmp_path):
  writer = metrics.Writer(tmp_path, 0)
  writer.write(1, {"loss": 1.0})
  assert metrics.read(tmp_path) == [{"step": 1, "loss": 1.0}]
  writer.close()


def test_rows_of_steps_that_are_done_again_are_removed(tmp_path):
  _write(tmp_path, 0, [(10, {"loss": 3.0}), (20, {"loss": 2.0}), (30, {"loss": 1.0})])
  with (tmp_path / metrics.FILE).open("a") as file:
    file.write('{"step": 40, "lo')  # killed while it wrote
  assert [row["step"] for row in metrics.read(tmp_path)] == [10, 20, 30]
  _write(tmp_path, 20, [(30, {"loss": 1.5})])
  assert metrics.read(tmp_path) == [
    {"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": 1.5}
  ]  # fmt: skip
  assert not (tmp_path / metrics.FILE).with_suffix(".tmp").exists()


def test_no_file_is_no_rows(tmp_path):
  assert metrics.read(tmp_path) == []


def test_only_the_first_process_writes(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  _write(tmp_path, 0, [(1, {"loss": 1.0})])
  metrics.say("hello")
  assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""
  monkeypatch.setattr(jax, "process_index", lambda: 0)
  metrics.say("hello", 3)
  assert capsys.readouterr().out == "hello 3\n"


def test_rows_are_plain_json(tmp_path):
  _write(tmp_path, 0, [(1, {"text": "Größe\u2028"})])
  (line,) = (tmp_path / metrics.FILE).read_text().splitlines()
  assert json.loads(line) == {"step": 1, "text": "Größe\u2028"}


def test_the_clock_counts_training_alone(now):
  clock = metrics.Clock(step=10, steps=50, trained_seconds=30.0)
  assert clock.left(10) == float("inf")
  now[0] += 4.0
  with clock.paused():
    now[0] += 100.0
  now[0] += 1.0
  assert clock.read(20, 1000) == {"tokens_per_second": 200.0, "train_seconds": 35.0}
  assert clock.left(20) == 15.0  # 30 steps at 2 a second
  now[0] += 10.0
  assert clock.read(25, 1000) == {"tokens_per_second": 100.0, "train_seconds": 45.0}
  assert clock.left(25) == 50.0


def test_progress_line():
  row = {"loss": 4.03125, "tokens_per_second": 10300.4}
  assert metrics.progress(50, 1500, row, 61.0) == (
    "step   50/1500  loss 4.031  10,300 tokens/s  1:01 left"
  )
  row = {"dev_loss": 0.5, "dev_bleu": 91.26, "gates": {}, "open": {"enc_self": 3, "dec_enc": 16}}
  assert metrics.progress(1500, 1500, row, 0.0) == (
    "step 1500/1500  dev loss 0.500  dev BLEU 91.3  open enc_self 3 dec_enc 16"
  )


@pytest.mark.parametrize(
  "seconds, text",
  [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"),
   (90061, "25:01:01"), (float("inf"), "?"), (float("nan"), "?")],
)  # fmt: skip
def test_duration(seconds, text):
  assert metrics.duration(seconds) == text
