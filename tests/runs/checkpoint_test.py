"""Saving and restoring a run, which checkpoints are kept, and reading parameters alone."""

import json
import shutil

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import numpy as np
import optax
import pytest

from headprune.errors import UserError
from headprune.runs import checkpoint, stored
from headprune.runs.workdir import Workdir
from headprune.text import encoding, packing


def _state(step: int) -> tuple:
  """All parameters and both Adam moments hold values that depend on the step."""
  params = {
    "model": {"a": {"kernel": jnp.full((2, 3), 1.0 * step)}, "b": jnp.arange(4.0) + step},
    "gates": {"enc_self": jnp.full((2, 2), -0.5 * step)},
  }
  optimizer = optax.adam(1.0)
  opt_state = optimizer.init(params)
  for _ in range(step):
    _, opt_state = optimizer.update(params, opt_state)
  return params, opt_state


def _iterator(taken: int):
  ends = np.arange(2, 42, 2)
  ids = np.arange(40, dtype=np.int32)
  iterator = packing.train_batches(encoding.Pairs(ids, ends, ids, ends), 1, 4, 2, seed=0)
  for _ in range(taken):
    next(iterator)
  return iterator


def _save(workdir, steps: dict, keep: int) -> None:
  """Saves states of `steps`: step -> dev BLEU or None."""
  with checkpoint.manager(workdir.checkpoints, keep) as checkpoints:
    for step, bleu in steps.items():
      log = {"results": [{"loss": 0.1}]}
      checkpoint.save(checkpoints, step, *_state(step), _iterator(step), log, bleu)


def _steps(workdir) -> list[int]:
  return sorted(int(path.name) for path in workdir.checkpoints.iterdir())


def _equal(a, b) -> bool:
  same = jax.tree.map(lambda x, y: x.dtype == y.dtype and np.array_equal(x, y), a, b)
  return all(jax.tree.leaves(same))


