import json
import pathlib
import shutil

from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import numpy as np
import pytest

from configs import common
import headprune
from headprune import checkpoint, compact, decode, model, proof, sources, steps, summary, train
from headprune import config as config_lib
from headprune import tokenizer as tokenizer_lib
from headprune.convert import original
from headprune.errors import UserError

GOLDEN = pathlib.Path(__file__).parent / "golden"
CONCRETE = GOLDEN / "concrete"
TEXT = str(GOLDEN / "eval.src"), str(GOLDEN / "eval.dst")
BEAM = decode.BeamConfig(beams=4, alpha=0.6, spread=3.0)
SMALL = model.ModelConfig(
  src_vocab=3, tgt_vocab=3, model_size=6, head_size=2, ff_size=2,
  enc_self=(3,), dec_self=(2,), dec_enc=(3,),
)  # fmt: skip


def attention_params(heads: int, cross: bool) -> dict:
  """Parameters of one attention, all numbers different."""
  rng = np.random.default_rng(heads)
  fused, name = (2, "kv") if cross else (3, "qkv")
  shapes = {
    f"{name}_kernel": (6, fused, heads, 2),
    f"{name}_bias": (fused, heads, 2),
    "out_kernel": (heads, 2, 6),
    "out_bias": (6,),
  }
  if cross:
    shapes |= {"q_kernel": (6, heads, 2), "q_bias": (heads, 2)}
  return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def small_params() -> dict:
  encoder = {"self_attention": attention_params(3, cross=False), "ffn": "kept"}
  decoder = {
    "self_attention": attention_params(2, False),
    "cross_attention": attention_params(3, True),
  }
  return {"encoder_0": encoder, "decoder_0": decoder, "src_bias": "kept"}


def gate_arrays(enc_self, dec_self, dec_enc) -> dict:
  rows = {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}
  return {
    name: np.array([[*row, *[0.0] * (3 - len(row))]], np.float32) for name, row in rows.items()
  }


def test_cut_slices_every_projection_and_folds_gates_into_the_output():
  params = small_params()
  before = params["decoder_0"]["cross_attention"]
  config, after = compact.cut(SMALL, params, gate_arrays([1, 1, 1], [0, 0], [0.25, 0, 1]))
  assert config.heads == {"enc_self": (3,), "dec_self": (0,), "dec_enc": (2,)}
  assert config.head_size == 2
  cross = after["decoder_0"]["cross_attention"]
  assert cross.keys() == before.keys()
  np.testing.assert_array_equal(cross["q_kernel"], before["q_kernel"][:, [0, 2]])
  np.testing.assert_array_equal(cross["q_bias"], before["q_bias"][[0, 2]])
  np.testing.assert_array_equal(cross["kv_kernel"], before["kv_kernel"][:, :, [0, 2]])
  np.testing.assert_array_equal(cross["kv_bias"], before["kv_bias"][:, [0, 2]])
  np.testing.assert_array_equal(cross["out_kernel"][0], 0.25 * before["out_kernel"][0])
  np.testing.assert_array_equal(cross["out_kernel"][1], before["out_kernel"][2])
  assert after["decoder_0"]["self_attention"].keys() == {"out_bias"}
  assert after["encoder_0"]["ffn"] == after["src_bias"] == "kept"


GATES = st.sampled_from([0.0, 0.5, 1.0])  # products are exact


GATE_ROWS = st.tuples(*(st.lists(GATES, min_size=n, max_size=n) for n in (3, 2, 3)))


@settings(deadline=None, max_examples=50)  # the machine may be busy
@given(GATE_ROWS, GATE_ROWS)
def test_cutting_twice_is_cutting_once_with_the_product_of_the_gates(rows, other_rows):
  first, second = gate_arrays(*rows), gate_arrays(*other_rows)
  both = {name: first[name] * second[name] for name in first}
  left = {name: second[name][:, np.flatnonzero(first[name])] for name in first}
  once_config, once = compact.cut(SMALL, small_params(), both)
  config, params = compact.cut(*compact.cut(SMALL, small_params(), first), left)
  assert config == once_config
  jax.tree.map(np.testing.assert_array_equal, params, once)


@pytest.fixture(scope="module")
def converted():
  """The original's pruned model, its test-time gates, and the recorded sentences."""
  arrays, hp = np.load(CONCRETE / "model.npz"), json.loads((CONCRETE / "hp.json").read_text())
  config, params = original.from_npz(arrays, hp)
  gates = steps.test_gates(model.ones(config), params)
  return config, params, {name: np.asarray(g) for name, g in gates.items()}


def vocabularies() -> list[list[str]]:
  return [sources.read_lines(GOLDEN / f"{side}.voc.txt") for side in ("src", "dst")]


def recorded_pairs() -> list[dict]:
  ids = []
  for tokens, path in zip(vocabularies(), TEXT):
    rows = tokenizer_lib.Whitespace(tuple(tokens)).encode(sources.read_lines(path))
    ids.append([np.array([*row, tokenizer_lib.EOS]) for row in rows])
  return [{"src": src, "tgt": tgt} for src, tgt in zip(*ids)]


