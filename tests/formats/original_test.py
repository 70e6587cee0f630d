"""Models of the original program as runs: the whole path, other sizes, and mistakes."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import headprune
from headprune import evaluate
from headprune.errors import UserError
from headprune.formats import original, original_hp
from headprune.nn.config import TYPES
from headprune.nn.transformer import init_params
from headprune.prune.cut import cut
from headprune.runs import checkpoint, defaults
from headprune.runs import config as config_lib
from headprune.runs.workdir import Workdir
from headprune.text import special
from headprune.train import training
from tests import small_run, tiny

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def hp_of(kind):
  return json.loads((GOLDEN / kind / "hp.json").read_text())


def make_run(out, kind="concrete", hp=True, npz=None):
  return original.read(
    npz or GOLDEN / kind / "model.npz",
    GOLDEN / "src.voc.txt",
    GOLDEN / "dst.voc.txt",
    GOLDEN / kind / "hp.json" if hp is True else hp,
    out,
  )


def other_model(gated=(), layers=3):
  """Random arrays under the original's names in sizes of their own, and their hp."""
  heads, size, hidden, src, tgt = 2, 8, 12, 7, 9
  dense = lambda name, i, o: {f"{name}/W:0": (i, o), f"{name}/b:0": (o,)}
  norm = lambda name: {f"{name}/scale:0": (size,), f"{name}/bias:0": (size,)}
  shapes = {"mod/emb_inp/mat:0": (src, size), "mod/emb_out/mat:0": (tgt, size)}
  shapes |= {"mod/emb_inp_bias:0": (1, 1, size), "loss_xent_lm/logits/W:0": (size, tgt)}
  shapes |= norm("mod/enc_out_norm") | norm("mod/dec_out_norm")
  for n in range(layers):
    for key, name in (("enc-self", "enc"), ("dec-self", "dec"), ("dec-enc", "dec_enc")):
      name = f"mod/{name}_attn-{n}"
      shapes |= norm(f"{name}/layer_norm") | dense(f"{name}/out_conv", size, size)
      shapes |= dense(f"{name}/mem_conv", size, (2 if key == "dec-enc" else 3) * size)
      if key == "dec-enc":
        shapes |= dense(f"{name}/query_conv", size, size)
      if key in gated:
        shapes[f"{name}/gate/log_a:0"] = (1, heads, 1, 1)
    for name in (f"mod/enc_ffn-{n}", f"mod/dec_ffn-{n}"):
      shapes |= dense(f"{name}/conv1", size, hidden) | dense(f"{name}/conv2", hidden, size)
      shapes |= norm(f"{name}/layer_norm")
  rng = np.random.default_rng(0)
  hp = {"num_layers": layers, "num_heads": heads, "hid_size": size, "ff_size": hidden}
  arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
  return arrays, hp | {"concrete_heads": list(gated)}


def recorded_lines(kind):
  return json.loads((GOLDEN / kind / "beam.json").read_text())["runs"]["default"]["translate_lines"]


def test_command_lines_translate_as_recorded(tmp_path):
  python = lambda *args, **kwargs: subprocess.run(
    [sys.executable, "-m", *map(str, args)], cwd=ROOT, capture_output=True, check=True, **kwargs
  )
  out, npz = tmp_path / "run", GOLDEN / "concrete" / "model.npz"
  vocabularies = "--src-vocab", GOLDEN / "src.voc.txt", "--tgt-vocab", GOLDEN / "dst.voc.txt"
  python("headprune.convert", "original", "--npz", npz, *vocabularies, "--out", out)
  source = (GOLDEN / "eval.src").read_bytes()
  output = python("headprune.translate", "--workdir", out, input=source).stdout.decode()
  assert output.split("\n") == recorded_lines("concrete") + [""]


def test_baseline_translates_as_recorded(tmp_path):
  make_run(tmp_path / "run", "baseline")
  source = (GOLDEN / "eval.src").read_text().removesuffix("\n").split("\n")
  assert headprune.load(tmp_path / "run").translate(source) == recorded_lines("baseline")


