"""MarianMT models as runs and back: recorded numbers, other shapes, pruned and exported ones."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import headprune
from headprune import compact
from headprune.errors import UserError
from headprune.formats import marian
from headprune.nn.config import TYPES, open_gates
from headprune.prune.cut import cut
from headprune.runs import defaults, derived, effect
from headprune.runs import run as run_lib
from headprune.runs.summary import Summary
from headprune.text import batching, tokenizer
from headprune.train import training
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator
from tests import file_limit, recorded, tiny
from tests.formats import marian_folder

MARIAN = recorded.GOLDEN / "marian"
TEXTS = json.loads((MARIAN / "outputs.json").read_text())
SOURCE, TARGET = ">>deu<< Two men are at the stove.", "Zwei Männer stehen am Herd."
GREEDY = BeamConfig(1, 0.0, 1e9)


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
  """The recorded model as a run."""
  out = tmp_path_factory.mktemp("golden") / "run"
  assert marian.read(MARIAN, out).endswith("2+2 layers, D 32, 4 and 4 heads, vocabulary 118")
  return headprune.load(out)


def converted(folder, **changes):
  """A random folder and the run that it becomes."""
  made = marian_folder.make(folder / "hf", **changes)
  marian.read(made, folder / "run")
  return made, headprune.load(folder / "run")


def logits_of(run, pairs=((SOURCE, TARGET),)):
  """[T, V] of each pair."""
  src, tgt = run.encode(*map(list, zip(*pairs)))
  batch = batching.pad_pairs(src, tgt, max(map(len, src)), max(map(len, tgt)))
  logits_BTV = np.asarray(run.translator.logits(batch))
  return [logits_TV[: len(ids)] for logits_TV, ids in zip(logits_BTV, tgt)]


def same_parameters(a, b):
  jax.tree.map(np.testing.assert_array_equal, a.translator.params, b.translator.params)


def test_recorded_logits_and_attention(golden):
  outputs = recorded.arrays("marian/outputs.npz")
  pairs = list(zip(TEXTS["src_text"], TEXTS["tgt_text"]))
  for i, ours in enumerate(logits_of(golden, pairs)):
    np.testing.assert_allclose(ours, outputs[f"{i}/logits"], rtol=0, atol=1e-4)
  for i, maps in enumerate(golden.attention(TEXTS["src_text"][:2], TEXTS["tgt_text"][:2])):
    for name in TYPES:
      theirs = np.stack([outputs[f"{i}/{name}/{n}"] for n in range(2)])
      np.testing.assert_allclose(maps.weights[name], theirs, rtol=0, atol=1e-5)


def test_recorded_greedy_translations_without_padding(golden):
  # That program forces an EOS as the twentieth word; none of its searches ends before.
  search = lambda t: t.translate(TEXTS["src_ids"], GREEDY, 8, lambda n: (0, 19))
  found = [h.ids for h in search(golden.translator)]
  assert found == [row[1:-1] for row in TEXTS["greedy"]]
  assert golden.tgt_tokenizer.decode(found) == TEXTS["greedy_text"]
  assert golden.translator.config.pad == 117
  bias_V = golden.translator.params["logits_bias"] + 100.0 * (np.arange(118) == 117)
  loud = golden.translator.replace(params=golden.translator.params | {"logits_bias": bias_V})
  assert [h.ids for h in search(loud)] == found


def test_a_converted_run_is_an_ordinary_run(golden):
  config, params = recorded.marian()  # an independent reading
  rates = {"embed_dropout": 0.1, "residual_dropout": 0.1}
  assert golden.translator.config == dataclasses.replace(config, **rates)
  jax.tree.map(np.testing.assert_array_equal, golden.translator.params, params)
  assert golden.workdir.read_summary().kind == "converted"
  assert golden.workdir.read_summary().origin == str(MARIAN)
  c = golden.config
  assert (c.tokenizer.kind, c.tokenizer.shared, c.data.kind) == ("marian", True, "text")
  assert (c.model.residual_dropout, c.model.attention_dropout, c.eval.beams) == (0.1, 0.0, 4)
  assert len(golden.translate([TEXTS["src_text"][0], ""])) == 2
  (losses,) = golden.score([SOURCE], [TARGET])
  logits_TV = logits_of(golden)[0].astype(np.float64)
  first = np.log(np.sum(np.exp(logits_TV[0]))) - logits_TV[0, 80]
  np.testing.assert_allclose(losses[0], first, rtol=1e-5)


@pytest.mark.parametrize("name", ["source.spm", "target.spm"])
def test_pieces_of_another_model_are_refused(tmp_path, name):
  folder = marian_folder.make(tmp_path / "hf")
  text = [f"{a} и {b}" for a in ("слово", "год", "день") for b in ("ночь", "вода", "лес")]
  tokenizer.train("bpe", text, text, 40, True, False, tmp_path / "other")
  shutil.copyfile(tmp_path / "other" / "shared.model", folder / name)
  vocabulary = "vocab.json" if name == "source.spm" else "target_vocab.json"
  with pytest.raises(UserError, match=f"/{name}: [0-9]%.* are in {vocabulary}: one of these files"):
    marian.read(folder, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_the_recorded_model_is_exported_as_it_came(golden, tmp_path):
  line = marian.write(golden, tmp_path / "out")
  assert "model.safetensors (86 tensors), config.json" in line and "zeros" not in line
  theirs = recorded.read_safetensors(MARIAN / "model.safetensors")
  ours = recorded.read_safetensors(tmp_path / "out" / "model.safetensors")  # all are float32
  assert ours.keys() == theirs.keys()
  for name, array in theirs.items():
    np.testing.assert_array_equal(ours[name], array, err_msg=name)
  with safetensors.safe_open(tmp_path / "out" / "model.safetensors", "numpy") as file:
    assert file.metadata() == {"format": "pt"}  # else transformers does not read it
  for name in ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json"):
    assert (tmp_path / "out" / name).read_bytes() == (MARIAN / name).read_bytes()
  written, known = (marian_folder.read_json(p / "config.json") for p in (tmp_path / "out", MARIAN))
  assert known.keys() - written.keys() == {
    "bos_token_id", "decoder_layerdrop", "encoder_layerdrop", "init_std", "is_decoder",
    "transformers_version", "use_cache",
  }  # fmt: skip
  changed = {name for name in written if written[name] != known[name]}
  assert changed == {"max_position_embeddings"}
  search = marian_folder.read_json(tmp_path / "out" / "generation_config.json")
  assert search["bad_words_ids"] == [[117]] and search["num_beams"] == 4
  assert search["decoder_start_token_id"] == 117 and search["max_length"] == 512
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    marian.write(golden, tmp_path / "out")


# What transformers 5.24 computes with the folders of marian_folder: first and last logits of the
# pair above, and seven words of greedy search.
COMPUTED = [
  ({}, [0.203182, -1.23084, 0.680727, -0.108982], [0.819637, 0.989295, -0.953079], [74] + [15] * 6),
  (
    {"activation_function": "relu", "scale_embedding": False},
    [0.925347, -0.866941, 1.171446, -0.330360], [0.520395, 0.745645, -0.482828], [15] * 6 + [58],
  ),
  (
    {"activation_function": "gelu", "share_encoder_decoder_embeddings": True},
    [-1.826046, 0.593842, -0.828752, 1.592985], [0.839828, -0.075234, 0.999557], [77] * 7,
  ),
]  # fmt: skip


@pytest.mark.parametrize("changes, first, last, greedy", COMPUTED)
def test_other_shapes_there_and_back(tmp_path, changes, first, last, greedy):
  made, run = converted(tmp_path, **changes)
  (logits_TV,) = logits_of(run)
  np.testing.assert_allclose(logits_TV[0, :4], first, rtol=0, atol=1e-5)
  np.testing.assert_allclose(logits_TV[-1, -3:], last, rtol=0, atol=1e-5)
  ids = run.src_tokenizer.encode([SOURCE])
  (found,) = run.translator.translate(ids, GREEDY, 1, lambda n: (0, 7))
  assert found.ids == greedy
  marian.write(run, tmp_path / "out")
  theirs = safetensors.numpy.load_file(made / "model.safetensors")
  ours = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  marian.read(tmp_path / "out", tmp_path / "again")
  again = headprune.load(tmp_path / "again")
  same_parameters(again, run)
  assert again.translator.config == run.translator.config
  assert effect.differences(again.config, run.config) == []
  np.testing.assert_array_equal(logits_of(again)[0], logits_TV)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(tmp_path, dtype):
  made = marian_folder.make(tmp_path / "hf")
  tensors = safetensors.numpy.load_file(made / "model.safetensors")
  narrow = {name: np.asarray(x, jax.numpy.dtype(dtype)) for name, x in tensors.items()}
  safetensors.numpy.save_file(narrow, made / "model.safetensors")
  marian.read(made, tmp_path / "run")
  params = headprune.load(tmp_path / "run").translator.params
  expected = narrow["model.encoder.embed_tokens.weight"].astype(np.float32)
  np.testing.assert_array_equal(params["src_embed"], expected)
  assert {str(x.dtype) for x in jax.tree.leaves(params)} == {"float32"}


def test_closed_and_cut_heads_are_exported_as_zeros(tmp_path):
  _, run = converted(tmp_path)
  gates = run.gates()
  gates["enc_self"] = np.float32([[0, 0.5, 0], [0, 0, 0]])
  gates["dec_enc"] = np.float32([[1, 0]])
  gated = run.with_gates(**gates)
  small = run.with_translator(cut(gated.translator))
  assert small.translator.config.enc_self == (1, 0)
  for name, one in (("gated", gated), ("compact", small)):
    assert "61 tensors, 6 heads are zeros)" in marian.write(one, tmp_path / name)
    marian.read(tmp_path / name, tmp_path / f"{name}-again")
    again = headprune.load(tmp_path / f"{name}-again")
    assert again.translator.config.heads == run.translator.config.heads
    np.testing.assert_allclose(logits_of(again)[0], logits_of(gated)[0], rtol=0, atol=1e-5)
    out = again.translator.params["encoder_0"]["self_attention"]["out_kernel"]
    before = run.translator.params["encoder_0"]["self_attention"]["out_kernel"]
    np.testing.assert_array_equal(out, [0.5 * before[1], 0 * before[1], 0 * before[1]])


def test_trained_on_pruned_compacted_and_exported(tmp_path):
  _, start = converted(tmp_path, share_encoder_decoder_embeddings=True, encoder_layers=1)
  for side, lines in (("src", "the man\na man\n"), ("tgt", "ein Mann\nder Mann\n")):
    (tmp_path / f"text.{side}").write_text(lines)
  config = defaults.base()
  config.model, config.tokenizer = start.config.model, start.config.tokenizer
  config.init_from, config.gates.kind, config.gates.init = str(start.workdir.path), "concrete", "1"
  config.data.kind, config.data.text.dir, config.data.row_length = "text", str(tmp_path), 12
  for split in ("train", "dev"):
    for side in ("src", "tgt"):
      config.data.text[f"{split}_{side}"] = f"text.{side}"
  config.train.steps, config.train.batch_tokens = 2, 8 * 12
  config.optim.learning_rate, config.eval.beams = 3e-6, 1
  summary = training.train(config.lock(), tmp_path / "pruned")
  assert 1 < summary.dev_smoothed_loss < 60  # a word of logit -1e9 would count in the smoothed loss
  files = tokenizer.read_files(start.workdir.tokenizer)
  assert tokenizer.read_files(tmp_path / "pruned" / "tokenizer") == files
  run = headprune.load(tmp_path / "pruned")
  before, after = (one.translator.params["logits_bias"] for one in (start, run))
  assert not np.array_equal(before, after)
  pruned = run.with_gates(enc_self=np.float32([[0, 0.7, 1]]))
  compact.write(pruned, cut(pruned.translator), tmp_path / "compact")
  small = headprune.load(tmp_path / "compact")
  assert small.translator.config.enc_self == (2,)
  assert "1 heads are zeros" in marian.write(small, tmp_path / "out")
  marian.read(tmp_path / "out", tmp_path / "again")
  again = headprune.load(tmp_path / "again")
  np.testing.assert_allclose(logits_of(again)[0], logits_of(pruned)[0], rtol=0, atol=1e-5)


def test_tensors_that_the_disk_does_not_take(tmp_path):
  with file_limit.bytes_of_a_file(1000), pytest.raises(OSError, match="File too large"):
    marian._save({"x": np.zeros(1000, np.float32)}, tmp_path / "model.safetensors")


def test_what_training_unties_is_not_exported(tmp_path):
  _, run = converted(tmp_path)
  kernel = run.translator.params["logits_kernel"]
  params = run.translator.params | {"logits_kernel": kernel + 1e-3}
  untied = run.with_translator(run.translator.replace(params=params))
  with pytest.raises(UserError, match="logits_kernel is not model/tgt_embed transposed"):
    marian.write(untied, tmp_path / "out")
  assert not (tmp_path / "out").exists()


def own_run(folder, kind="bpe", lowercase=False, **changes):
  """A run of this architecture with tokenizers trained here."""
  config = defaults.base()
  files = folder / "tokenizer"
  tokenizer.train(kind, TEXTS["src_text"], TEXTS["tgt_text"], 90, False, lowercase, files)
  config.update_from_flattened_dict({
    "tokenizer.kind": kind, "tokenizer.lowercase": lowercase, "model.norm": "post",
    "model.final_norms": False, "model.norm_epsilon": 1e-5, "model.activation": "silu",
    "model.positions": "huggingface", "model.source_bias": False, "model.logits_bias": True,
    "model.decoder_start": 0, "model.model_size": 8, "model.num_heads": 2, "model.layers": 1,
    "model.precision": "float32",
  } | {name.replace("__", "."): value for name, value in changes.items()})  # fmt: skip
  model = derived.model_config(config.model, tokenizer.load(files))
  params = tiny.random_params(model)
  params["logits_kernel"] = params["tgt_embed"].T.copy()
  translator = Translator(model, params, open_gates(model))
  run_lib.write(
    folder / "own", config, tokenizer.read_files(files), translator, {}, Summary("converted")
  )
  return headprune.load(folder / "own")


def test_a_model_trained_here_is_exported_with_its_tokenizer(tmp_path):
  run = own_run(tmp_path)
  marian.write(run, tmp_path / "out")
  marian.read(tmp_path / "out", tmp_path / "again")
  again = headprune.load(tmp_path / "again")
  # That a prefix like >>deu<< is one token is MarianMT's rule alone.
  texts = [*TEXTS["src_text"][2:], "☃ unseen"], [*TEXTS["tgt_text"][2:], "ungesehen ☃☃"]
  assert again.encode(*texts) == run.encode(*texts)
  same_parameters(again, run)
  pair = [tuple(side[0] for side in texts)]
  np.testing.assert_array_equal(logits_of(again, pair)[0], logits_of(run, pair)[0])
  special = [again.tgt_tokenizer.tokens[i] for i in range(3)]
  assert special == ["<pad>", "</s>", "<unk>"] and again.translator.config.pad == 0


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"model__norm": "pre"}, "config.model.norm='pre': MarianMT has 'post' only"),
    ({"model__final_norms": True}, "config.model.final_norms=True"),
    ({"model__norm_epsilon": 1e-6}, "config.model.norm_epsilon=1e-06"),
    ({"model__positions": "tensor2tensor"}, "config.model.positions='tensor2tensor'"),
    ({"model__source_bias": True}, "config.model.source_bias=True"),
    ({"model__logits_bias": False}, "config.model.logits_bias=False"),
    ({"model__decoder_start": -1}, "config.model.decoder_start=-1"),
    ({"model__heads__dec_self": (3,)}, "layer 1 of dec_self has 3 heads: .* head size, 2"),
    ({"lowercase": True}, "lowercase=True: MarianMT has SentencePiece models that keep the case"),
    ({"kind": "whitespace"}, "config.tokenizer.kind='whitespace'"),
  ],
)
def test_other_architectures_and_tokenizers_are_not_exported(tmp_path, changes, message):
  run = own_run(tmp_path, **changes)
  with pytest.raises(UserError, match=message) as caught:
    marian.write(run, tmp_path / "out")
  assert not (tmp_path / "out").exists() and "\n" not in str(caught.value)