NONE = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize("closed", [("enc_self", "dec_self"), ("dec_enc",)])
def test_a_cut_model_scores_and_translates_as_the_masked_one(converted, closed):
  config, params, gates = converted
  gates = gates | {name: NONE for name in closed}
  masked = proof.Variant(config, params["model"], gates)
  small_config, small_params = compact.cut(config, params["model"], gates)
  small = proof.Variant(small_config, small_params, model.ones(small_config))
  assert all(small_config.heads[name] == (0, 0) for name in closed)
  assert proof.check(masked, small, recorded_pairs(), BEAM) < 1e-5


def test_models_that_differ_are_told_apart(converted):
  config, params, gates = converted
  masked = proof.Variant(config, params["model"], gates)
  other = gates | {"dec_enc": gates["dec_enc"] + np.float32(1e-3)}
  with pytest.raises(UserError, match="not the same model: logits differ by"):
    proof.check(masked, proof.Variant(config, params["model"], other), recorded_pairs(), BEAM)


@pytest.fixture(scope="module")
def runs(converted, tmp_path_factory):
  """A folder with `masked`, a gated run, and `compact`, what the command makes of it.

  Gates are the original's, most of them between 0 and 1; two layers have none open.
  """
  folder = tmp_path_factory.mktemp("runs")
  log_alphas = {name: a.copy() for name, a in converted[1]["gates"].items()}
  log_alphas["enc_self"][1] = log_alphas["dec_enc"][0] = -5.0
  params = converted[1] | {"gates": log_alphas}
  config = common.base()
  config.data.kind = "text"
  config.model.update(layers=2, num_heads=4, model_size=32, ff_size=64, precision="float32")
  config.gates.kind, config.l0.coef, config.init_from = "concrete", 0.3, "elsewhere"
  config.pretrain = {"train": config.train, "optim": config.optim}
  config.eval.average = 2
  config_lib.save(config, folder / "config.json")
  masked = folder / "masked"
  tokenizer_lib.write_whitespace(*vocabularies(), masked / "tokenizer")
  shutil.move(folder / "config.json", masked)
  checkpoint.save_params(masked, params, step=7)
  summary.write(masked, {"step": 7, "dev_bleu": 12.5}, {})
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(proof, "_REPEATS", 1)
    compact.compact(masked, folder / "compact", text=TEXT)
  return folder


def test_the_written_run_is_ordinary_and_translates_alike(runs):
  masked, small = headprune.load(runs / "masked"), headprune.load(runs / "compact")
  c = small.config
  heads = {"enc_self": (3, 0), "dec_self": (3, 3), "dec_enc": (0, 3)}
  assert small.model_config.heads == heads == c.model.heads.to_dict()
  assert (c.gates.kind, c.l0.coef, c.init_from, c.eval.average) == ("none", 0.0, "", 1)
  assert "pretrain" not in c
  assert small.model_config.head_size == 8
  lines = sources.read_lines(TEXT[0])
  assert small.translate(lines) == masked.translate(lines)
  written = json.loads((runs / "compact" / "heads.json").read_text())
  assert written == {name: [[1.0] * n for n in counts] for name, counts in heads.items()}
  assert summary.read(runs / "compact")["dev_bleu"] == 12.5
  assert sorted(p.name for p in runs.iterdir()) == ["compact", "masked"]


@pytest.mark.parametrize("taken", ["compact", "masked"])
def test_a_folder_in_use_is_left_alone(runs, taken):
  files = sorted((runs / taken).rglob("*"))
  with pytest.raises(UserError, match="--out"):
    compact.compact(runs / "masked", runs / taken, text=TEXT)
  assert sorted((runs / taken).rglob("*")) == files


def test_unreadable_dev_data_asks_for_files(runs):
  with pytest.raises(UserError, match="dev_src is not set.*--src and --tgt"):
    compact.compact(runs / "masked", runs / "new")
  assert not (runs / "new").exists()


def training_config(runs):
  config = common.base()
  config.data.kind, config.data.row_length = "text", 32
  config.data.text.dir = str(GOLDEN)
  for split, name in (("train", "train"), ("dev", "eval")):
    config.data.text[f"{split}_src"], config.data.text[f"{split}_tgt"] = (
      f"{name}.src",
      f"{name}.dst",
    )
  config.model.update(layers=2, num_heads=4, model_size=32, ff_size=64, precision="float32")
  config.train.update(steps=2, batch_tokens=256)
  config.init_from = str(runs / "compact")
  return config.lock()


def test_a_compact_run_trains_on_without_being_told_its_heads(runs):
  train.train_and_evaluate(training_config(runs), runs / "tuned")
  small, tuned = headprune.load(runs / "compact"), headprune.load(runs / "tuned")
  assert tuned.model_config.heads == small.model_config.heads
  moved = lambda run: run.params["model"]["encoder_0"]["self_attention"]["out_kernel"]
  assert moved(tuned).shape == moved(small).shape
  assert 0 < np.abs(moved(tuned) - moved(small)).max() < 0.1
  shutil.rmtree(runs / "tuned")


def test_training_inside_the_compact_folder_is_refused(runs):
  with pytest.raises(UserError, match="config.init_from="):
    train.train_and_evaluate(training_config(runs), runs / "compact")