def test_converted_run_is_an_ordinary_run(tmp_path, capsys, monkeypatch):
  make_run(tmp_path / "run")
  run = headprune.load(tmp_path / "run")
  outputs = np.load(GOLDEN / "concrete" / "outputs.npz")
  for name, (key, _) in original_hp.NAMES.items():
    recorded = np.stack([outputs[f"gate/{key}/{n}"].ravel() for n in range(2)])
    np.testing.assert_allclose(run.gates()[name], recorded, rtol=0, atol=1e-5)
  heads = json.loads((tmp_path / "run" / "heads.json").read_text())
  assert heads == {name: gate.tolist() for name, gate in run.gates().items()}
  assert Workdir(tmp_path / "run").read_summary().kind == "converted" and run.config.eval.beams == 4
  files = "--src", str(GOLDEN / "eval.src"), "--ref", str(GOLDEN / "eval.dst")
  monkeypatch.setattr(sys, "argv", ["evaluate", "--workdir", str(tmp_path / "run"), *files])
  evaluate.main()
  assert json.loads(capsys.readouterr().out)["sentences"] == 8


@pytest.mark.parametrize("gated", ([], ["dec-enc"], ["enc-self", "dec-self"]))
def test_other_sizes_and_any_subset_of_gates(gated):
  arrays, hp = other_model(gated)
  config, params = original.from_npz(arrays, hp)
  if gated:
    assert original.from_npz(arrays, {})[0] == config  # the file alone tells all sizes
  assert (config.src_vocab, config.tgt_vocab, config.enc_ff_size) == (7, 9, 12)
  assert config.enc_self == config.dec_self == config.dec_enc == (2, 2, 2)
  assert (config.model_size, config.enc_head_size, config.dec_head_size) == (8, 4, 4)
  assert [original_hp.NAMES[name][0] for name in params["gates"]] == gated
  for name, log_alpha_NH in params["gates"].items():
    stored = arrays[f"mod/{original_hp.NAMES[name][1]}-2/gate/log_a:0"]
    np.testing.assert_array_equal(log_alpha_NH[2], stored[0, :, 0, 0])
  # Head 1 owns columns [4, 8) of q, of k and of v, and rows [4, 8) of the output.
  attention = params["model"]["decoder_2"]["self_attention"]
  fused = arrays["mod/dec_attn-2/mem_conv/W:0"]
  np.testing.assert_array_equal(attention["qkv_kernel"][:, 2, 1], fused[:, 16 + 4 : 16 + 8])
  out = arrays["mod/dec_attn-2/out_conv/W:0"]
  np.testing.assert_array_equal(attention["out_kernel"][1], out[4:8])


def test_fixed_gates_become_those_of_the_run(tmp_path):
  alive = {"dec-enc": [[1, 0, 0, 1], [0, 0, 0, 0]]}
  hp = tmp_path / "hp.json"
  hp.write_text(json.dumps(hp_of("baseline") | {"alive_heads": alive}))
  make_run(tmp_path / "run", "baseline", hp)
  values = headprune.load(tmp_path / "run").gates()
  np.testing.assert_array_equal(values["dec_enc"], alive["dec-enc"])
  np.testing.assert_array_equal(values["enc_self"], np.ones((2, 4)))


@pytest.mark.parametrize("kind", ["concrete", "baseline"])
def test_what_is_exported_is_what_was_imported(kind, tmp_path):
  make_run(tmp_path / "run", kind)
  original.write(headprune.load(tmp_path / "run"), tmp_path / "out")
  recorded, written = np.load(GOLDEN / kind / "model.npz"), np.load(tmp_path / "out" / "model.npz")
  assert sorted(written.files) == sorted(recorded.files)
  for name in recorded.files:
    np.testing.assert_array_equal(written[name], recorded[name], err_msg=name)
  hp, known = json.loads((tmp_path / "out" / "hp.json").read_text()), hp_of(kind)
  both = hp.keys() & known.keys()
  assert {"num_heads", "num_layers", "ff_size", "rescale_emb"} <= both
  assert {field: hp[field] for field in both} == {field: known[field] for field in both}
  for side in ("src", "dst"):
    name = f"{side}.voc.txt"
    assert (tmp_path / "out" / name).read_bytes() == (GOLDEN / name).read_bytes()
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    original.write(headprune.load(tmp_path / "run"), tmp_path / "out")