@pytest.fixture
def workdir(tmp_path) -> Workdir:
  return Workdir(tmp_path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Steps 1 to 5, BLEU at 2 and 4, the better one at 2; the two newest are kept."""
  workdir = Workdir(tmp_path_factory.mktemp("run"))
  _save(workdir, {1: None, 2: 30.0, 3: None, 4: 20.0, 5: None}, keep=2)
  return workdir


def test_the_newest_and_the_best_are_kept(saved):
  assert _steps(saved) == [2, 4, 5]


def test_without_any_bleu_the_newest_are_kept(workdir):
  _save(workdir, {1: None, 2: None, 3: None}, keep=2)
  assert _steps(workdir) == [2, 3]
  assert checkpoint.load_params(workdir, "best")["model"]["b"][0] == 3.0


def test_a_new_best_replaces_the_old_one(workdir):
  _save(workdir, {1: 10.0, 2: 30.0, 3: None, 4: 0.0}, keep=1)
  assert _steps(workdir) == [2, 4]


def test_everything_is_restored(saved):
  iterator = _iterator(0)
  step, *state, log = checkpoint.restore(saved, *_state(0), iterator)
  assert log == {"results": [{"loss": 0.1}]}
  assert step == 5 and _equal(tuple(state), _state(5))
  want = _iterator(5)
  for _ in range(3):
    batch, expected = next(iterator), next(want)
    assert all(np.array_equal(batch[name], expected[name]) for name in expected)


def test_restored_arrays_lie_as_the_given_state(saved):
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
  everywhere = NamedSharding(mesh, PartitionSpec())
  target = jax.device_put(_state(0), everywhere)
  _, *state, _ = checkpoint.restore(saved, *target, _iterator(0))
  assert all(x.sharding == everywhere for x in jax.tree.leaves(state))
  assert _equal(tuple(state), _state(5))


def test_parameters_alone(saved):
  params = checkpoint.load_params(saved)
  assert all(type(x) is np.ndarray for x in jax.tree.leaves(params))
  assert _equal(params, jax.device_get(_state(5)[0]))
  for which, step in (("best", 2), ("last", 5), ("4", 4)):
    assert _equal(checkpoint.load_params(saved, which), jax.device_get(_state(step)[0]))


def test_the_average_of_the_newest(saved):
  average = checkpoint.load_params(saved, average=2)
  np.testing.assert_allclose(average["model"]["a"]["kernel"], np.full((2, 3), 4.5))
  np.testing.assert_allclose(average["gates"]["enc_self"], np.full((2, 2), -2.25))
  # Only "last" is averaged.
  assert checkpoint.load_params(saved, "4", average=3)["model"]["b"][0] == 4.0


def test_the_average_before_a_save_is_that_after_it(saved):
  with checkpoint.manager(saved.checkpoints, 2) as checkpoints:
    for count in (1, 2, 3):
      now = checkpoint.averaged(checkpoints, 5, _state(5)[0], count)
      assert _equal(now, checkpoint.load_params(saved, average=count))
    with_unsaved = checkpoint.averaged(checkpoints, 7, _state(7)[0], 2)
  np.testing.assert_allclose(with_unsaved["model"]["b"], np.arange(4) + 6.0)


def test_both_ways_to_a_mean_reach_back_as_far(saved):
  for settled, mean in ((0, 4.5), (4, 5.0)):  # of 5 steps, 4 and 5
    loaded = checkpoint.load_params(saved, average=9, settled=settled)
    np.testing.assert_allclose(loaded["model"]["b"], np.arange(4) + mean)
    with checkpoint.manager(saved.checkpoints, 2) as checkpoints:
      assert _equal(checkpoint.averaged(checkpoints, 5, _state(5)[0], 9, settled), loaded)


def test_reading_changes_nothing(saved, tmp_path):
  shutil.copytree(saved.path, tmp_path / "run")
  unfinished = tmp_path / "run" / "checkpoints" / "6.orbax-checkpoint-tmp"
  unfinished.mkdir()  # of a run that is at work
  before = sorted((tmp_path / "run").rglob("*"))
  assert _equal(checkpoint.load_params(Workdir(tmp_path / "run")), jax.device_get(_state(5)[0]))
  assert sorted((tmp_path / "run").rglob("*")) == before


def test_parameters_that_come_from_elsewhere(workdir):
  params = {"model": {"w": np.arange(3, dtype=np.float32)}, "gates": {}}
  checkpoint.save_params(workdir, params)
  for which in ("last", "best", "0"):
    assert _equal(checkpoint.load_params(workdir, which, average=3), params)


def test_missing_checkpoints(saved, workdir):
  for which in ("3", "newest", "-4", "", "²", "04"):
    with pytest.raises(UserError, match=f"no checkpoint {which!r}; there are last, best, 2, 4, 5"):
      checkpoint.load_params(saved, which)
  with pytest.raises(UserError, match="checkpoints: no finished checkpoint here"):
    checkpoint.load_params(workdir)
  workdir.checkpoints.mkdir()
  with pytest.raises(UserError, match="no finished checkpoint"):
    checkpoint.load_params(workdir)


def _damages(data: bytes) -> dict[str, bytes | None]:
  """Kind of damage -> the file's new content, None for no file."""
  middle = len(data) // 2
  flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
  overwritten = bytes(b ^ 0x55 for b in data)
  return {"zeroed": bytes(len(data)), "emptied": b"", "halved": data[:middle],
          "overwritten": overwritten, "flipped": flipped, "deleted": None}  # fmt: skip


def test_every_damage_to_every_file_is_found_and_a_whole_checkpoint_is_named(saved):
  step = saved.checkpoints / "5"
  want = jax.device_get(_state(5)[0])
  files = [path for path in step.rglob("*") if path.is_file()]
  assert len(files) > 20
  for path in files:
    data = path.read_bytes()
    for kind, content in _damages(data).items():
      path.unlink() if content is None else path.write_bytes(content)
      if path.parent == step and path.name in ("_CHECKPOINT_METADATA", "commit_success.txt"):
        assert _equal(checkpoint.load_params(saved), want), "nothing depends on these"
      else:
        for which in ("last", "best", "5"):
          with pytest.raises(UserError, match="5: damaged (.*); checkpoint 4 is whole") as caught:
            checkpoint.load_params(saved, which)
          assert "\n" not in str(caught.value), (path, kind)
      path.write_bytes(data)
  assert _equal(checkpoint.load_params(saved), want)


def _flip(path) -> None:
  path.write_bytes(_damages(path.read_bytes())["flipped"])


def test_a_run_goes_on_from_the_newest_whole_checkpoint(saved, workdir):
  shutil.copytree(saved.checkpoints, workdir.checkpoints)
  for step in ("2", "5"):
    _flip(workdir.checkpoints / step / "metrics" / "metrics")
  first, second = stored.set_damaged_aside(workdir)
  assert first.startswith("checkpoint 2 is damaged (metrics/metrics: its checksum differs)")
  assert second.endswith(f"was moved to {workdir.path}/damaged/5")
  assert stored.set_damaged_aside(workdir) == []
  step, *state, _ = checkpoint.restore(workdir, *_state(0), _iterator(0))
  with checkpoint.manager(workdir.checkpoints, 2) as checkpoints:
    assert step == 4 and _equal(tuple(state), _state(4))
    checkpoint.save(checkpoints, 5, *_state(5), _iterator(5), {}, None)
    average = checkpoint.averaged(checkpoints, 6, _state(6)[0], 3)
    np.testing.assert_allclose(average["model"]["b"], np.arange(4) + 5.5)
    _flip(workdir.checkpoints / "5" / "params" / "_METADATA")
    with pytest.raises(UserError, match="5: damaged .* give the same command again"):
      checkpoint.averaged(checkpoints, 6, _state(6)[0], 3)


def test_without_a_whole_checkpoint_there_is_nothing_to_go_on_from(saved, workdir):
  shutil.copytree(saved.checkpoints, workdir.checkpoints)
  for step in ("2", "4", "5"):
    (workdir.checkpoints / step / "params" / "_METADATA").unlink()
  assert stored.newest_step(workdir) is None
  with pytest.raises(UserError, match="no other checkpoint is whole"):
    checkpoint.load_params(workdir)


def test_runs_without_checksums_load_and_their_damage_is_one_line(saved, workdir):
  shutil.copytree(saved.checkpoints, workdir.checkpoints)
  for step in ("2", "4"):  # 5 is newer than the checksums
    (workdir.checkpoints / step / "checksums.json").unlink()
  assert stored.set_damaged_aside(workdir) == []
  assert _equal(checkpoint.load_params(workdir, "4"), jax.device_get(_state(4)[0]))
  (workdir.checkpoints / "5").rename(workdir.path / "5")
  (workdir.checkpoints / "4" / "params" / "_METADATA").write_bytes(b"{")
  with pytest.raises(UserError, match="4: damaged") as caught:
    checkpoint.load_params(workdir)
  assert "\n" not in str(caught.value)
  with pytest.raises(UserError, match="4: damaged"):
    checkpoint.restore(workdir, *_state(0), _iterator(0))


def test_a_checkpoint_of_another_run_is_one_line(saved):
  params, opt_state = _state(0)
  wider = jax.tree.map(lambda x: jnp.concatenate([x, x]) if x.ndim else x, (params, opt_state))
  more = params | {"gates": params["gates"] | {"dec_enc": jnp.ones(2)}}, opt_state
  for state in (wider, more):
    with pytest.raises(UserError, match="checkpoints/5: not of this run and its config") as caught:
      checkpoint.restore(saved, *state, _iterator(0))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_deleted_while_it_is_saved_is_not_a_whole_one(workdir, monkeypatch):
  seal = checkpoint._seal

  def deleted_meanwhile(folder, items):
    (draft,) = folder.glob("*.orbax-checkpoint-tmp*")
    shutil.rmtree(draft / "optimizer")
    seal(folder, items)

  monkeypatch.setattr(checkpoint, "_seal", deleted_meanwhile)
  _save(workdir, {1: None}, keep=1)
  with pytest.raises(UserError, match=r"checkpoints/1: damaged \(.*optimizer.*\); take another"):
    checkpoint.restore(workdir, *_state(0), _iterator(0))


def test_saving_and_reading_warn_of_nothing(workdir, caplog):
  with checkpoint.manager(workdir.checkpoints, 1) as checkpoints:
    for step, bleu in ((1, None), (2, 5.0)):
      checkpoint.save(checkpoints, step, *_state(step), _iterator(step), {}, bleu)
      checkpoints.wait_until_finished()
  checkpoint.load_params(workdir)
  assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


def test_the_place_in_the_data_is_one_file_for_all_processes(saved):
  folder = saved.checkpoints / "5" / "data"
  place = json.loads((folder / "process_0-of-1.json").read_text())
  assert place == _iterator(5).get_state() and len(list(folder.glob("process*"))) == 1


def test_a_stopped_run_goes_on_from_there_and_no_other_checkpoint_changes(saved, workdir):
  shutil.copytree(saved.checkpoints, workdir.checkpoints)
  before = checkpoint.load_params(workdir, average=3)
  with checkpoint.manager(workdir.checkpoints, 3) as checkpoints:
    for stopped in (6, 7, 7):
      state = *_state(stopped), _iterator(stopped), {"x": 1}
      checkpoint.save_stopped(workdir, checkpoints, stopped, *state)
  assert [path.name for path in workdir.stopped.iterdir()] == ["7"]
  step, *state, log = checkpoint.restore(workdir, *_state(0), _iterator(0))
  assert step == 7 and log == {"x": 1} and _equal(tuple(state), _state(7))
  assert _steps(workdir) == _steps(saved)
  assert _equal(checkpoint.load_params(workdir, average=3), before)
  _flip(workdir.stopped / "7" / "log" / "metadata")
  assert "checkpoint 7 is damaged (log/metadata" in stored.set_damaged_aside(workdir)[0]
  assert checkpoint.restore(workdir, *_state(0), _iterator(0))[0] == 5


def test_a_run_that_was_stopped_before_its_first_checkpoint_has_begun(workdir):
  with checkpoint.manager(workdir.checkpoints, 1) as checkpoints:
    checkpoint.save_stopped(workdir, checkpoints, 1, *_state(1), _iterator(1), {})
  assert stored.newest_step(workdir) == 1
  assert checkpoint.restore(workdir, *_state(0), _iterator(0))[0] == 1


def test_a_full_disk_is_one_line_and_what_was_saved_is_whole(saved, workdir, monkeypatch):
  shutil.copytree(saved.checkpoints, workdir.checkpoints)

  def fail(*_, **__):
    raise ValueError("RESOURCE_EXHAUSTED: Error writing x:\nNo space left on device [a.cc:3]")

  with checkpoint.manager(workdir.checkpoints, 2) as checkpoints:
    with monkeypatch.context() as patch:
      patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 1000))
      with pytest.raises(UserError, match=r"takes 1,048,\d+ bytes, 1,000 are free"):
        checkpoint.save(checkpoints, 6, *_state(6), _iterator(6), {}, None)
      patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 10**9))
      for name, call in (
        ("save", lambda: checkpoint.save(checkpoints, 6, *_state(6), _iterator(6), {}, None)),
        ("wait_until_finished", lambda: checkpoint.finish(checkpoints)),
        ("check_for_errors", lambda: checkpoint.check(checkpoints)),
      ):
        patch.setattr(checkpoints, name, fail)
        with pytest.raises(UserError, match="cannot be written .No space left on device.; "):
          call()
  assert _equal(checkpoint.load_params(workdir), jax.device_get(_state(5)[0]))
