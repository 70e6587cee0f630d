"""What a config may say, what its mistakes are answered with, and how it is kept."""

import json

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import defaults, effect, presets
from headprune.runs.workdir import Workdir

PRESETS = tuple(presets.TASKS)


def _config(**fields):
  config = defaults.base()
  for field, value in fields.items():
    config.update_from_flattened_dict({field.replace("__", "."): value})
  return config.lock()


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("seed", -1, "config.seed=-1"),
    ("seed", 2**32, "config.seed=4294967296 is not in 0"),
    ("data.row_length", 0, "config.data.row_length=0 must be at least 1"),
    ("model.layers", 1001, "config.model.layers=1001 must be at most 1000"),
    ("data.packing_bins", 0, "config.data.packing_bins=0"),
    ("model.precision", "float16", "config.model.precision='float16': .*bfloat16, float32"),
    ("model.layers", 0, "config.model.layers=0"),
    ("model.num_heads", 0, "config.model.num_heads=0"),
    ("model.num_heads", 7, "num_heads=7 does not divide config.model.model_size=128"),
    ("model.num_heads", -4, "config.model.num_heads=-4"),
    ("model.ff_size", 0, "config.model.ff_size=0"),
    ("model.heads.dec_self", (8,), r"config.model.heads.dec_self=\(8,\): .*of its 2 layers"),
    ("model.heads.dec_self", (8, -1), "config.model.heads.dec_self"),
    ("model.heads.enc_self", (8, 1.5), "config.model.heads.enc_self"),
    ("model.heads.dec_enc", ("8", "8"), "config.model.heads.dec_enc"),
    ("model.residual_dropout", 1.0, "config.model.residual_dropout=1.0 is not a probability"),
    ("model.activation_dropout", -0.1, "config.model.activation_dropout=-0.1"),
    ("model.norm", "middle", "config.model.norm='middle': choose one of pre, post"),
    ("model.activation", "tanh", "config.model.activation='tanh': .*relu, silu, gelu"),
    ("model.positions", "learned", "config.model.positions='learned': .*tensor2tensor, hugg"),
    ("model.norm_epsilon", 0.0, "config.model.norm_epsilon=0.0 must be above 0"),
    ("model.dec_layers", -1, "config.model.dec_layers=-1 must be at least 0"),
    ("model.dec_num_heads", 3, "dec_num_heads=3 does not divide config.model.model_size=128"),
    ("model.attention_precision", "int8", "config.model.attention_precision='int8'"),
    ("model.share_embeddings", True, "share_embeddings needs config.tokenizer.shared"),
    ("gates.kind", "concret", "config.gates.kind='concret': .*none, concrete, topk, fixed"),
    ("gates.types", ("enc",), "config.gates.types: 'enc' is not one of enc_self"),
    ("gates.types", ("enc_self", "enc_self"), "config.gates.types names 'enc_self' twice"),
    ("gates.chosen_for", "many", "config.gates.chosen_for='many': give"),
    ("gates.init", "uniform", "config.gates.init: 'uniform' is not 'glorot' or a number"),
    ("gates.init", "nan", "config.gates.init: 'nan'"),
    ("optim.learning_rate", 0.0, "config.optim.learning_rate=0.0 must be above 0"),
    ("optim.warmup", 0.0, "config.optim.warmup=0.0 is no share of the steps above 0, up to 1"),
    ("optim.warmup", 200.0, "config.optim.warmup=200.0 is no share"),
    ("optim.cooldown", -0.1, "config.optim.cooldown=-0.1 is no share of the steps from 0 to 1"),
    ("optim.cooldown", 90.0, "config.optim.cooldown=90.0"),
    ("train.steps", 0, "config.train.steps=0"),
    ("train.accumulate", -1, "config.train.accumulate=-1"),
    ("train.keep", 0, "config.train.keep=0"),
    ("train.loss", "risk", "config.train.loss='risk': choose one of cross-entropy, mrt"),
    ("mrt.samples", 0, "config.mrt.samples=0 must be at least 1"),
    ("mrt.sentences", 0, "config.mrt.sentences=0 must be at least 1"),
    ("train.label_smoothing", 1.0, "config.train.label_smoothing=1.0"),
    ("train.src_word_dropout", 1.0, "config.train.src_word_dropout=1.0 is not a probability"),
    ("train.tgt_word_dropout", -0.1, "config.train.tgt_word_dropout=-0.1"),
    ("train.word_dropout_by", "zero", "word_dropout_by='zero': choose one of unknown, random"),
    ("eval.beams", 0, "config.eval.beams=0"),
    ("optim.b1", 1.0, "config.optim.b1=1.0 must be at least 0 and below 1"),
    ("optim.b2", 1.0, "config.optim.b2=1.0 must be at least 0 and below 1"),
    ("optim.eps", 0.0, "config.optim.eps=0.0 must be above 0"),
    ("optim.gates_factor", -1.0, "config.optim.gates_factor=-1.0 must be at least 0"),
    ("l0.coef", -0.1, "config.l0.coef=-0.1 must be at least 0"),
    ("l0.per_head", float("nan"), "config.l0.per_head=nan must be at least 0"),
    ("l0.ascent", -5.0, "config.l0.ascent=-5.0 must be at least 0"),
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