def test_a_compact_run_is_exported_and_read_back(tmp_path):
  make_run(tmp_path / "run")
  run = headprune.load(tmp_path / "run")
  values = run.gates() | {"enc_self": np.array([[1, 0, 0, 1], [0, 0, 0, 0]], np.float32)}
  small = cut(run.with_gates(**values).translator)
  arrays, hp = original.to_npz(small.config, {"model": small.params, "gates": {}})
  assert hp["heads"]["enc-self"] == [2, 0] and "concrete_heads" not in hp
  assert arrays["mod/enc_attn-0/mem_conv/W:0"].shape == (32, 3 * 2 * 8)
  assert "mod/enc_attn-1/mem_conv/W:0" not in arrays
  config, again = original.from_npz(arrays, json.loads(json.dumps(hp)))
  assert config.heads == small.config.heads and config.enc_head_size == 8
  jax.tree.map(np.testing.assert_array_equal, again["model"], jax.device_get(small.params))
  lists = [{"enc-self": [2, 0]}, *(dict.fromkeys(hp["heads"], n) for n in ([], [True, True], "12"))]
  for wrong in (*lists, 3):
    with pytest.raises(UserError, match="hp.heads must be lists"):
      original.from_npz(arrays, hp | {"heads": wrong})


@pytest.mark.parametrize("lowercase, end", [(False, ""), (True, ", lower-cased first")])
def test_what_an_exported_model_reads_is_said(tmp_path, lowercase, end):
  run = small_run.make(tmp_path / "run", tokenizer__lowercase=lowercase)
  said = original.write(run, tmp_path / "out")
  assert said.endswith(f"pieces, which {tmp_path / 'run' / 'tokenizer'} makes of a line{end}")


@pytest.mark.parametrize("kind", ["none", "concrete"])
def test_gates_that_were_set_by_hand_are_exported(tmp_path, kind):
  run, out = small_run.make(tmp_path / "run", gates__kind=kind), tmp_path / "out"
  half = {name: 0.5 * gate_NH for name, gate_NH in run.gates().items()}
  original.write(run.with_gates(**half), out)
  files = (out / name for name in ("model.npz", "src.voc.txt", "dst.voc.txt", "hp.json"))
  original.read(*files, tmp_path / "again")
  jax.tree.map(np.testing.assert_array_equal, headprune.load(tmp_path / "again").gates(), half)


