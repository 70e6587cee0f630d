"""What a config may say, what its mistakes are answered with, and how it is kept."""

import json
import os
import pathlib
import re
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
from ml_collections import ConfigDict
import numpy as np
import pytest

from configs import baseline, common, concrete, fixed
from headprune import config as config_lib
from headprune import data, main
from headprune.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
PRESETS = ("", "multi30k", "enru", "base")


def _config(**fields):
  config = common.base()
  for field, value in fields.items():
    config.update_from_flattened_dict({field.replace("__", "."): value})
  return config.lock()


@pytest.mark.parametrize("module", [baseline, concrete, fixed])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_every_config_is_valid(module, preset):
  config = module.get_config(preset)
  if config.gates.kind == "fixed":
    config.gates.fixed_from = ""  # a run that is not there
  config_lib.validate(config)
  with pytest.raises(AttributeError):
    config.train.unknown = 1


def test_every_field_has_its_comment():
  source = (ROOT / "configs" / "common.py").read_text()
  body = source[source.index("def base") : source.index("def apply_preset")]
  commented = set(re.findall(r"^ *config\.([\w.]+)\S* = .*  # .+$", body, re.M))
  alike = ("data.text.", "model.heads.", "gates.fixed.")  # one comment for all of a section
  fields = {field for field in config_lib.flatten(common.base()) if not field.startswith(alike)}
  assert fields | {"data.text", "model.heads", "gates.fixed.enc_self"} <= commented


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("seed", -1, "config.seed=-1"),
    ("data.row_length", 0, "config.data.row_length=0 must be at least 1"),
    ("data.packing_bins", 0, "config.data.packing_bins=0"),
    ("model.precision", "float16", "config.model.precision='float16': .*bfloat16, float32"),
    ("model.layers", 0, "config.model.layers=0"),
    ("model.num_heads", 0, "config.model.num_heads=0"),
    ("model.num_heads", 7, "num_heads=7 does not divide config.model.model_size=128"),
    ("model.num_heads", -4, "config.model.num_heads=-4"),
    ("model.ff_size", 0, "config.model.ff_size=0"),
    ("model.heads.dec_self", (8,), r"config.model.heads.dec_self=\(8,\): .*config.model.layers=2"),
    ("model.heads.dec_self", (8, -1), "config.model.heads.dec_self"),
    ("model.heads.enc_self", (8, 1.5), "config.model.heads.enc_self"),
    ("model.heads.dec_enc", ("8", "8"), "config.model.heads.dec_enc"),
    ("model.residual_dropout", 1.0, "config.model.residual_dropout=1.0 is not a probability"),
    ("model.relu_dropout", -0.1, "config.model.relu_dropout=-0.1"),
    ("model.share_embeddings", True, "share_embeddings needs config.tokenizer.shared"),
    ("gates.kind", "concret", "config.gates.kind='concret': .*none, concrete, fixed"),
    ("gates.types", ("enc",), "config.gates.types: 'enc' is not one of enc_self"),
    ("gates.types", ("enc_self", "enc_self"), "config.gates.types: 'enc_self' .* twice"),
    ("gates.init", "uniform", "config.gates.init: 'uniform' is not 'glorot' or a number"),
    ("gates.init", "nan", "config.gates.init: 'nan'"),
    ("train.steps", 0, "config.train.steps=0"),
    ("train.accumulate", -1, "config.train.accumulate=-1"),
    ("train.keep", 0, "config.train.keep=0"),
    ("train.label_smoothing", 1.0, "config.train.label_smoothing=1.0"),
    ("eval.beams", 0, "config.eval.beams=0"),
    ("eval.average", 4, "config.eval.average=4 .*config.train.keep=3"),
  ],
)
def test_fields_that_cannot_work(field, value, message):
  with pytest.raises(UserError, match=message):
    config_lib.validate(_config(**{field: value}))


def test_positions_need_an_even_model_size():
  for size in (2, 9):
    with pytest.raises(UserError, match=f"config.model.model_size={size} must be even"):
      config_lib.validate(_config(model__num_heads=1, model__model_size=size))


