"""What a config makes of the step: schedules, goals, and what does not fit the number of steps."""

import numpy as np
import pytest

from headprune.runs import defaults, derived, presets
from headprune.train import optim, step_settings

# Method and preset -> Noam's scale, D, steps of warm-up and cool-down, all steps.
SCHEDULES = {
  ("baseline", "cldr"): (2.0, 128, 200, 200, 500),
  ("baseline", "multi30k"): (2.0, 128, 2000, 1500, 5000),
  ("baseline", "enru"): (1.0, 256, 800, 1000, 2400),
  ("baseline", "opus"): (0.1, 512, 500, 2000, 6000),
  ("baseline", "opus-cpu"): (0.01, 512, 10, 40, 100),
  ("baseline", "base"): (4.0, 512, 16000, 0, 200000),
  ("concrete", "cldr"): (1.0, 128, 100, 200, 500),
  ("concrete", "enru"): (1.0, 256, 200, 400, 1000),
  ("fixed", "cldr"): (1.0, 128, 100, 66, 166),
}


def settings(config):
  return step_settings.make(config, derived.model_config(config.model))


@pytest.mark.parametrize("method, preset", SCHEDULES)
def test_presets_have_noams_schedule(method, preset):
  scale, model_size, warmup, cooldown, total = SCHEDULES[method, preset]
  config = defaults.config(method, preset)
  if method == "fixed":
    config.gates.fixed_from = ""  # a run that is not there
  config.model.model_size = model_size  # that of `opus` comes with the model
  step_config, knobs = settings(config)
  found = step_config.optim
  assert (found.model_size, found.warmup_steps, found.cooldown_steps, found.total_steps) == (
    model_size, warmup, cooldown, total,
  )  # fmt: skip
  assert knobs.rate_scale == np.float32(scale)


@pytest.mark.parametrize("total", (3, 50, 500, 5000, 40000))
def test_a_run_of_any_length_reaches_the_rate_that_was_asked_for(total):
  config = defaults.config("baseline", "multi30k")
  config.train.steps = total
  step_config, knobs = settings(config)
  rates = np.asarray(optim.noam(step_config.optim, knobs.rate_scale, np.arange(total)))
  np.testing.assert_allclose(rates.max(), config.optim.learning_rate, rtol=1e-4)
  assert rates.argmax() == max(round(0.4 * total), 1) - 1
  np.testing.assert_allclose(
    rates[-1] * max(round(0.3 * total), 1), rates.max() * 0.4**0.5, rtol=0.1
  )


def test_multipliers_climb_by_nats_per_head_of_their_group():
  config = defaults.config("concrete", "cldr")  # two layers of eight heads
  config.l0.target_heads, config.l0.ascent = "enc_self 2, dec_self 3, dec_enc 25%", 4.0
  assert settings(config)[0].optim.ascent_G == (4 / 16,) * 3
  config.l0.target_heads = "12"
  assert settings(config)[0].optim.ascent_G == (4 / 48,)


@pytest.mark.parametrize("total", [500, 501, 502, 503])
def test_a_target_has_fallen_where_gates_settle(total):
  config = defaults.config("concrete", "cldr")
  config.l0.target_heads, config.train.steps = "12", total
  goal = settings(config)[0].goal
  assert total // 2 <= goal.ramp_steps <= goal.settle_step <= total // 2 + 1


def test_sharpness_is_of_minimum_risk_training_alone():
  config = defaults.config("baseline", "cldr")
  assert settings(config)[0].sharpness is None
  config.train.loss, config.mrt.sharpness = "mrt", 0.25
  assert settings(config)[0].sharpness == 0.25


def test_gates_that_cannot_close_in_so_few_steps_are_told():
  config = defaults.config("concrete", "cldr")
  step_config, knobs = settings(config)
  rates = [min(s**-0.5, s * 100**-1.5) * 128**-0.5 * min(1, (501 - s) / 200) for s in range(1, 501)]
  np.testing.assert_allclose(
    step_settings.gate_reach(step_config.optim, 1.0), 10 * sum(rates), rtol=1e-4
  )
  assert sum(rates) > 0.24 and step_settings.notes(config, step_config, knobs) == []
  config.train.update({"steps": 25, "eval_every": 25, "checkpoint_every": 25})
  assert step_settings.notes(config, *settings(config)) == [
    "in 25 steps a gate's log_alpha can move by 1.1, but from 0 to closed it is 2.4: "
    "raise config.train.steps or config.optim.gates_factor"
  ]
  config.l0.target_heads = "12"  # these start open
  (note,) = step_settings.notes(config, *settings(config))
  assert "by 1.1, but from 2 to closed it is 4.4" in note


def test_a_top_k_needs_no_gate_to_close_and_knows_no_penalty():
  config = defaults.config("concrete", "multi30k")
  config.gates.kind, config.l0.target_heads = "topk", "16"
  config.train.update(
    {"steps": 25, "eval_every": 25, "checkpoint_every": 25, "translate_every": 25}
  )
  config.gates.update({"topk_start": 2.0, "topk_end": 0.25})
  step_config, knobs = settings(config)
  assert step_settings.notes(config, step_config, knobs) == []
  assert knobs.l0_coef == 0.0 and knobs.wanted_G.tolist() == [16.0]
  goal = step_config.goal
  assert (goal.temperatures, goal.settle_step) == ((2.0, 0.25), 7)
  config.gates.kind = "concrete"
  assert settings(config)[0].goal.temperatures is None


def test_the_papers_lambda_is_a_coefficient():
  config = defaults.config("concrete", "cldr")
  config.l0.coef, config.l0.per_head = 0.0, 0.01
  assert settings(config)[1].l0_coef == np.float32(0.06)


def test_what_would_not_come_before_the_end_is_told():
  config = defaults.config("baseline", "cldr")
  config.train.steps = 250
  assert step_settings.notes(config, *settings(config)) == []
  config.train.steps = 249
  assert step_settings.notes(config, *settings(config)) == [
    "config.train.eval_every=250 and config.train.checkpoint_every=250: not before the end of "
    "these 249 steps"
  ]


@pytest.mark.parametrize("method", defaults.PARTS)
@pytest.mark.parametrize("preset", presets.TASKS)
def test_no_preset_is_too_short_for_itself(method, preset):
  config = defaults.config(method, preset)
  if method == "fixed":
    config.gates.fixed_from = ""
  assert step_settings.notes(config, *settings(config)) == []