def test_gates_on_cut_layers_are_not_exported(tmp_path):
  make_run(tmp_path / "run")
  run = headprune.load(tmp_path / "run")
  cut_layers = dataclasses.replace(run.translator.config, **dict.fromkeys(TYPES, (3, 3)))
  gated = run.with_translator(run.translator.replace(config=cut_layers))
  with pytest.raises(UserError, match="has gates and cut layers: run headprune compact"):
    original.write(gated, tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_shared_embeddings_are_exported_as_three_matrices():
  sizes = tiny.even(src_vocab=6, share_embeddings=True)
  params = init_params(sizes, jax.random.key(0))
  arrays, hp = original.to_npz(sizes, {"model": params, "gates": {}})
  _, again = original.from_npz(arrays, hp)
  for name in ("src_embed", "tgt_embed"):
    np.testing.assert_array_equal(again["model"][name], params["shared_embed"])
  np.testing.assert_array_equal(again["model"]["logits_kernel"], params["shared_embed"].T)


def test_pruning_starts_from_a_converted_run(tmp_path):
  arrays, hp = other_model(layers=1)
  np.savez(tmp_path / "model.npz", **arrays)
  (tmp_path / "hp.json").write_text(json.dumps(hp))
  for side, words in (("src", "abcd"), ("tgt", "abcdef")):
    tokens = [*special.RESERVED, *words]
    (tmp_path / f"{side}.voc").write_text("".join(f"{token}\n" for token in tokens))
    (tmp_path / f"text.{side}").write_text("a b c\nd b\n")
  files = (tmp_path / name for name in ("model.npz", "src.voc", "tgt.voc", "hp.json"))
  original.read(*files, tmp_path / "start")
  config, start = defaults.base(), config_lib.load(Workdir(tmp_path / "start"))
  config.model, config.tokenizer = start.model, start.tokenizer
  config.init_from, config.gates.kind = str(tmp_path / "start"), "concrete"
  config.data.kind, config.data.text.dir, config.data.row_length = "text", str(tmp_path), 4
  for split in ("train", "dev"):
    for side in ("src", "tgt"):
      config.data.text[f"{split}_{side}"] = f"text.{side}"
  config.train.steps, config.train.batch_tokens, config.optim.learning_rate = 1, 32, 1e-9
  training.train(config.lock(), tmp_path / "pruned")
  before, after = (
    checkpoint.load_params(Workdir(tmp_path / name))["model"]["src_embed"]
    for name in ("start", "pruned")
  )
  np.testing.assert_array_equal(before, arrays["mod/emb_inp/mat:0"])
  np.testing.assert_allclose(after, before, rtol=0, atol=1e-6)
  assert set(headprune.load(tmp_path / "pruned").log_alphas) == set(TYPES)


def added(arrays):
  arrays["mod/enc_attn-1/extra:0"] = np.zeros(3, np.float32)


def removed(arrays):
  del arrays["mod/dec_ffn-2/conv2/b:0"]


def no_norms(arrays):
  for name in [name for name in arrays if "layer_norm/" in name]:
    del arrays[name]


def no_hidden_biases(arrays):
  for name in [name for name in arrays if name.endswith("conv1/b:0")]:
    del arrays[name]


def no_gate(arrays):
  del arrays["mod/enc_attn-1/gate/log_a:0"]


def transposed(arrays):
  arrays["mod/emb_inp/mat:0"] = arrays["mod/emb_inp/mat:0"].T


def wrong_norm(arrays):
  arrays["mod/enc_attn-0/layer_norm/scale:0"] = np.ones(9, np.float32)


def whole_numbers(arrays):
  arrays["mod/emb_inp_bias:0"] = np.zeros((1, 1, 8), np.int64)


def not_a_number(arrays):
  arrays["mod/enc_attn-0/gate/log_a:0"][0, 1] = np.nan


def too_large(arrays):
  arrays["mod/emb_inp_bias:0"] = np.full((1, 1, 8), 1e300)


@pytest.mark.parametrize("given", (True, False))
@pytest.mark.parametrize(
  "damage, message",
  [
    (added, r"mod/enc_attn-1/extra:0 is superfluous"),
    (removed, r"mod/dec_ffn-2/conv2/b:0 is missing"),
    (no_norms, r"no variable is called mod/...layer_norm/scale:0"),
    (no_hidden_biases, r"no variable is called mod/.../conv1/b:0"),
    (no_gate, r"mod/enc_attn-1/gate/log_a:0 is missing"),
    (transposed, r"mod/emb_inp/mat:0 has shape \(8, 7\), expected \(8, 8\)"),
    (wrong_norm, r"enc_attn-0/layer_norm/scale:0 has shape \(9,\), expected \(8,\)"),
    (whole_numbers, r"mod/emb_inp_bias:0 has type int64"),
    (not_a_number, r"mod/enc_attn-0/gate/log_a:0 has values that are not finite"),
    (too_large, r"mod/emb_inp_bias:0 has values that are not finite"),
  ],
)
def test_the_wrong_variable_is_named(damage, message, given):
  arrays, hp = other_model(["enc-self"])
  damage(arrays)
  with pytest.raises(UserError, match=message):
    original.from_npz(arrays, hp if given else {})


@pytest.mark.parametrize(
  "change, message",
  [
    ({"num_layers": 2}, r"hp.num_layers=2, but the variables have 3"),
    ({"num_heads": 4}, r"hp.num_heads=4, but the variables have 2"),
    ({"hid_size": 16}, r"hp.hid_size=16"),
    ({"ff_size": "8:8"}, r"hp.ff_size='8:8'"),
    ({"concrete_heads": ["dec-enc"]}, r"enc_attn-0/gate/log_a:0 is superfluous"),
    ({"concrete_heads": ["enc-self", "dec-enc"]}, r"dec_enc_attn-0/gate/log_a:0 is missing"),
    ({"concrete_heads": ["enc_self"]}, r"'enc_self' is not one of enc-self"),
    ({"alive_heads": {"dec-enc": [[1, 1]] * 3}}, r"only one of them"),
    ({"res_steps": "ldan"}, r"hp.res_steps='ldan': only 'nlda'"),
    ({"normalize_out": False}, r"hp.normalize_out=False"),
    ({"rescale_emb": False}, r"hp.rescale_emb=False"),
    ({"inp_emb_bias": False}, r"hp.inp_emb_bias=False"),
    ({"share_emb": True}, r"hp.share_emb=True"),
    ({"attn_beta": 0.2}, r"hp.attn_beta=0.2"),
    ({"ffn_type": "glu"}, r"hp.ffn_type='glu'"),
    ({"res_dropout": 1.5}, r"hp.res_dropout=1.5 is not a probability"),
    ({"beam_size": "four"}, r"hp.beam_size='four' is not a whole number above 0"),
    ({"beam_size": True}, r"hp.beam_size=True is not a whole number above 0"),
    ({"beam_size": 0}, r"hp.beam_size=0 is not a whole number above 0"),
    ({"beam_spread": -1.0}, r"hp.beam_spread=-1.0 is not a number of at least 0"),
    ({"len_alpha": False}, r"hp.len_alpha=False is not a finite number"),
    ({"len_alpha": float("nan")}, r"hp.len_alpha=nan is not a finite number"),
    ({"attn_dropout": False}, r"hp.attn_dropout=False is not a probability"),
  ],
)
def test_the_wrong_hyper_parameter_is_named(change, message):
  arrays, hp = other_model(["enc-self"])
  with pytest.raises(UserError, match=message):
    original.from_npz(arrays, hp | change)


def test_without_gates_the_number_of_heads_must_be_given():
  arrays, _ = other_model()
  with pytest.raises(UserError, match="give --hp with num_heads"):
    original.from_npz(arrays, {})
  assert original.from_npz(arrays, {"num_heads": 4})[0].enc_head_size == 2
  for heads in (3, True):
    with pytest.raises(UserError, match=f"{heads} heads do not divide the 8 channels"):
      original.from_npz(arrays, {"num_heads": heads})


@pytest.mark.parametrize(
  "alive", ([[1, 1]], [[1, 1], [1], [1, 1]], [["a", 1]] * 3, 5, [[2, 1]] * 3, [[1, np.nan]] * 3)
)
def test_fixed_gates_must_fit_the_model(alive):
  arrays, hp = other_model()
  config, _ = original.from_npz(arrays, hp)
  with pytest.raises(UserError, match="'enc-self'.*3 lists .layers. of 2 numbers from 0 to 1"):
    original_hp.fixed_gates({"alive_heads": {"enc-self": alive}}, config)


def test_a_model_of_another_program_is_told(tmp_path):
  np.savez(tmp_path / "other.npz", weights=np.ones((2, 2), np.float32))
  for name, message in (("other", "not a model of the original program"), ("no", "no such file")):
    with pytest.raises(UserError, match=message):
      make_run(tmp_path / "run", npz=tmp_path / f"{name}.npz")
  assert not (tmp_path / "run").exists()


def test_files_that_do_not_fit_are_named(tmp_path):
  npz, src, tgt = GOLDEN / "concrete" / "model.npz", GOLDEN / "src.voc.txt", GOLDEN / "dst.voc.txt"
  out = tmp_path / "run"
  with pytest.raises(UserError, match="dst.voc.txt has 101 tokens, but the model embeds 93"):
    original.read(npz, tgt, src, None, out)
  hp = tmp_path / "hp.json"
  for text, message in (("{'a': 1}", "hp.json: not JSON"), ("[1]", "expected a JSON object")):
    hp.write_text(text)
    with pytest.raises(UserError, match=message):
      original.read(npz, src, tgt, hp, out)
  assert not out.exists()
  (out / "checkpoints").mkdir(parents=True)
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    original.read(npz, src, tgt, None, out)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"norm": "post"}, "config.model.norm='post': the original program has 'pre' only"),
    ({"activation": "gelu"}, "config.model.activation='gelu'"),
    ({"logits_bias": True}, "config.model.logits_bias=True"),
    ({"positions": "huggingface"}, "config.model.positions"),
    ({"dec_ff_size": 12}, "encoder and decoder differ in ff_size"),
    ({"enc_self": (2, 2)}, "encoder and decoder differ in layers"),
    ({"dec_head_size": 2}, "encoder and decoder differ in head_size"),
  ],
)
def test_other_architectures_are_not_exported(change, message):
  config = tiny.even(**change)
  with pytest.raises(UserError, match=message):
    original.to_npz(config, {"model": tiny.random_params(config), "gates": {}})
