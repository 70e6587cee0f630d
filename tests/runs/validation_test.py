"""What the mistakes in a config are answered with."""

import pytest

from headprune.errors import UserError
from headprune.runs import validation
from tests.base_config import changed


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("seed", -1, "config.seed=-1"),
    ("seed", 2**32, "config.seed=4294967296 is not in 0"),
    ("data.row_length", 0, "config.data.row_length=0 must be at least 1"),
    ("model.layers", 1001, "config.model.layers=1001 must be at most 1000"),
    ("data.packing_bins", 0, "config.data.packing_bins=0"),
    ("data.corpus.dev", -1, "config.data.corpus.dev=-1 must be at least 0"),
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
    ("gates.init", "uniform", "config.gates.init: 'uniform' is not 'glorot' or a number"),
    ("gates.init", "nan", "config.gates.init: 'nan'"),
    ("optim.learning_rate", 0.0, "config.optim.learning_rate=0.0 must be above 0"),
    ("optim.warmup", 0.0, "config.optim.warmup=0.0 is no share of the steps above 0, up to 1"),
    ("optim.warmup", 200.0, "config.optim.warmup=200.0 is no share"),
    ("optim.cooldown", -0.1, "config.optim.cooldown=-0.1 is no share of the steps from 0 to 1"),
    ("optim.cooldown", 90.0, "config.optim.cooldown=90.0"),
    ("gates.chosen_for", "many", "config.gates.chosen_for='many': give"),
    ("train.steps", 0, "config.train.steps=0"),
    ("data.kind", "txt", "config.data.kind='txt': choose one of corpus, text, tfds$"),
    ("data.corpus.kind", "grammer", "data.corpus.kind='grammer': choose one of cldr, grammar$"),
    ("tokenizer.kind", "words", "config.tokenizer.kind='words': choose one of bpe, unigram, white"),
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
    ("l0.per_head", float("nan"), "config.l0.per_head=nan is not a finite number"),
    ("optim.learning_rate", float("inf"), "config.optim.learning_rate=inf is not a finite number"),
    ("train.steps", 2**31, "config.train.steps=2147483648 must be below 2147483648"),
    ("l0.ascent", -5.0, "config.l0.ascent=-5.0 must be at least 0"),
    ("eval.spread", -1.0, "config.eval.spread=-1.0 must be at least 0"),
    ("eval.spread", float("nan"), "config.eval.spread=nan must be at least 0"),
    ("eval.alpha", float("nan"), "config.eval.alpha=nan is not a finite number"),
    ("train.patience", -1, "config.train.patience=-1 must be at least 0"),
    ("eval.average", 4, "config.eval.average=4 .*config.train.keep=3"),
  ],
)
def test_fields_that_cannot_work(field, value, message):
  with pytest.raises(UserError, match=message):
    validation.validate(changed(**{field: value}))


def test_positions_need_an_even_model_size():
  for size in (2, 9):
    with pytest.raises(UserError, match=f"config.model.model_size={size} must be even"):
      validation.validate(changed(model__num_heads=1, model__model_size=size))


def test_concrete_gates_need_a_type():
  with pytest.raises(UserError, match="config.gates.types is empty"):
    validation.validate(changed(gates__kind="concrete", gates__types=()))
  validation.validate(changed(gates__types=()))


@pytest.mark.parametrize("init", ["20", "13.1", "-14.7", "1e39"])
def test_gates_do_not_start_where_nothing_moves_them(init):
  with pytest.raises(UserError, match=f"config.gates.init={init}: .* between -14.6 and 13.0"):
    validation.validate(changed(gates__kind="concrete", gates__init=init))
  validation.validate(changed(gates__init=init))  # without gates it has no effect
  fields = {"gates__kind": "topk", "l0__target_heads": "16"}
  validation.validate(changed(gates__init="20", **fields))  # a top-K compares


@pytest.mark.parametrize("init", ["13", "-14.6", "2", "glorot"])
def test_where_gates_may_start(init):
  validation.validate(changed(gates__kind="concrete", gates__init=init))


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
  validation.validate(changed(**good))
  with pytest.raises(UserError, match=message):
    validation.validate(changed(**(good | fields)))


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
  validation.validate(changed(**good))
  with pytest.raises(UserError, match=message):
    validation.validate(changed(**(good | fields)))


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
  validation.validate(changed(**good))  # the coefficient of a preset has no effect
  with pytest.raises(UserError, match=message):
    validation.validate(changed(**(good | fields)))


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
  config = changed(**{"gates.kind": "fixed", "gates.fixed_from": str(tmp_path)})
  with pytest.raises(UserError, match="config.gates.fixed_from: .*heads.json does not exist"):
    validation.validate(config)
  (tmp_path / "heads.json").write_text(content)
  with pytest.raises(UserError, match=message):
    validation.validate(config)