@pytest.mark.parametrize(
  "fields, start",
  [
    ({"gates__kind": "concrete"}, "glorot"),
    ({"gates__kind": "concrete", "l0__target_heads": "16"}, "2.0"),
    ({"gates__kind": "topk", "l0__target_heads": "16"}, "glorot"),
    ({"gates__kind": "concrete", "l0__target_heads": "16", "gates__init": "glorot"}, "glorot"),
    ({"gates__kind": "concrete", "gates__init": "-1.5"}, "-1.5"),
  ],
)
def test_gates_that_compete_for_places_start_open(fields, start):
  config = _config(train__steps=500, **fields)
  config_lib.validate(config)
  assert config_lib.gates_init(config) == start


def test_concrete_gates_need_a_type():
  with pytest.raises(UserError, match="config.gates.types is empty"):
    config_lib.validate(_config(gates__kind="concrete", gates__types=()))
  config_lib.validate(_config(gates__types=()))


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"train__distill": 1.5}, "config.train.distill=1.5 is no share of the loss from 0 to 1"),
    ({"init_from": ""}, "config.train.distill=0.5 needs config.init_from: the run to learn from"),
    ({"train__loss": "mrt"}, "config.train.distill=0.5 does not go with config.train.loss='mrt'"),
  ],
)
def test_a_teacher_that_cannot_be(fields, message):
  good = {"init_from": "runs/x", "train__distill": 0.5}
  config_lib.validate(_config(**good))
  with pytest.raises(UserError, match=message):
    config_lib.validate(_config(**(good | fields)))


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"gates__kind": "none"}, "target_heads needs config.gates.kind='concrete' or 'topk'"),
    ({"l0__target_heads": "49"}, "49 of 48 enc_self, dec_self, dec_enc heads"),
    ({"l0__settled": 0.0}, "l0.ramp=0.5 and config.l0.settled=0.0 are shares of the steps"),
    ({"l0__ramp": -0.1}, "l0.ramp=-0.1"),
    ({"l0__ramp": 0.8}, "l0.ramp=0.8 and config.l0.settled=0.5"),
    ({"l0__settled": 0.001}, "l0.settled=0.001 of config.train.steps=500 is less than a step"),
  ],
)
def test_a_wanted_number_of_heads_that_cannot_be_had(fields, message):
  good = {"gates__kind": "concrete", "l0__target_heads": "16", "train__steps": 500}
  config_lib.validate(_config(**good))
  with pytest.raises(UserError, match=message):
    config_lib.validate(_config(**(good | fields)))


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"l0__target_heads": ""}, "kind='topk' needs config.l0.target_heads"),
    ({"l0__target_heads": "49"}, "49 of 48 enc_self, dec_self, dec_enc heads"),
    ({"gates__types": ()}, "config.gates.types is empty"),
    ({"gates__topk_end": 0.0}, "topk_end=0.0: temperatures above 0, which fall"),
    ({"gates__topk_start": 0.05}, "topk_start=0.05 and config.gates.topk_end=0.1"),
    ({"l0__settled": 0.0}, "config.l0.settled=0.0 are shares of the steps"),
  ],
)
def test_a_top_k_that_cannot_be(fields, message):
  good = {"gates__kind": "topk", "l0__target_heads": "16", "l0__settled": 1.0, "l0__coef": 0.08}
  config_lib.validate(_config(**good))  # the coefficient of a preset has no effect
  with pytest.raises(UserError, match=message):
    config_lib.validate(_config(**(good | fields)))


def test_the_papers_lambda_is_the_coefficient_over_the_number_of_gated_modules():
  def coefficient(**fields):
    config = _config(gates__kind="concrete", gates__types=("enc_self", "dec_enc"), **fields)
    config_lib.validate(config)
    return config_lib.coefficient(config, config_lib.model_config(config.model))

  assert coefficient(l0__coef=0.3) == 0.3 and coefficient() == 0.0
  assert coefficient(l0__per_head=0.25) == 1.0  # 2 types of 2 layers
  no_heads = {"model.heads.dec_enc": (0, 8)}
  assert coefficient(l0__per_head=0.25, **no_heads) == 0.75
  assert coefficient(l0__per_head=0.25, l0__target_heads="16") == 0.0
  with pytest.raises(UserError, match="l0.coef=0.3 and config.l0.per_head=0.25: give one"):
    coefficient(l0__coef=0.3, l0__per_head=0.25)


