"""Which fields have an effect: who sets one in vain is told, and in which two configs differ."""

import os

from ml_collections import ConfigDict
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, effect
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir


def check(config: str, changes: dict, instead=()) -> None:
  changed = defaults.get_config(config)
  changed.update_from_flattened_dict(changes)
  effect.check(changed, changes, dict(instead))


@pytest.mark.parametrize(
  "config, field, value, message",
  [
    ("baseline", "data.corpus.locale", "de", "corpus.kind='grammar': .*have .*corpus.kind='cldr'$"),
    ("baseline", "data.text.train_src", "my.en", "data.kind='corpus': .*have .*data.kind='text'$"),
    ("baseline", "data.tfds.name", "x", "have config.data.kind='tfds'$"),
    ("baseline:enru", "data.corpus.train", 9, "data.kind='text': .*have .*data.kind='corpus'$"),
    ("concrete", "gates.topk_start", 2.0, "have config.gates.kind='topk'$"),
    ("concrete", "gates.fixed_from", "runs/x", "have config.gates.kind='fixed'$"),
    ("concrete", "gates.fixed.enc_self", ((1,),), "have config.gates.kind='fixed'$"),
    ("fixed", "gates.fixed.enc_self", ((1,),), "='runs/concrete': .*have .*gates.fixed_from=''$"),
    ("baseline", "gates.init", "2", "kind='none': .*have config.gates.kind='concrete' or 'topk'$"),
    ("baseline", "l0.coef", 0.1, "have config.gates.kind='concrete' or 'topk'$"),
    ("fixed", "optim.gates_factor", 2.0, "gates.kind='fixed'"),
    ("concrete", "l0.settled", 0.4, "target_heads='': .*or set config.l0.target_heads$"),
    ("concrete:opus", "l0.coef", 0.1, "='33%': leave it out, or have config.l0.target_heads=''$"),
    (
      "baseline",
      "mrt.samples",
      9,
      "'cross-entropy': .*have config.train.loss='mrt'$",
    ),
    (
      "baseline",
      "train.word_dropout_by",
      "random",
      "src_word_dropout=0.0: .*or set config.train.src_word_dropout or config.train.tgt_word_d",
    ),
    ("baseline", "init_checkpoint", "best", "or set config.init_from$"),
    ("baseline", "gates.types", ("enc_self",), "='concrete' or 'topk' or 'fixed'$"),
  ],
)
def test_what_is_set_in_vain_is_told(config, field, value, message):
  with pytest.raises(UserError, match=f"^--config.{field} has no effect with .*{message}"):
    check(config, {field: value})


def test_a_top_k_has_no_ramp():
  wanted = {"gates.kind": "topk", "l0.target_heads": "9", "l0.settled": 0.4, "gates.topk_end": 0.2}
  check("concrete", wanted)
  with pytest.raises(UserError, match="l0.ramp has no effect with config.gates.kind='topk'"):
    check("concrete", wanted | {"l0.ramp": 0.1})


