"""Runs as CTranslate2 models, judged by that engine itself."""

import json

import ctranslate2
import numpy as np
import pytest
import sentencepiece

import headprune
from headprune.errors import UserError
from headprune.formats import ctranslate2 as export
from headprune.formats import marian, original
from headprune.prune.cut import cut
from headprune.translator.beam import BeamConfig
from headprune.translator.translator import Translator
from tests import small_run, tiny
from tests.recorded import GOLDEN

LINES = {side: (GOLDEN / f"eval.{side}").read_text().splitlines() for side in ("src", "dst")}
TEXTS = json.loads((GOLDEN / "marian" / "outputs.json").read_text())


def convert(kind: str, out):
  """A run of another program's recorded model."""
  if kind == "marian":
    marian.read(GOLDEN / "marian", out)
  else:
    files = GOLDEN / kind / "model.npz", GOLDEN / "src.voc.txt", GOLDEN / "dst.voc.txt"
    original.read(*files, GOLDEN / kind / "hp.json", out)
  return headprune.load(out, precision="float32")


def in_pieces(tokenizer, lines):
  """Pieces without EOS, which the engine adds itself."""
  return [tokenizer.pieces(ids[:-1]) for ids in tokenizer.encode(lines)]


def check(run, out, sources, targets):
  """Scores within 1e-4 a token and the same greedy translations."""
  engine = ctranslate2.Translator(str(out), compute_type="float32", intra_threads=1)
  source = in_pieces(run.src_tokenizer, sources)
  found = engine.score_batch(source, in_pieces(run.tgt_tokenizer, targets))
  for theirs, ours in zip(found, run.score(sources, targets)):
    np.testing.assert_allclose(-np.array(theirs.log_probs), ours, rtol=0, atol=1e-4)
  greedy = run.translator.translate(
    run.src_tokenizer.encode(sources), BeamConfig(1, 0.0, 1e9), 8, lambda length: (0, 39)
  )
  results = engine.translate_batch(
    source, beam_size=1, min_decoding_length=0, max_decoding_length=39
  )
  for theirs, ours in zip(results, greedy):
    ids = [i for i in ours.ids if i != run.translator.config.eos]
    assert theirs.hypotheses[0] == run.tgt_tokenizer.pieces(ids)


@pytest.mark.parametrize("kind", ["concrete", "baseline", "marian"])
def test_scores_and_greedy_translations_agree(kind, tmp_path):
  run = convert(kind, tmp_path / "run")
  printed = export.write(run, tmp_path / "out")
  assert "zero heads" not in printed or kind == "concrete"
  if kind == "marian":  # whose padding has no share in the engine's probabilities
    bias_V = np.array(run.translator.params["logits_bias"])
    bias_V[run.translator.config.pad] = -1e9
    params = run.translator.params | {"logits_bias": bias_V}
    run = run.with_translator(run.translator.replace(params=params))
    check(run, tmp_path / "out", TEXTS["src_text"], TEXTS["tgt_text"])
  else:
    check(run, tmp_path / "out", LINES["src"], LINES["dst"])


def test_cut_heads_are_left_out_as_far_as_the_format_allows(tmp_path):
  run = convert("baseline", tmp_path / "run")
  gates = {
    "enc_self": [[1, 0, 0, 0.5], [0, 0, 0, 0]],
    "dec_self": [[0, 1, 0, 0], [0, 0, 0, 0]],
    "dec_enc": [[0, 0, 0, 0], [1, 0.25, 0, 1]],
  }
  pruned = run.with_gates(**gates)
  printed = export.write(pruned, tmp_path / "out")
  assert "enc_self: 2 zero heads added" in printed and "(2)" in printed
  assert "dec_self: 5 zero heads added" in printed and "dec_enc: 3 zero heads added" in printed
  check(pruned, tmp_path / "out", LINES["src"], LINES["dst"])
  export.write(run, tmp_path / "dense")
  sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("out", "dense")]
  assert sizes[0] < sizes[1]


