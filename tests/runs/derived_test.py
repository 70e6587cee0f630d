"""What follows from a config: sizes, gates, averages."""

import json

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import config as config_lib
from headprune.runs import derived, validation
from headprune.runs.workdir import Workdir
from tests.base_config import changed


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
  config = changed(train__steps=500, **fields)
  validation.validate(config)
  assert derived.gates_init(config) == start


def test_the_papers_lambda_is_the_coefficient_over_the_number_of_gated_modules():
  def coefficient(**fields):
    config = changed(gates__kind="concrete", gates__types=("enc_self", "dec_enc"), **fields)
    validation.validate(config)
    return derived.coefficient(config, derived.model_config(config.model))

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
  config = changed(**{f"model.heads.{name}": counts for name, counts in heads.items()})
  sizes = derived.model_config(config.model, (_Vocabulary(11, 1), _Vocabulary(12, 7)))
  assert (sizes.src_vocab, sizes.tgt_vocab, sizes.eos) == (11, 12, 7)
  assert (sizes.enc_head_size, sizes.dec_head_size, sizes.enc_layers) == (16, 16, 2)
  assert sizes.heads == {"enc_self": (8, 0), "dec_self": (8, 8), "dec_enc": (2, 3)}
  assert sizes.decoder_start is None


def test_the_decoder_may_have_sizes_of_its_own():
  own = {"dec_layers": 3, "dec_ff_size": 64, "dec_num_heads": 4, "decoder_start": 2}
  config = changed(**{f"model.{name}": value for name, value in own.items()})
  sizes = derived.model_config(config.model, (_Vocabulary(9, 1),) * 2)
  assert sizes.heads == {"enc_self": (8, 8), "dec_self": (4,) * 3, "dec_enc": (4,) * 3}
  assert (sizes.enc_head_size, sizes.dec_head_size) == (16, 32)
  assert (sizes.enc_ff_size, sizes.dec_ff_size, sizes.decoder_start) == (256, 64, 2)
  with pytest.raises(UserError, match="config.model.decoder_start=2: no id of the vocabulary"):
    derived.model_config(config.model, (_Vocabulary(9, 1), _Vocabulary(2, 1)))
  with pytest.raises(UserError, match="config.model.decoder_start=-2"):
    derived.model_config(changed(model__decoder_start=-2).model, (_Vocabulary(9, 1),) * 2)


def test_what_depends_on_the_backend_is_a_field():
  attention = lambda config, platform: (
    derived.model_config(config.model, None, platform).attention_precision
  )
  assert attention(changed(), "cpu") == "float32" and attention(changed(), "gpu") == "bfloat16"
  assert attention(changed(model__attention_precision="bfloat16"), "cpu") == "bfloat16"


@pytest.mark.parametrize(
  "field, value",
  [
    ("norm", "post"), ("final_norms", False), ("norm_epsilon", 1e-5), ("activation", "silu"),
    ("positions", "huggingface"), ("source_bias", False), ("logits_bias", True),
    ("share_embeddings", True), ("activation_dropout", 0.25), ("precision", "float32"),
  ],
)  # fmt: skip
def test_choices_reach_the_model(field, value):
  config = changed(**{f"model__{field}": value})
  assert getattr(derived.model_config(changed().model), field) != value
  assert getattr(derived.model_config(config.model), field) == value


def _fixed_gates(config):
  return derived.fixed_gates(config.gates, derived.model_config(config.model))


SMALL = {"model.num_heads": 2, "model.heads.enc_self": (2, 1)}


def test_fixed_gates_are_ones_unless_given():
  values = _fixed_gates(changed(**SMALL))
  np.testing.assert_array_equal(values["enc_self"], [[1, 1], [1, 0]])
  given = {"gates.kind": "fixed", "gates.fixed.enc_self": ((0, 0.25), (1,))}
  values = _fixed_gates(changed(**SMALL, **given))
  np.testing.assert_array_equal(values["enc_self"], [[0, 0.25], [1, 0]])
  np.testing.assert_array_equal(values["dec_enc"], [[1, 1], [1, 1]])
  assert values["enc_self"].dtype == np.float32
  ignored = _fixed_gates(changed(**SMALL, **(given | {"gates.kind": "none"})))
  np.testing.assert_array_equal(ignored["enc_self"], [[1, 1], [1, 0]])


def test_fixed_gates_from_another_run(tmp_path):
  heads = {"enc_self": [[0.0, 0.5], [1.0]], "dec_enc": []}
  (tmp_path / "heads.json").write_text(json.dumps(heads))
  for where in (tmp_path, tmp_path / "heads.json"):
    values = _fixed_gates(
      changed(**SMALL, **{"gates.kind": "fixed", "gates.fixed_from": str(where)})
    )
    np.testing.assert_array_equal(values["enc_self"], [[0, 0.5], [1, 0]])
    np.testing.assert_array_equal(values["dec_enc"], np.ones((2, 2)))


def test_fixed_gates_by_the_name_of_a_structure(tmp_path):
  file = tmp_path / "structures.json"
  file.write_text(json.dumps({"l0-1": {"enc_self": [[0, 1], [1]]}, "l0-2": [1]}))
  config = lambda name: changed(
    **SMALL, **{"gates.kind": "fixed", "gates.fixed_from": f"{file}#{name}"}
  )
  np.testing.assert_array_equal(_fixed_gates(config("l0-1"))["enc_self"], [[0, 1], [1, 0]])
  config_lib.save(config("l0-1"), Workdir(tmp_path / "run"))
  saved = config_lib.load(Workdir(tmp_path / "run")).gates
  assert saved.fixed_from == "" and saved.fixed.enc_self == ((0, 1), (1,))
  with pytest.raises(UserError, match="structures.json has no 'l0-3'; near it is l0-[12], l0-[12]"):
    validation.validate(config("l0-3"))
  with pytest.raises(UserError, match="structures.json#l0-2: expected attention type"):
    validation.validate(config("l0-2"))
  file.write_text(json.dumps({"l0-1": {"enc_self": [[0, 1], [1]]}, "random-1": {}}))
  given = {"gates.kind": "fixed", "gates.fixed_from": str(file)}
  with pytest.raises(UserError, match="one of its structures, as .*.json#NAME: l0-1, random-1$"):
    validation.validate(changed(**SMALL, **given))
  file.write_text("[]")
  with pytest.raises(UserError, match="structures.json has no 'l0-1'; near it is nothing"):
    validation.validate(config("l0-1"))
  file.rename(tmp_path / "gone")
  with pytest.raises(UserError, match="fixed_from: .*structures.json does not exist"):
    validation.validate(config("l0-1"))
  odd = tmp_path / "a#b.json"  # a file that is there needs no name
  odd.write_text('{"enc_self": [[0, 1], [0]]}')
  given = {"gates.kind": "fixed", "gates.fixed_from": str(odd)}
  np.testing.assert_array_equal(
    _fixed_gates(changed(**SMALL, **given))["enc_self"], [[0, 1], [0, 0]]
  )


def test_what_is_averaged_is_of_the_last_steps_and_of_settled_heads():
  assert derived.averaging(changed(eval__average=8)) == (8, 0)
  wanted = {"gates__kind": "concrete", "l0__target_heads": "16", "train__steps": 1000}
  assert derived.averaging(changed(**wanted)) == (1, 500)
  assert derived.averaging(changed(**wanted, l0__settled=0.3)) == (1, 700)
