"""metrics.jsonl and TensorBoard events."""

import json

import pytest
from tensorboardX.proto import event_pb2

from headprune.errors import UserError
from headprune.runs import metrics
from headprune.runs.workdir import Workdir
from tests import file_limit


@pytest.fixture
def workdir(tmp_path) -> Workdir:
  return Workdir(tmp_path)


def _events(workdir) -> list[tuple[int, str, float]]:
  """(step, tag, value) of all TensorBoard scalars."""
  found = []
  for path in sorted(workdir.tensorboard.iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      lines = [v for v in event.summary.value if v.HasField("simple_value")]
      found += [(event.step, v.tag, v.simple_value) for v in lines]
      data = data[16 + length :]
  return found


def _write(workdir, start, rows):
  writer = metrics.Writer(workdir, start, {})
  for step, row in rows:
    writer.write(step, row)
  writer.close()


def test_rows_go_to_both_files(workdir):
  row = {
    "objective": 2.5,
    "tokens": 7,
    "open": {"enc_self": 2, "dec_self": 3},
    "log_alpha": {"enc_self": [[0.1, 2.5]]},
    "gates": {"enc_self": [[0.5, 1.0]]},
  }
  _write(workdir, 0, [(5, row | {"signature": "x", "done": True})])
  assert metrics.read(workdir) == [{"step": 5, **row, "signature": "x", "done": True}]
  assert _events(workdir) == [
    (5, "objective", 2.5), (5, "tokens", 7.0), (5, "open/enc_self", 2.0), (5, "open/dec_self", 3.0),
  ]  # fmt: skip


def test_rows_are_readable_while_the_run_goes_on(workdir):
  writer = metrics.Writer(workdir, 0, {})
  writer.write(1, {"objective": 1.0})
  assert metrics.read(workdir) == [{"step": 1, "objective": 1.0}]
  assert _events(workdir) == [(1, "objective", 1.0)], "a kill now would lose nothing"
  writer.close()


def test_the_board_has_a_row_before_metrics_has_it(workdir, monkeypatch):
  writer = metrics.Writer(workdir, 0, {})
  monkeypatch.setattr(metrics.json, "dumps", lambda _: exec("raise KeyboardInterrupt"))
  with pytest.raises(KeyboardInterrupt):
    writer.write(1, {"objective": 1.0})
  assert metrics.read(workdir) == [] and _events(workdir) == [(1, "objective", 1.0)]


def test_rows_of_steps_that_are_done_again_are_removed(workdir):
  _write(workdir, 0, [(10, {"objective": 3.0}), (20, {"objective": 2.0}), (30, {"objective": 1.0})])
  with workdir.metrics.open("a") as file:
    file.write('{"step": 40, "lo')  # killed while it wrote
  assert [row["step"] for row in metrics.read(workdir)] == [10, 20, 30]
  _write(workdir, 20, [(30, {"objective": 1.5})])
  assert metrics.read(workdir) == [
    {"step": 10, "objective": 3.0}, {"step": 20, "objective": 2.0}, {"step": 30, "objective": 1.5}
  ]  # fmt: skip
  assert {path.name for path in workdir.path.iterdir()} == {"metrics.jsonl", "tensorboard"}


def test_a_run_that_goes_on_within_a_second_leaves_the_board_as_it_was(workdir):
  for step in (1, 2):
    _write(workdir, step - 1, [(step, {"objective": 1.0 * step})])
  assert _events(workdir) == [(1, "objective", 1.0), (2, "objective", 2.0)]


def test_the_board_forgets_steps_that_are_done_again(workdir):
  _write(workdir, 20, [(30, {"objective": 1.5})])
  (path,) = workdir.tensorboard.iterdir()
  data, steps = path.read_bytes(), []
  while data:
    length = int.from_bytes(data[:8], "little")
    event = event_pb2.Event.FromString(data[12 : 12 + length])
    steps += [event.step] if event.HasField("session_log") else []
    data = data[16 + length :]
  assert steps == [21]  # TensorBoard drops what older files say of this step and later ones


def test_a_full_disk_is_named(workdir):
  with file_limit.bytes_of_a_file(10):
    with pytest.raises(UserError, match="tensorboard cannot be written .File too large"):
      metrics.Writer(workdir, 0, {"seed": 1})


def test_no_file_is_no_rows(workdir):
  assert metrics.read(workdir) == []


def test_rows_are_plain_json(workdir):
  _write(workdir, 0, [(1, {"text": "Größe\u2028"})])
  (line,) = workdir.metrics.read_text().splitlines()
  assert json.loads(line) == {"step": 1, "text": "Größe\u2028"}


@pytest.mark.parametrize(
  "line",
  [b"{", b"[1]", b"{}", b'{"step": "x"}', b"\xff", b'{"step": null}', b'{"step": 1e400}',
   b'{"step": 2, "open": 3}', b'{"step": 2, "open": {"enc_self": "x"}}',
   b'{"step": 2, "open": {"enc_self": 1.5}}', b'{"step": 2, "open": {"enc_self": -1}}',
   b'{"step": 2, "open": {"enc_selg": 1}}',
   b'{"step": 2, "objective": "x"}', b'{"step": 2, "log_alpha": {"enc_self": 3}}', b"[" * 100000],
)  # fmt: skip
def test_a_damaged_line_costs_its_row_and_is_named(workdir, line, capsys):
  workdir.metrics.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
  assert metrics.read(workdir) == [{"step": 1}, {"step": 3}]
  assert capsys.readouterr().err == f"note: {workdir.metrics}, line 2 is damaged: left out\n"
  _write(workdir, 3, [(4, {})])  # a run that goes on is rid of it
  capsys.readouterr()
  assert metrics.read(workdir) == [{"step": 1}, {"step": 3}, {"step": 4}]
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("opened", [{"dec_self": 3}, {"enc_self": 4, "dec_self": 3}])
def test_open_heads_that_are_not_those_with_gates_are_damage(workdir, opened):
  row = {"log_alpha": {"enc_self": [[0.5, 1], [2]]}}
  rows = [row | {"step": i, "open": x} for i, x in enumerate(({"enc_self": 3}, opened))]
  workdir.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
  assert [row["step"] for row in metrics.read(workdir)] == [0]


def test_gates_of_another_shape_than_the_other_rows_have_are_damage(workdir):
  good, bad = {"enc_self": [[0.5, 1], [2]]}, {"enc_self": [[0.5, 1], []]}
  rows = [{"step": i, "log_alpha": x} for i, x in enumerate((bad, good, good))] + [{"step": 3}]
  workdir.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
  assert [row["step"] for row in metrics.read(workdir)] == [1, 2, 3]
  other = {"dec_self": good["enc_self"]}
  rows = [{"step": i, "log_alpha": good, "gates": x} for i, x in enumerate((good, other, bad))]
  workdir.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
  assert [row["step"] for row in metrics.read(workdir)] == [0]


def test_dev_losses_are_of_the_model_itself():
  rows = [
    {"step": 50, "dev_loss": 3.0, "dev_bleu": 20.0}, {"step": 100, "objective": 9.0},
    {"step": 100, "dev_loss": 2.0, "dev_bleu": 30.0},  # the end, for a time
    {"step": 150, "objective": 9.0, "dev_loss": 2.5}, {"step": 150, "dev_loss": 1.5},
  ]  # fmt: skip
  assert metrics.dev_losses(rows, average=1) == {50: 3.0, 100: 2.0, 150: 1.5}
  assert metrics.dev_losses(rows, average=2) == {50: 3.0, 150: 2.5}