def test_a_stack_without_any_heads(tmp_path):
  run = convert("baseline", tmp_path / "run")
  bare = run.with_gates(**{name: np.zeros((2, 4)) for name in run.gates()})
  export.write(bare, tmp_path / "out")
  check(bare, tmp_path / "out", LINES["src"], LINES["dst"])


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"activation": "gelu", "final_norms": False, "scale_embeddings": False},
    {**tiny.MARIAN, "share_embeddings": False, "activation": "relu", "decoder_start": None},
  ],
)
def test_every_choice_of_architecture(tmp_path, changes):
  run = small_run.make(tmp_path / "run")
  vocabulary = {"src_vocab": 10, "tgt_vocab": 10, "eos": 1}
  config = tiny.uneven(**(changes | vocabulary))
  model = Translator(config, tiny.random_params(config), tiny.random_gates(config))
  other = run.with_translator(model)
  export.write(other, tmp_path / "out")
  lines = [line for line in small_run.LINES if line.strip()]
  check(other, tmp_path / "out", lines, lines[::-1])


def test_quantised_models_are_smaller(tmp_path):
  run = convert("baseline", tmp_path / "run")
  size = {}
  for name in (None, "int8", "float16"):
    export.write(run, tmp_path / str(name), name)
    size[name] = (tmp_path / str(name) / "model.bin").stat().st_size
  tables = 2 * export.MAX_POSITIONS * 32 * 4  # of positions, which int8 leaves as they are
  assert size["float16"] < 0.51 * size[None]
  assert size["int8"] - tables < 0.35 * (size[None] - tables)
  with pytest.raises(UserError, match="exists and is not an empty folder"):
    export.write(run, tmp_path / "int8")


def test_types_that_are_not_there_are_named(tmp_path, monkeypatch):
  run = small_run.make(tmp_path / "run")
  monkeypatch.setattr(ctranslate2.specs.model_spec, "torch_is_available", False)
  with pytest.raises(UserError, match="bfloat16: .* requires torch.*, or choose another type$"):
    export.write(run, tmp_path / "out", "bfloat16")
  assert not (tmp_path / "out").exists()
  export.write(run, tmp_path / "out")

  def refuse(folder, compute_type, intra_threads):
    raise ValueError(f"Requested {compute_type} compute type, which is not efficient.")

  monkeypatch.setattr(ctranslate2, "Translator", refuse)  # as where a processor lacks the type
  with pytest.raises(UserError, match="Requested float16 .* has .*float32.*: choose one$"):
    export.engine(tmp_path / "out", "float16", 1)


def test_what_the_format_does_not_know(tmp_path):
  run = small_run.make(tmp_path / "run")
  config = tiny.even(norm="post")
  model = Translator(config, tiny.random_params(config), tiny.random_gates(config))
  with pytest.raises(UserError, match="no post-norm model with final norms"):
    export.write(run.with_translator(model), tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_the_tokenizer_comes_along(tmp_path):
  run = convert("marian", tmp_path / "run")
  export.write(run, tmp_path / "out")
  names = {path.name for path in (tmp_path / "out" / "tokenizer").iterdir()}
  assert {"source.spm", "target.spm", "vocab.json"} <= names


def test_a_language_is_one_piece_and_said(tmp_path):
  run = convert("marian", tmp_path / "run")
  printed = export.write(run, tmp_path / "out")
  assert printed.endswith("make of a line, behind the language's own, such as >>deu<<")
  path = tmp_path / "out" / "tokenizer" / "source.spm"
  split = sentencepiece.SentencePieceProcessor(model_file=str(path)).encode("Two men", out_type=str)
  assert in_pieces(run.src_tokenizer, [">>deu<< Two men"]) == [[">>deu<<", *split]]


def test_head_counts_of_a_stack_are_even():
  config = cut(Translator(tiny.uneven(), tiny.random_params(tiny.uneven()),
                          tiny.random_gates(tiny.uneven()))).config  # fmt: skip
  assert export.even_heads(config) == {
    "enc_self": (3, 3, 3), "dec_self": (3, 3), "dec_enc": (3, 3),
  }  # fmt: skip