def test_concrete_gates_need_a_type():
  with pytest.raises(UserError, match="config.gates.types is empty"):
    config_lib.validate(_config(gates__kind="concrete", gates__types=()))
  config_lib.validate(_config(gates__types=()))


def test_model_config():
  heads = {"enc_self": (8, 0), "dec_self": (), "dec_enc": (2, 3)}
  config = _config(**{f"model.heads.{name}": counts for name, counts in heads.items()})
  sizes = config_lib.model_config(config.model, 11, 12)
  assert (sizes.src_vocab, sizes.tgt_vocab, sizes.head_size, sizes.layers) == (11, 12, 16, 2)
  assert sizes.heads == {"enc_self": (8, 0), "dec_self": (8, 8), "dec_enc": (2, 3)}
  assert sizes.max_heads == 8


def _fixed_gates(config):
  return config_lib.fixed_gates(config.gates, config_lib.model_config(config.model, 3, 3))


SMALL = {"model.num_heads": 2, "model.heads.enc_self": (2, 1)}


def test_fixed_gates_are_ones_unless_given():
  values = _fixed_gates(_config(**SMALL))
  np.testing.assert_array_equal(values["enc_self"], [[1, 1], [1, 0]])
  given = {"gates.kind": "fixed", "gates.fixed.enc_self": ((0, 0.25), (1,))}
  values = _fixed_gates(_config(**SMALL, **given))
  np.testing.assert_array_equal(values["enc_self"], [[0, 0.25], [1, 0]])
  np.testing.assert_array_equal(values["dec_enc"], [[1, 1], [1, 1]])
  assert values["enc_self"].dtype == np.float32
  ignored = _fixed_gates(_config(**SMALL, **(given | {"gates.kind": "none"})))
  np.testing.assert_array_equal(ignored["enc_self"], [[1, 1], [1, 0]])


@pytest.mark.parametrize(
  "layers, message",
  [
    (((1, 0),), "enc_self has 1 layers; the model has 2"),
    (((1, 0), (1, 1)), "enc_self, layer 1: 2 gates; the layer has 1 heads"),
    (((1,), (1,)), "enc_self, layer 0: 1 gates; the layer has 2 heads"),
    ((1, 0), "enc_self, layer 0: no list of gates"),
    ((("open", 0), (1,)), "enc_self, layer 0: 'open' is not a number"),
    (((float("nan"), 0), (1,)), "enc_self, layer 0: nan is not a number"),
  ],
)
def test_fixed_gates_of_a_wrong_shape(layers, message, tmp_path):
  with pytest.raises(UserError, match=f"config.gates.fixed.{message}"):
    config_lib.validate(_config(**SMALL, **{"gates.kind": "fixed", "gates.fixed.enc_self": layers}))
  path = tmp_path / "heads.json"
  path.write_text(json.dumps({"enc_self": layers}))
  with pytest.raises(UserError, match=f"{path}.{message}"):
    config_lib.validate(
      _config(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(tmp_path)})
    )


def test_fixed_gates_from_another_run(tmp_path):
  heads = {"enc_self": [[0.0, 0.5], [1.0]], "dec_enc": []}
  (tmp_path / "heads.json").write_text(json.dumps(heads))
  for where in (tmp_path, tmp_path / "heads.json"):
    values = _fixed_gates(
      _config(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(where)})
    )
    np.testing.assert_array_equal(values["enc_self"], [[0, 0.5], [1, 0]])
    np.testing.assert_array_equal(values["dec_enc"], np.ones((2, 2)))


@pytest.mark.parametrize(
  "content, message",
  [
    ("{", "heads.json: not JSON"),
    ("[1]", "heads.json: expected attention type"),
    ('{"enc": []}', "heads.json: 'enc' is not one of enc_self, dec_self, dec_enc"),
    ('{"enc_self": 3}', "heads.json.enc_self has no list of layers"),
  ],
)
def test_a_damaged_heads_file(content, message, tmp_path):
  config = _config(**{"gates.kind": "fixed", "gates.fixed_from": str(tmp_path)})
  with pytest.raises(UserError, match="config.gates.fixed_from: .*heads.json does not exist"):
    config_lib.validate(config)
  (tmp_path / "heads.json").write_text(content)
  with pytest.raises(UserError, match=message):
    config_lib.validate(config)


