"""Runs that take their steps together: each is what it is alone, and ends, stops or fails alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.errors import Stopped, UserError
from headprune.nn.config import TYPES
from headprune.runs import metrics, stored
from headprune.runs.workdir import Workdir
from headprune.train import lanes, steps, stopping, training
from tests.train import steps_test
from tests.train.trained import small_config

KNOBS = [
  steps_test.make_knobs(seed=seed, l0_coef=coef) for seed, coef in ((5, 0.3), (5, 0.0), (6, 0.3))
]


def a_run(begin: int, end: int, seen: list, ending=None):
  """A coroutine from `begin` to `end` that notes the losses and the steps that it is told of."""
  state = steps.init_state(steps_test.make_config(), steps_test.initial_params())
  state = state.replace(step=jnp.int32(begin))
  told = None
  for _ in range(begin, end):
    told = yield None if told else state
    seen.append((float(told.result["objective"]), int(told.state.on_devices().step)))
  if ending:
    raise ending
  return told.state.on_devices().params


def batches():
  while True:
    yield steps_test.make_batch()


def together(runs, knobs):
  return lanes.drive(steps_test.make_config(), knobs, runs, batches(), jax.device_put)


def alone(run, knobs):
  stream, as_it_is = batches(), lambda state: state
  return lanes.drive_one(
    steps_test.make_config(), knobs, run, lambda state: next(stream), jax.device_put, as_it_is
  )  # fmt: skip


def test_each_of_three_runs_is_what_it_is_alone():
  seen, expected = ([], [], []), ([], [], [])
  results = together([a_run(0, 3, losses) for losses in seen], KNOBS)
  for knobs, losses, want, params in zip(KNOBS, seen, expected, results):
    wanted = alone(a_run(0, 3, want), knobs)
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    assert [step for _, step in losses] == [1, 2, 3]
    for name in TYPES:  # elsewhere Adam makes steps of gradients that are zero but for rounding
      np.testing.assert_allclose(params["gates"][name], wanted["gates"][name], atol=1e-4)
  assert len({losses[-1][0] for losses in seen}) == 3  # seed and coefficient make a difference


def test_a_run_that_fails_or_ends_before_the_others_changes_nothing_for_them():
  seen, want = ([], [], []), []
  mistake = UserError("the loss is not finite")
  runs = [a_run(0, 1, seen[0], mistake), a_run(0, 4, seen[1]), a_run(0, 2, seen[2])]
  results = together(runs, [KNOBS[0]] * 3)
  alone(a_run(0, 4, want), KNOBS[0])
  assert results[0] is mistake and [len(losses) for losses in seen] == [1, 4, 2]
  np.testing.assert_allclose(seen[1], want, rtol=1e-5)
  with pytest.raises(UserError, match="not finite"):
    alone(a_run(0, 1, [], mistake), KNOBS[0])


def test_when_one_is_stopped_all_are_told_before():
  seen = ([], [])
  runs = [a_run(0, 2, seen[0], Stopped("saved", 15)), a_run(0, 2, seen[1], Stopped("saved", 15))]
  with pytest.raises(Stopped, match="saved"):
    together(runs, KNOBS[:2])
  assert len(seen[0]) == len(seen[1]) == 2


def test_a_run_that_has_nothing_left_to_do_needs_no_step():
  def ended():
    return "done"
    yield

  assert alone(ended(), KNOBS[0]) == "done"
  assert together([ended(), ended()], KNOBS[:2]) == ["done", "done"]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
  folder = tmp_path_factory.mktemp("together") / "baseline"
  config = small_config("baseline", folder)
  config.init_from, config.model.layers, config.eval.beams = "", 1, 1
  training.train(config, folder)
  return folder


def test_real_runs_stop_together_and_go_on_together(baseline, tmp_path, monkeypatch):
  configs = {}
  for wanted in (2, 6):
    config = small_config("concrete", baseline)
    config.l0.coef, config.l0.target_heads, config.l0.settled = 0.0, f"{wanted}", 0.4
    config.train.distill = 0.5  # from the baseline, which all have in common
    configs[wanted] = config.lock()
  runs = [(config, tmp_path / f"{wanted}") for wanted, config in configs.items()]
  stop, asked = stopping.Stop(), []
  # The signal comes when the first run has asked at step 4, and is about to take the next step.
  monkeypatch.setattr(stop, "asked", lambda step: asked.append(step) or asked.count(4) > 2)
  with pytest.raises(Stopped, match="stopped at step 4 of 12"):
    training.train_together(runs, stop)
  assert [stored.newest_step(Workdir(folder)) for _, folder in runs] == [4, 4]
  done = training.train_together(runs)
  training.train(configs[2], tmp_path / "alone")
  for summary, (config, folder) in zip(done, runs):
    heads = Workdir(folder).read_heads()
    opened = sum(g for name in TYPES for row in heads[name] for g in row)
    assert opened == int(config.l0.target_heads) and summary.step == 12
    assert [row["step"] for row in metrics.read(Workdir(folder))] == [3, 6, 9, 12, 12]
  assert Workdir(tmp_path / "alone").read_heads() == Workdir(tmp_path / "2").read_heads()
  got, want = (metrics.read(Workdir(tmp_path / name)) for name in ("2", "alone"))
  for a, b in zip(got, want):
    assert ("taught_loss" in a) == ("objective" in a)
    for name in {"objective", "taught_loss", "dev_loss"} & b.keys():
      assert a[name] == pytest.approx(b[name], rel=1e-3)


def test_runs_at_different_steps_are_not_mixed(baseline, tmp_path, monkeypatch):
  config = small_config("concrete", baseline).lock()
  monkeypatch.setattr(training.stored, "newest_step", lambda workdir: int(workdir.path.name))
  with pytest.raises(UserError, match="3, .*6 are not at the same step"):
    training.train_together([(config, tmp_path / "3"), (config, tmp_path / "6")])


def test_runs_that_need_another_program_are_refused(baseline, tmp_path):
  config = small_config("concrete", baseline)
  other = small_config("concrete", baseline)
  other.optim.b1 = 0.5
  runs = [(config.lock(), tmp_path / "a"), (other.lock(), tmp_path / "b")]
  with pytest.raises(ValueError, match="b and .*a cannot train together"):
    training.train_together(runs)
