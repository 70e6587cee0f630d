"""The way of a trunk, and where forks leave it."""

from ml_collections import ConfigDict
import numpy as np
import pytest

from headprune.curve import onepass, points
from headprune.curve.points import Point
from headprune.errors import UserError
from headprune.runs import checkpoint, defaults, derived, targets, validation
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir
from headprune.train import step_settings
from tests import tiny

MODEL = tiny.even(enc_self=(2, 2), dec_self=(2, 2), dec_enc=(2, 2))
ALL = ("enc_self", "dec_self", "dec_enc")


def config(method: str, heads: str, **fields):
  """Of a point of a sweep over the built-in corpus's models, 48 heads."""
  shared = defaults.config("concrete", "cldr")
  shared.unlock()
  shared.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
  return points.point_config(shared, Point(method, 0, heads), "", {})


@pytest.mark.parametrize(
  "amounts, least",
  [
    (["9", "3", "6"], "3"),
    (["50%", "3", "25%"], "3"),  # percentages are of the same heads as counts
    (["2 a layer", "1 a layer"], "1 a layer"),
    (["enc_self 1, dec_self 2, dec_enc 3", "enc_self 1, dec_self 1, dec_enc 2"],
     "enc_self 1, dec_self 1, dec_enc 2"),
  ],
)  # fmt: skip
def test_the_trunk_ends_with_the_fewest_heads(amounts, least):
  assert onepass.fewest(amounts, ALL, MODEL) == least


@pytest.mark.parametrize(
  "amounts, reason",
  [
    (["6", "1 a layer"], "--heads 6; 1 a layer: .* one form"),
    (["enc_self 1, dec_self 1, dec_enc 3", "enc_self 2, dec_self 1, dec_enc 2"], "none is last"),
    ([], "--methods onepass needs numbers"),
  ],
)  # fmt: skip
def test_numbers_that_no_trunk_comes_by(amounts, reason):
  with pytest.raises(UserError, match=reason):
    onepass.fewest(amounts, ALL, MODEL)


def test_trunk_and_fork_have_the_steps_of_a_separate_run():
  for settled in (0.3, 0.5):
    trunk, fork = (config(m, "4", l0__settled=settled) for m in ("trunk", "onepass"))
    assert trunk.train.steps + fork.train.steps == 500
    assert fork.train.steps == 500 * settled
  with pytest.raises(UserError, match=r"config.l0.settled=1.0 of config.train.steps=500"):
    config("trunk", "4", l0__settled=1.0)


def test_the_trunk_learns_as_fast_as_a_separate_run_and_its_target_falls_to_the_end():
  model = derived.model_config(config("l0", "4").model)
  separate, _ = step_settings.make(config("l0", "4"), model)
  trunk, _ = step_settings.make(config("trunk", "4"), model)
  assert trunk.optim.warmup_steps == separate.optim.warmup_steps == 100
  assert (trunk.goal.ramp_steps, trunk.goal.settle_step) == (249, 249)


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 21, 39, 49, 350])
def test_a_trunk_of_any_length_is_valid_and_keeps_all_its_checkpoints(steps):
  mine = config("trunk", "4", l0__settled=0.5, l0__ramp=0.5, train__steps=2 * steps)
  validation.validate(mine)
  assert -(-mine.train.steps // mine.train.checkpoint_every) <= mine.train.keep


def test_forks_average_where_separate_runs_do_and_the_trunk_does_not():
  shared = ConfigDict(defaults.config("concrete", "multi30k").to_dict())
  shared.eval.average = 8
  mine = points.point_config(shared, Point("onepass", 0, "4"), "", {})
  assert (mine.train.steps, mine.train.checkpoint_every, mine.eval.average) == (2100, 175, 8)
  trunk = points.point_config(shared, Point("trunk", 0, "4"), "runs/baseline")
  validation.validate(trunk)
  assert trunk.eval.average == 1


@pytest.mark.parametrize(
  "heads, step, open_", [("24", 65, 24), ("8", 143, 8), ("40", 13, 40), ("5", 182, 5)]
)
def test_where_a_fork_leaves_and_which_heads_it_keeps(monkeypatch, tmp_path, heads, step, open_):
  """The target is 4 + (48 / (1 + e^-2 11^-0.33) - 4) (1 - s / 249)^3; every 13 steps are saved."""
  config_lib.save(config("trunk", "4"), Workdir(tmp_path))
  log_alphas = {n: np.arange(16.0).reshape(2, 8) + 100 * i for i, n in enumerate(ALL)}
  asked = []
  monkeypatch.setattr(
    checkpoint, "load_params", lambda there, which: asked.append(which) or {"gates": log_alphas}
  )
  found, gates = onepass.fork(Workdir(tmp_path), heads)
  assert (found, asked) == (step, [str(step)])
  flat = np.concatenate([np.ravel(gates[name]) for name in ALL])
  np.testing.assert_array_equal(flat, np.arange(48) >= 48 - open_)


def test_a_layer_without_heads_holds_no_fork_back(tmp_path):
  mine = config("trunk", "1 a layer", model__heads__enc_self=(8, 0))
  model = derived.model_config(mine.model)
  wanted_G = lambda amount: targets.parse(amount, ALL, model)[1]
  steps = [onepass._first(mine, model, wanted_G(f"{n} a layer")) for n in (7, 4, 2)]
  # 1 + (8 / (1 + e^-2 11^-0.33) - 1) (1 - s / 249)^3; every 13 steps are saved.
  assert steps == [13, 65, 117]


def test_the_last_fork_starts_at_one_of_the_trunk_s_last_steps(monkeypatch, tmp_path):
  config_lib.save(config("trunk", "4"), Workdir(tmp_path))
  gates = {name: np.zeros((2, 8)) for name in ALL}
  monkeypatch.setattr(checkpoint, "load_params", lambda *_: {"gates": gates})
  assert onepass.fork(Workdir(tmp_path), "4")[0] == 247  # of 250