def test_heads_as_lists_is_what_fixed_gates_reads():
  values = {"enc_self": np.array([[0, 0.25], [1, 0]], np.float32)}
  lists = config_lib.heads_as_lists(values, {"enc_self": (2, 1)})
  assert lists == {"enc_self": [[0.0, 0.25], [1.0]]}


def test_a_saved_config_comes_back_as_it_was(tmp_path):
  given = {"gates.fixed.enc_self": ((1, 0.5), (0, 1)), "optim.rules": common.ENCODER_ONLY}
  config = _config(**given)
  config_lib.save(config, tmp_path / "config.json")
  loaded = config_lib.load(tmp_path)
  assert loaded.to_dict() == config.to_dict()
  assert loaded.is_locked and config_lib.differences(loaded, config) == []
  assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(UserError, match="not a run"):
    config_lib.load(tmp_path)
  (tmp_path / "config.json").write_text('{"seed": 0')
  with pytest.raises(UserError, match="config.json: not JSON"):
    config_lib.load(tmp_path)


def test_a_fixed_run_needs_no_other_folder(tmp_path):
  source = tmp_path / "heads.json"
  source.write_text(json.dumps({"enc_self": [[0.0, 0.5], [1.0]]}))
  config = _config(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(source)})
  want = _fixed_gates(config)
  config_lib.save(config, tmp_path / "config.json")
  loaded = config_lib.load(tmp_path)
  assert config_lib.differences(loaded, config) == []
  source.write_text(json.dumps({"enc_self": [[1.0, 0.5], [1.0]]}))
  assert config_lib.differences(loaded, config) == [
    "gates.fixed.enc_self: ((0.0, 0.5), (1.0,)) -> ((1.0, 0.5), (1.0,))"
  ]
  source.unlink()
  for name, gate_NH in _fixed_gates(loaded).items():
    np.testing.assert_array_equal(gate_NH, want[name])


def test_differences_name_the_fields_that_matter():
  old = _config()
  new = _config(seed=1, train__steps=7, train__keep=5, model__ff_size=64)
  assert config_lib.differences(old, new) == ["model.ff_size: 256 -> 64", "seed: 0 -> 1"]
  grown = ConfigDict(old.to_dict())
  grown.optim.decay = 0.5
  assert config_lib.differences(old, grown) == ["optim.decay: None -> 0.5"]
  other = ConfigDict(concrete.get_config().to_dict())
  other.pretrain.train.steps = 1  # how the baseline was trained is its own workdir's matter
  assert config_lib.differences(concrete.get_config(), other) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_has_as_many_rows_on_eight_devices_as_on_one(preset):
  config = baseline.get_config(preset)
  rows = config.train.batch_tokens // config.data.row_length
  assert rows % 8 == 0
  assert data.batch_rows(config.train.batch_tokens, config.data.row_length, 1) == rows


def test_a_fixed_run_that_goes_on_needs_no_other_folder(tmp_path):
  config = fixed.get_config(",scratch")
  config.gates.fixed_from = str(tmp_path / "heads.json")
  gates = {name: [[1.0] * 7 + [0.5]] * 2 for name in ("enc_self", "dec_self", "dec_enc")}
  (tmp_path / "heads.json").write_text(json.dumps(gates))
  config_lib.save(config, tmp_path / "config.json")
  (tmp_path / "heads.json").unlink()
  again = config_lib.inherit_heads(config, tmp_path)
  config_lib.validate(again)
  assert again.gates.fixed.enc_self[1][7] == 0.5
  assert config_lib.differences(config_lib.load(tmp_path), again) == []


def test_a_structure_from_scratch_has_the_heads_of_the_compact_run(tmp_path):
  compact = ConfigDict(common.base().to_dict())
  compact.model.heads.update({"enc_self": (3, 0), "dec_self": (8, 1), "dec_enc": (2, 2)})
  config_lib.save(compact, tmp_path / "config.json")
  config = fixed.get_config(",scratch")
  config.gates.fixed_from = str(tmp_path)
  found = config_lib.inherit_heads(config, tmp_path / "new")
  assert found.model.heads.to_dict() == compact.model.heads.to_dict()
  assert config_lib.inherit_heads(baseline.get_config(), tmp_path).model.heads.enc_self == (3, 0)


