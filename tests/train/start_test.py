"""What a run may start from: checkpoints, gates and corpora of others."""

import shutil

from ml_collections import ConfigDict
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults
from headprune.runs.workdir import Workdir
from headprune.train import checks
from tests import small_run


def test_a_checkpoint_to_start_from_is_there_or_those_are_named(tmp_path):
  start = small_run.make(tmp_path / "start")
  config = ConfigDict(start.config.to_dict())
  config.init_from = str(tmp_path / "start")
  for which in ("last", "best", "0"):
    config.init_checkpoint = which
    checks.check(config, Workdir(tmp_path / "new"))
  config.init_checkpoint = "170"
  with pytest.raises(UserError, match="init_checkpoint=170: .*start, but last, best, 0$"):
    checks.check(config, Workdir(tmp_path / "new"))
  config.init_checkpoint = "first"
  with pytest.raises(UserError, match="init_checkpoint='first': choose last, best or a step"):
    checks.check(config, Workdir(tmp_path / "new"))


def test_a_start_whose_checkpoints_are_gone_is_none(tmp_path):
  start = small_run.make(tmp_path / "start")
  config = ConfigDict(start.config.to_dict())
  config.init_from = str(tmp_path / "start")
  shutil.rmtree(start.workdir.checkpoints)
  with pytest.raises(UserError, match="config.init_from=.*start: its checkpoints are gone: resto"):
    checks.check(config, Workdir(tmp_path / "new"))


def test_the_other_built_in_corpus_is_no_start(tmp_path):
  config_lib.save(defaults.config("baseline", "cldr"), Workdir(tmp_path / "old"))
  config = ConfigDict(defaults.config("baseline").to_dict())
  config.init_from = str(tmp_path / "old")
  with pytest.raises(UserError, match="old was trained on .* corpus cldr, this config is of gramm"):
    checks.check(config, Workdir(tmp_path / "new"))
  config.data.corpus.kind = "cldr"
  checks.check(config, Workdir(tmp_path / "new"))
  config.data.kind = "text"
  config.data.corpus.kind = "grammar"
  checks.check(config, Workdir(tmp_path / "new"))


def pruned(folder, target_heads="", **fields) -> str:
  """A finished run with gates on encoder self-attention, of which half are closed."""
  made = small_run.make(folder, gates__types=("enc_self",), l0__target_heads=target_heads, **fields)
  return str(made.workdir.path)


def beginning(start: str, **fields) -> ConfigDict:
  config = ConfigDict(config_lib.load(Workdir.at(start)).to_dict())
  config.update_from_flattened_dict({"init_from": start, "l0.target_heads": ""} | fields)
  return config


@pytest.mark.parametrize(
  "fields, lost",
  [
    ({"gates.kind": "none"}, "enc_self"),
    ({"gates.types": ("dec_self", "dec_enc")}, "enc_self"),
    ({"gates.types": ("enc_self", "dec_enc")}, None),
    ({"gates.kind": "fixed"}, None),  # its own say which heads are open
  ],
)
def test_closed_heads_of_the_start_do_not_open_in_silence(tmp_path, fields, lost):
  start = pruned(tmp_path / "start")
  config = beginning(start, **fields)
  if not lost:
    checks.check(config, Workdir(tmp_path / "new"))
    return
  with pytest.raises(UserError, match=f"has gates that would be lost: {lost}. .*compact --workd"):
    checks.check(config, Workdir(tmp_path / "new"))


def test_where_gates_start_is_said_by_those_of_the_start(tmp_path):
  config = beginning(pruned(tmp_path / "start"), **{"gates.init": "3"})
  with pytest.raises(UserError, match="gates.init=3 has no effect: .*those of config.init_from="):
    checks.check(config, Workdir(tmp_path / "new"))
  config.gates.types = ("enc_self", "dec_enc")  # the latter's are new
  checks.check(config, Workdir(tmp_path / "new"))


def test_closed_heads_are_cut_before_a_target_that_falls_from_all_heads(tmp_path):
  start = pruned(tmp_path / "start")
  config = beginning(start, **{"l0.target_heads": "1"})
  with pytest.raises(UserError, match="would open again, for a target falls .*: enc_self. Cut its"):
    checks.check(config, Workdir(tmp_path / "new"))
  for fields in ({"gates.kind": "topk"}, {"l0.target_heads": "", "l0.coef": 0.1}):
    config = beginning(start, **{"l0.target_heads": "1"} | fields)
    checks.check(config, Workdir(tmp_path / "new"))


def test_gates_that_have_settled_are_cut_before_more_are_closed(tmp_path):
  start = pruned(tmp_path / "start", "2", train__steps=100, l0__settled=0.3, l0__ramp=0.3)
  config = beginning(start, **{"l0.target_heads": "1"})
  with pytest.raises(UserError, match="gates that are settled and learn no more. Cut its closed"):
    checks.check(config, Workdir(tmp_path / "new"))
  for which in ("0", "best"):  # the same one, before they settled at 70
    config.init_checkpoint = which
    checks.check(config, Workdir(tmp_path / "new"))
  start = pruned(tmp_path / "soon", "2", l0__settled=1.0, l0__ramp=0.0)
  config = beginning(start, **{"l0.target_heads": "1", "l0.settled": 0.5, "init_checkpoint": "0"})
  checks.check(config, Workdir(tmp_path / "new"))  # the first step settled them