class _Vocabulary:
  """As much of a tokenizer as a model's sizes need."""

  def __init__(self, vocab_size: int, eos: int):
    self.vocab_size, self.eos, self.pad = vocab_size, eos, None


def test_model_config():
  heads = {"enc_self": (8, 0), "dec_self": (), "dec_enc": (2, 3)}
  config = _config(**{f"model.heads.{name}": counts for name, counts in heads.items()})
  sizes = config_lib.model_config(config.model, (_Vocabulary(11, 1), _Vocabulary(12, 7)))
  assert (sizes.src_vocab, sizes.tgt_vocab, sizes.eos) == (11, 12, 7)
  assert (sizes.enc_head_size, sizes.dec_head_size, sizes.enc_layers) == (16, 16, 2)
  assert sizes.heads == {"enc_self": (8, 0), "dec_self": (8, 8), "dec_enc": (2, 3)}
  assert sizes.decoder_start is None


def test_the_decoder_may_have_sizes_of_its_own():
  own = {"dec_layers": 3, "dec_ff_size": 64, "dec_num_heads": 4, "decoder_start": 2}
  config = _config(**{f"model.{name}": value for name, value in own.items()})
  sizes = config_lib.model_config(config.model, (_Vocabulary(9, 1),) * 2)
  assert sizes.heads == {"enc_self": (8, 8), "dec_self": (4,) * 3, "dec_enc": (4,) * 3}
  assert (sizes.enc_head_size, sizes.dec_head_size) == (16, 32)
  assert (sizes.enc_ff_size, sizes.dec_ff_size, sizes.decoder_start) == (256, 64, 2)
  with pytest.raises(UserError, match="config.model.decoder_start=2: no id of the vocabulary"):
    config_lib.model_config(config.model, (_Vocabulary(9, 1), _Vocabulary(2, 1)))
  with pytest.raises(UserError, match="config.model.decoder_start=-2"):
    config_lib.model_config(_config(model__decoder_start=-2).model, (_Vocabulary(9, 1),) * 2)


def test_what_depends_on_the_backend_is_a_field():
  attention = lambda config, platform: (
    config_lib.model_config(config.model, None, platform).attention_precision
  )
  assert attention(_config(), "cpu") == "float32" and attention(_config(), "gpu") == "bfloat16"
  assert attention(_config(model__attention_precision="bfloat16"), "cpu") == "bfloat16"


@pytest.mark.parametrize(
  "field, value",
  [
    ("norm", "post"), ("final_norms", False), ("norm_epsilon", 1e-5), ("activation", "silu"),
    ("positions", "huggingface"), ("source_bias", False), ("logits_bias", True),
    ("share_embeddings", True), ("activation_dropout", 0.25), ("precision", "float32"),
  ],
)  # fmt: skip
def test_choices_reach_the_model(field, value):
  config = _config(**{f"model__{field}": value})
  assert getattr(config_lib.model_config(_config().model), field) != value
  assert getattr(config_lib.model_config(config.model), field) == value


def _fixed_gates(config):
  return config_lib.fixed_gates(config.gates, config_lib.model_config(config.model))


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


def test_fixed_gates_from_another_run(tmp_path):
  heads = {"enc_self": [[0.0, 0.5], [1.0]], "dec_enc": []}
  (tmp_path / "heads.json").write_text(json.dumps(heads))
  for where in (tmp_path, tmp_path / "heads.json"):
    values = _fixed_gates(
      _config(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(where)})
    )
    np.testing.assert_array_equal(values["enc_self"], [[0, 0.5], [1, 0]])
    np.testing.assert_array_equal(values["dec_enc"], np.ones((2, 2)))


