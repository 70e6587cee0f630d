"""config.json and its neighbours: what is read, what is refused by name."""

import shutil

import pytest

from headprune.errors import UserError
from headprune.formats import marian, marian_config
from headprune.text import marian_tokenizer
from tests.formats import marian_folder
from tests.recorded import GOLDEN

# As it stands in the folder of a real opus-mt model, saved long ago.
OLD = {
  "_name_or_path": "/tmp/Helsinki-NLP/opus-mt-en-de", "_num_labels": 3, "add_bias_logits": False,
  "add_final_layer_norm": False, "architectures": ["MarianMTModel"], "bad_words_ids": [[117]],
  "bos_token_id": 0, "classif_dropout": 0.0, "decoder_layerdrop": 0.0, "forced_eos_token_id": 0,
  "id2label": {"0": "LABEL_0"}, "init_std": 0.02, "is_encoder_decoder": True, "max_length": 512,
  "max_position_embeddings": 512, "normalize_before": False, "normalize_embedding": False,
  "num_beams": 6, "num_hidden_layers": 6, "static_position_embeddings": True, "use_cache": True,
  "transformers_version": "4.22.0.dev0", "torch_dtype": "float16", "prefix": None,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
  return marian_folder.make(tmp_path / "hf", share_encoder_decoder_embeddings=True)


def test_an_old_config_is_read(folder):
  marian_folder.change(folder / "config.json", **OLD)
  hf = marian_config.read(folder)
  tokenizers = marian_tokenizer.load(folder)
  marian_config.check_vocabularies(folder / "config.json", hf, *tokenizers)
  c = marian_config.run_config(hf, shared_vocabulary=True)
  assert (c.model.layers, c.model.dec_layers, c.model.num_heads, c.model.dec_num_heads) == (
    2, 1, 3, 2,
  )  # fmt: skip
  assert (c.model.model_size, c.model.ff_size, c.model.dec_ff_size) == (12, 20, 14)
  assert (c.eval.beams, c.eval.alpha, c.model.decoder_start) == (6, 0.6, 117)
  assert (c.model.share_embeddings, c.tokenizer.shared, c.tokenizer.vocab_size) == (True, True, 118)


def test_what_is_left_out_is_as_in_transformers(folder):
  names = ("activation_function", "scale_embedding", "decoder_vocab_size", "tie_word_embeddings")
  marian_folder.change(folder / "config.json", **dict.fromkeys(names))
  c = marian_config.run_config(marian_config.read(folder), shared_vocabulary=True)
  assert (c.model.activation, c.model.scale_embeddings) == ("gelu", False)
  assert (c.model.embed_dropout, c.model.attention_dropout, c.eval.beams) == (0.1, 0.0, 4)
  equal = dict(decoder_layers=2, decoder_ffn_dim=20, decoder_attention_heads=3, dropout=0)
  marian_folder.change(folder / "config.json", **equal)
  c = marian_config.run_config(marian_config.read(folder), shared_vocabulary=True)
  assert (c.model.dec_layers, c.model.dec_ff_size, c.model.dec_num_heads) == (0, 0, 0)


def test_the_search_has_a_file_of_its_own(folder):
  marian_folder.change(folder / "config.json", num_beams=6)
  search = folder / "generation_config.json"
  marian_folder.write_json(search, {"num_beams": 2, "renormalize_logits": True, "max_length": 512})
  assert marian_config.read(folder)["num_beams"] == 2
  for fields, message in (
    ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size=3: only 0 can be converted"),
    ({"do_sample": True}, "do_sample=True: only False"),
    ({"watermarking_config": {}}, "watermarking_config=.* is not known here"),
    ({"eos_token_id": 2}, "eos_token_id=2, but config.json has 0"),
  ):
    marian_folder.write_json(search, fields)
    with pytest.raises(UserError, match=f"generation_config.json: {message}"):
      marian_config.read(folder)


FIELDS = [
  ({"model_type": "bart"}, "model_type='bart': only 'marian' is read"),
  ({"model_type": None}, "model_type=None"),
  ({"d_model": None}, "d_model is missing"),
  ({"decoder_layers": None}, "decoder_layers is missing"),
  ({"encoder_layers": 0}, r"encoder_layers=0 is not a whole number in 1 ... 1000"),
  ({"decoder_layers": 10**9}, "decoder_layers=1000000000 is not"),
  ({"encoder_ffn_dim": 20.0}, "encoder_ffn_dim=20.0 is not"),
  ({"vocab_size": True}, "vocab_size=True is not"),
  ({"encoder_attention_heads": 5}, "encoder_attention_heads=5 does not divide d_model=12"),
  ({"decoder_attention_heads": "2"}, "decoder_attention_heads='2' is not"),
  ({"d_model": 9, "decoder_attention_heads": 3}, "d_model=9 must be even"),
  ({"activation_function": "gelu_new"}, "activation_function='gelu_new' is not in swish"),
  ({"activation_function": ["relu"]}, r"activation_function=\['relu'\] is not in swish"),
  ({"dropout": 1.5}, "dropout=1.5 is not a probability"),
  ({"attention_dropout": "no"}, "attention_dropout='no'"),
  ({"scale_embedding": 1}, "scale_embedding=1 is not true or false"),
  ({"tie_word_embeddings": False}, "tie_word_embeddings=False: only True can be converted"),
  ({"normalize_before": True}, "normalize_before=True"),
  ({"add_final_layer_norm": True}, "add_final_layer_norm=True"),
  ({"static_position_embeddings": False}, "static_position_embeddings=False"),
  ({"pruned_heads": {"0": [1]}}, "pruned_heads="),
  ({"forced_bos_token_id": 5}, "forced_bos_token_id=5: only None"),
  ({"quantization_config": {"bits": 4}}, "quantization_config=.* is not known here"),
  ({"rope_theta": 1e4}, "rope_theta=10000.0 is not known here"),
  ({"num_beams": 0}, "num_beams=0 is not"),
  ({"decoder_vocab_size": 83}, "decoder_vocab_size=83, but embeddings are shared"),
  ({"decoder_vocab_size": "many"}, "decoder_vocab_size='many'"),
  ({"vocab_size": 119, "decoder_vocab_size": None}, "vocab_size=119, but vocab.json has 118"),
  ({"eos_token_id": 2}, "eos_token_id=2, but in vocab.json it is 0"),
  ({"eos_token_id": [0, 2]}, r"eos_token_id=\[0, 2\]"),
  ({"pad_token_id": 0}, "pad_token_id=0, but in vocab.json it is 117"),
  ({"decoder_start_token_id": 118}, "decoder_start_token_id=118 is no id of vocab.json"),
  ({"forced_eos_token_id": 5}, "forced_eos_token_id=5"),
  ({"bad_words_ids": [[117], [5]]}, r"bad_words_ids=\[\[117\], \[5\]\]"),
]


@pytest.mark.parametrize("fields, message", FIELDS)
def test_the_wrong_field_is_named(folder, tmp_path, fields, message):
  marian_folder.change(folder / "config.json", **fields)
  with pytest.raises(UserError, match=f"/config.json: {message}") as caught:
    marian.read(folder, tmp_path / "run")
  assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_separate_vocabularies_must_fit_their_sizes(tmp_path):
  folder = marian_folder.make(tmp_path / "hf")
  for fields, message in (
    ({"decoder_vocab_size": 84}, "decoder_vocab_size=84, but target_vocab.json has 83 tokens"),
    ({"share_encoder_decoder_embeddings": True, "decoder_vocab_size": 118}, "two vocabularies"),
    ({"pad_token_id": 5}, "pad_token_id=5, but in target_vocab.json it is 82"),
  ):
    shutil.rmtree(folder)
    marian_folder.make(folder)
    marian_folder.change(folder / "config.json", **fields)
    with pytest.raises(UserError, match=message):
      marian.read(folder, tmp_path / "run")
  swapped = marian_folder.target_vocabulary() | {"</s>": 1, "<unk>": 0}
  marian_folder.write_json(folder / "target_vocab.json", swapped)
  marian_folder.change(folder / "config.json", pad_token_id=82)
  with pytest.raises(UserError, match="'</s>' has the ids 0 and 1"):
    marian.read(folder, tmp_path / "run")


@pytest.mark.parametrize("text", [None, b"", b"{", b"[]", b"\xff", b'{"a": 1, "a": 2}'])
def test_a_config_that_cannot_be_read_is_named(folder, tmp_path, text):
  (folder / "config.json").unlink()
  if text is not None:
    (folder / "config.json").write_bytes(text)
  with pytest.raises(UserError, match="/config.json: (no such|not JSON|expected|'a' is given)"):
    marian.read(folder, tmp_path / "run")


def test_folders_are_checked_first(tmp_path):
  with pytest.raises(UserError, match="/no: no such folder"):
    marian.read(tmp_path / "no", tmp_path / "run")
  with pytest.raises(UserError, match="--out .* exists and is not an empty folder"):
    marian.read(GOLDEN / "marian", tmp_path.parent)
