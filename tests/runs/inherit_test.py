"""What a run takes over from the one it starts from or goes on with."""

import json

from ml_collections import ConfigDict
import pytest

from headprune.runs import config as config_lib
from headprune.runs import defaults, effect, inherit, validation
from headprune.runs.workdir import Workdir

TOKENIZER = {"kind": "marian", "shared": True, "vocab_size": 77}
MODEL = {
  "layers": 3, "dec_layers": 1, "model_size": 64, "norm": "post", "activation": "gelu",
  "positions": "huggingface", "share_embeddings": True, "decoder_start": 5, "embed_dropout": 0.4,
  "precision": "float32",
}  # fmt: skip


def save(workdir, **sections) -> ConfigDict:
  config = ConfigDict(defaults.base().to_dict())
  for name, fields in sections.items():
    config[name].update(fields)
  config_lib.save(config, Workdir(workdir))
  return config


def test_a_run_has_the_architecture_and_the_tokenizer_of_what_it_starts_from(tmp_path):
  there = save(tmp_path / "there", model=MODEL, tokenizer=TOKENIZER)
  config = ConfigDict(defaults.config("concrete", "opus").to_dict())
  config.init_from, config.model.embed_dropout = str(tmp_path / "there"), 0.2
  found = inherit.inherit(config, Workdir(tmp_path / "new"))
  assert found.tokenizer.to_dict() == there.tokenizer.to_dict()
  for name in MODEL.keys() - {"embed_dropout", "precision"}:
    assert found.model[name] == MODEL[name], name
  assert (found.model.embed_dropout, found.model.precision) == (0.2, "bfloat16")
  assert found.model.attention_dropout == 0.0 and found.train.steps == 6000
  validation.validate(found)
  # It goes on with its own, wherever the other is by then.
  config_lib.save(found, Workdir(tmp_path / "new"))
  save(tmp_path / "there", model={"layers": 1})
  assert inherit.inherit(config, Workdir(tmp_path / "new")).model == found.model


def test_heads_that_are_left_open_follow_the_layers_there(tmp_path):
  heads = {"enc_self": (3, 0, 1), "dec_self": (8,), "dec_enc": (2,)}
  save(tmp_path, model=MODEL | {"heads": heads}, tokenizer=TOKENIZER)
  config = ConfigDict(defaults.config("concrete", "cldr").to_dict())
  config.init_from, config.model.heads.dec_enc = str(tmp_path), (1,)
  found = inherit.inherit(config, Workdir(tmp_path / "new"))
  assert found.model.heads.to_dict() == heads | {"dec_enc": (1,)}


def test_without_a_run_there_a_config_stays_as_it_is(tmp_path):
  config = defaults.config("concrete", "cldr")
  assert inherit.inherit(config, Workdir(tmp_path)) == config
  from_scratch = defaults.config("baseline", "cldr")
  save(tmp_path, model=MODEL, tokenizer=TOKENIZER)
  assert inherit.inherit(from_scratch, Workdir(tmp_path)).model.layers == 2


@pytest.mark.parametrize("name", ["", "#l0"])
def test_a_fixed_run_that_goes_on_needs_no_other_folder(tmp_path, name):
  config = defaults.config("fixed", "cldr,scratch")
  config.gates.fixed_from = str(tmp_path / "heads.json") + name
  gates = {name: [[1.0] * 7 + [0.5]] * 2 for name in ("enc_self", "dec_self", "dec_enc")}
  (tmp_path / "heads.json").write_text(json.dumps({"l0": gates} if name else gates))
  config_lib.save(config, Workdir(tmp_path))
  kept = inherit.inherit(config, Workdir(tmp_path))
  assert kept.gates.fixed_from == config.gates.fixed_from  # a file that is there still counts
  (tmp_path / "heads.json").unlink()
  again = inherit.inherit(config, Workdir(tmp_path))
  validation.validate(again)
  assert again.gates.fixed.enc_self[1][7] == 0.5
  assert effect.differences(config_lib.load(Workdir(tmp_path)), again) == []


def test_a_structure_from_scratch_has_the_heads_of_the_compact_run(tmp_path):
  compact = ConfigDict(defaults.base().to_dict())
  compact.model.heads.update({"enc_self": (3, 0), "dec_self": (8, 1), "dec_enc": (2, 2)})
  config_lib.save(compact, Workdir(tmp_path))
  config = defaults.config("fixed", "cldr,scratch")
  config.gates.fixed_from = str(tmp_path)
  found = inherit.inherit(config, Workdir(tmp_path / "new"))
  assert found.model.heads.to_dict() == compact.model.heads.to_dict()
  assert inherit.inherit(
    defaults.config("baseline", "cldr"), Workdir(tmp_path)
  ).model.heads.enc_self == (
    3,
    0,
  )