def test_pretraining_is_the_baseline_config():
  for preset in PRESETS:
    pretraining = config_lib.pretraining(concrete.get_config(preset))
    assert config_lib.differences(pretraining, baseline.get_config(preset)) == []
    assert pretraining.to_dict() == baseline.get_config(preset).to_dict()


@pytest.fixture
def parse(monkeypatch):
  """Parses a command line as `python -m headprune.main` does; gives the config."""
  saved = flagsaver.save_flag_values()
  monkeypatch.chdir(ROOT)

  def parse(line):
    flagsaver.restore_flag_values(saved)
    flags.FLAGS.unparse_flags()
    argv = ["main.py", *line.split()]
    monkeypatch.setattr(sys, "argv", argv)
    main._parse(argv)
    return main._CONFIG.value

  yield parse
  flagsaver.restore_flag_values(saved)


START = "--config configs/concrete.py --workdir w"


def test_fields_from_the_command_line(parse):
  config = parse(
    f"{START} --config.gates.types=enc_self --config.model.heads.enc_self=(3,2) "
    "--config.gates.fixed.enc_self=((1,0.5),(0,1)) --config.gates.init=2.5 "
    "--config.tokenizer.shared"
  )
  assert config.gates.types == ("enc_self",) and config.model.heads.enc_self == (3, 2)
  assert config.gates.fixed.enc_self == ((1, 0.5), (0, 1)) and config.tokenizer.shared
  assert config.gates.init == "2.5"
  assert parse("--workdir w --config=configs/concrete.py:enru").data.text.train_tgt == "train.ru.gz"


@pytest.mark.parametrize(
  "line, message",
  [
    ("", "give --config .* and --workdir"),
    ("--config configs/concrete.py", "give --config .* and --workdir"),
    ("--workdir w --config", "Missing value for flag --config"),
    (f"{START} --config.l0.coeff=3", "--config.l0.coeff: no such field; .* --config.l0.coef"),
    (f"{START} --config.steps=3", "--config.steps: no such field; .* --config.train.steps"),
    (f"{START} --config.modle.layers=3", "did you mean --config.model.layers"),
    (f"{START} --config.train={{'steps':3}}", "--config.train: no such field"),
    (f"{START} --config.train.steps=abc", "--config.train.steps=abc"),
    (f"{START} --config.train.steps=2.5", "--config.train.steps=2.5"),
    (f"{START} --config.train.steps", "--config.train.steps"),
    (f"{START} --config.tokenizer.shared=maybe", "--config.tokenizer.shared=maybe"),
    ("--config configs/concrete.py:multi3k --workdir w", "'multi3k': did you mean 'multi30k'"),
    ("--config configs/concret.py --workdir w", "--config: .*'configs/concret.py'"),
    ("--config configs --workdir w", "--config: .*'configs'"),
    (f"--config.train.steps=3 {START}", "Found --config.train.steps=3 .* before"),
    (f"{START} --steps=3", "Unknown command line flag 'steps'"),
    (f"{START} --workdri=3", "'workdri'. Did you mean: workdir"),
    (f"{START} runs/x", "unknown argument 'runs/x'"),
  ],
)
def test_mistakes_on_the_command_line(parse, line, message):
  with pytest.raises(UserError, match=message) as caught:
    parse(line)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "body, message",
  [
    ("  return foo", "name 'foo' is not defined"),
    ("  return (", "was never closed|invalid syntax"),
    ("  return int('a')", "ValueError: invalid literal"),
  ],
)
def test_a_config_file_that_fails(parse, tmp_path, body, message):
  (tmp_path / "own.py").write_text(f"def get_config():\n{body}\n")
  with pytest.raises(UserError, match=f"--config: .*{message}"):
    parse(f"--config {tmp_path}/own.py --workdir w")


def test_a_mistake_is_one_line_and_exit_code_2():
  command = [sys.executable, "-m", "headprune.main", *START.split(), "--config.l0.coeff=3"]
  done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
  assert done.returncode == 2 and done.stdout == ""
  assert done.stderr == (
    "error: --config.l0.coeff: no such field; did you mean --config.l0.coef?\n"
  )