@pytest.mark.parametrize(
  "config, changes",
  [
    ("baseline", {"data.corpus.kind": "cldr", "data.corpus.locale": "de"}),
    ("baseline:cldr", {"data.corpus.locale": "de"}),
    ("concrete:cldr", {"gates.kind": "none", "l0.coef": 0.0}),  # a control; the default again
    ("concrete", {"l0.target_heads": "9", "l0.ramp": 0.1, "l0.ascent": 2.0, "l0.settled": 0.2}),
    ("fixed", {"gates.fixed_from": "", "gates.fixed.enc_self": ((1,),)}),
    ("baseline", {"train.word_dropout_by": "random", "train.tgt_word_dropout": 0.1}),
    ("concrete", {"pretrain.optim.gates_factor": 3.0, "init_checkpoint": "best"}),
  ],
)
def test_what_has_an_effect_is_fine(config, changes, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # where there is no baseline
  check(config, changes)


def test_a_command_may_choose_fields_itself():
  instead = {"gates.kind": "--methods", "gates.fixed": "--methods", "l0.target_heads": "--heads"}
  check("concrete", {"gates.topk_end": 0.2, "l0.settled": 0.2, "l0.ramp": 0.1}, instead)
  for field, value, flag in (
    ("l0.target_heads", "9", "--heads"),
    ("gates.fixed.dec_enc", ((1,),), "--methods"),
  ):
    with pytest.raises(UserError, match=f"{field} has no effect here: leave it out, {flag} says"):
      check("concrete", {field: value}, instead)


def _differences(config: str, before: dict, after: dict) -> list[str]:
  old, new = defaults.get_config(config), defaults.get_config(config)
  old.update_from_flattened_dict(before)
  new.update_from_flattened_dict(after)
  return effect.differences(old, new)


def test_two_configs_differ_in_fields_that_matter():
  changes = {"seed": 1, "train.steps": 7, "train.keep": 5, "model.ff_size": 64}
  found = _differences("baseline", {}, changes)
  assert found == ["model.ff_size: 256 -> 64", "seed: 0 -> 1"]
  grown = ConfigDict(defaults.get_config("baseline").to_dict())
  grown.optim.decay = 0.5
  found = effect.differences(defaults.get_config("baseline"), grown)
  assert found == ["optim.decay: None -> 0.5"]
  # How the baseline was trained is its own workdir's matter.
  assert _differences("concrete:cldr", {}, {"pretrain.train.steps": 1}) == []


def test_what_heads_were_chosen_for_may_be_told_later():
  fixed = {"gates.fixed_from": ""}
  assert _differences("fixed", fixed, fixed | {"gates.chosen_for": "2 a layer"}) == []
  assert len(_differences("fixed", fixed, fixed | {"gates.chosen_by": "lrp"})) == 1


def test_a_field_without_an_effect_makes_no_difference():
  older = {"l0.ramp": 0.4, "l0.settled": 0.3, "gates.init": "glorot", "data.corpus.locale": "de"}
  assert _differences("baseline", older, {}) == []
  assert _differences("concrete", older, {}) == []  # "" stands for glorot where heads have a price
  wanted = {"l0.target_heads": "9"}
  assert _differences("concrete", older | wanted, wanted) == [
    "gates.init: 'glorot' -> '2.0'", "l0.ramp: 0.4 -> 0.5", "l0.settled: 0.3 -> 0.5",
  ]  # fmt: skip
  # One of them without an effect is enough to be a difference, if the other one has one.
  assert _differences("concrete", wanted, {"l0.settled": 0.2}) == [
    "gates.init: '2.0' -> 'glorot'", "l0.settled: 0.5 -> 0.2", "l0.target_heads: '9' -> ''",
  ]  # fmt: skip


def test_a_baseline_that_is_there_is_not_trained_otherwise(tmp_path):
  config = defaults.get_config("concrete")
  config.init_from, named = str(tmp_path / "x"), ["pretrain.train.steps"]
  effect.check(config, named)
  config_lib.save(config_lib.pretraining(config), Workdir(tmp_path / "x"))
  Workdir(tmp_path / "x").finish(Summary("trained", dev_bleu=30.0), {})
  effect.check(config, named)  # the same command once more
  config.pretrain.train.steps += 1
  with pytest.raises(UserError, match="pretrain.train.steps has no effect: .*/x is finished, with"):
    effect.check(config, named)
  effect.check(config, named, {"gates.kind": "--methods"})  # a sweep trains its own
  config.init_from = ""
  with pytest.raises(
    UserError, match="pretrain.train.steps has no effect with config.init_from=''"
  ):
    effect.check(config, named)


def test_a_folder_may_be_named_in_several_ways():
  here = {"init_from": os.path.abspath("runs/x")}
  assert _differences("baseline", {"init_from": "runs/x"}, here) == []
  text = [{"data.kind": "text", "data.text.dir": path} for path in ("", os.getcwd(), "x")]
  assert _differences("baseline", *text[:2]) == []
  assert len(_differences("baseline", *text[1:])) == 1
  found = _differences("baseline", {"init_from": "runs/y"}, {"init_from": "runs/x"})
  assert found == ["init_from: 'runs/y' -> 'runs/x'"]