def test_fixed_gates_by_the_name_of_a_structure(tmp_path):
  file = tmp_path / "structures.json"
  file.write_text(json.dumps({"l0-1": {"enc_self": [[0, 1], [1]]}, "l0-2": [1]}))
  config = lambda name: _config(
    **SMALL, **{"gates.kind": "fixed", "gates.fixed_from": f"{file}#{name}"}
  )
  np.testing.assert_array_equal(_fixed_gates(config("l0-1"))["enc_self"], [[0, 1], [1, 0]])
  config_lib.save(config("l0-1"), Workdir(tmp_path / "run"))
  saved = config_lib.load(Workdir(tmp_path / "run")).gates
  assert saved.fixed_from == "" and saved.fixed.enc_self == ((0, 1), (1,))
  with pytest.raises(UserError, match="structures.json has no 'l0-3'; near it is l0-[12], l0-[12]"):
    config_lib.validate(config("l0-3"))
  with pytest.raises(UserError, match="structures.json#l0-2: expected attention type"):
    config_lib.validate(config("l0-2"))
  file.write_text("[]")
  with pytest.raises(UserError, match="structures.json has no 'l0-1'; near it is nothing"):
    config_lib.validate(config("l0-1"))
  file.rename(tmp_path / "gone")
  with pytest.raises(UserError, match="fixed_from: .*structures.json does not exist"):
    config_lib.validate(config("l0-1"))
  odd = tmp_path / "a#b.json"  # a file that is there needs no name
  odd.write_text('{"enc_self": [[0, 1], [0]]}')
  given = {"gates.kind": "fixed", "gates.fixed_from": str(odd)}
  np.testing.assert_array_equal(
    _fixed_gates(_config(**SMALL, **given))["enc_self"], [[0, 1], [0, 0]]
  )


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


def test_a_saved_config_comes_back_as_it_was(tmp_path):
  given = {"gates.fixed.enc_self": ((1, 0.5), (0, 1)), "optim.rules": presets.ENCODER_ONLY}
  config = _config(**given)
  config_lib.save(config, Workdir(tmp_path))
  loaded = config_lib.load(Workdir(tmp_path))
  assert loaded.to_dict() == config.to_dict()
  assert loaded.is_locked and effect.differences(loaded, config) == []
  assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(UserError, match="not a run"):
    config_lib.load(Workdir(tmp_path))
  (tmp_path / "config.json").write_text('{"seed": 0')
  with pytest.raises(UserError, match="config.json: not JSON"):
    config_lib.load(Workdir(tmp_path))


def test_a_fixed_run_needs_no_other_folder(tmp_path):
  source = tmp_path / "heads.json"
  source.write_text(json.dumps({"enc_self": [[0.0, 0.5], [1.0]]}))
  config = _config(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(source)})
  want = _fixed_gates(config)
  config_lib.save(config, Workdir(tmp_path))
  loaded = config_lib.load(Workdir(tmp_path))
  assert effect.differences(loaded, config) == []
  source.write_text(json.dumps({"enc_self": [[1.0, 0.5], [1.0]]}))
  assert effect.differences(loaded, config) == [
    "gates.fixed.enc_self: ((0.0, 0.5), (1.0,)) -> ((1.0, 0.5), (1.0,))"
  ]
  source.unlink()
  for name, gate_NH in _fixed_gates(loaded).items():
    np.testing.assert_array_equal(gate_NH, want[name])


def test_pretraining_is_the_baseline_config():
  for preset in set(PRESETS) - presets.PRETRAINED.keys():
    pretraining = config_lib.pretraining(defaults.config("concrete", preset))
    assert effect.differences(pretraining, defaults.config("baseline", preset)) == []
    assert pretraining.to_dict() == defaults.config("baseline", preset).to_dict()


def test_older_configs_have_the_defaults_of_newer_fields(tmp_path):
  workdir = Workdir(tmp_path)
  config_lib.save(_config(model__activation_dropout=0.3), workdir)
  fields = json.loads(workdir.config.read_text())
  for name in ("norm", "activation", "dec_layers"):
    del fields["model"][name]
  workdir.config.write_text(json.dumps(fields))
  assert config_lib.load(workdir).to_dict() == _config(model__activation_dropout=0.3).to_dict()


@pytest.mark.parametrize(
  "content",
  [b"", b"[]", b"{}", b'{"model": 3}', b'{"model": {}, "data": []}', b"\xff", b'"text"'],
)
def test_a_damaged_config_is_one_line(tmp_path, content):
  (tmp_path / "config.json").write_bytes(content)
  with pytest.raises(UserError, match="config.json: ") as caught:
    config_lib.load(Workdir(tmp_path))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [("model", "norm", "middle"), ("train", "steps", "many")])
def test_a_value_that_cannot_be_names_the_file(tmp_path, change):
  workdir = Workdir(tmp_path)
  config_lib.save(_config(), workdir)
  fields = json.loads(workdir.config.read_text())
  fields[change[0]][change[1]] = change[2]
  workdir.config.write_text(json.dumps(fields))
  with pytest.raises(UserError, match="config.json: "):
    config_lib.load(workdir)


def test_what_is_averaged_is_of_the_last_steps_and_of_settled_heads():
  assert config_lib.averaging(_config(eval__average=8)) == (8, 0.4, 0)
  wanted = {"gates__kind": "concrete", "l0__target_heads": "16", "train__steps": 1000}
  assert config_lib.averaging(_config(**wanted)) == (1, 0.4, 500)
  assert config_lib.averaging(_config(**wanted, l0__settled=0.3)) == (1, 0.3, 700)
