"""MarianMT's tokenizer: recorded ids, prefixes, special tokens, vocabularies that are not whole."""

import functools
import io
import json
import shutil

import numpy as np
import pytest
import sentencepiece

from headprune.errors import UserError
from headprune.text import marian_tokenizer, tokenizer
from tests.formats.marian_folder import change, target_vocabulary, write_json
from tests.recorded import GOLDEN

MARIAN = GOLDEN / "marian"
PAD = 117


@functools.cache
def sides():
  return marian_tokenizer.load(MARIAN)


@pytest.fixture
def folder(tmp_path):
  for name in ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json"):
    shutil.copyfile(MARIAN / name, tmp_path / name)
  return tmp_path


def test_recorded_ids_and_text():
  texts = json.loads((MARIAN / "outputs.json").read_text())
  src, tgt = sides()
  assert src.encode(texts["src_text"]) == texts["src_ids"]
  assert tgt.encode(texts["tgt_text"]) == texts["tgt_ids"]
  assert tgt.decode(texts["tgt_ids"]) == texts["tgt_text"]
  assert tgt.decode([row[1:] for row in texts["greedy"]]) == texts["greedy_text"]
  assert (src.vocab_size, src.eos, src.pad) == (118, 0, PAD)


def test_a_prefix_is_one_token():
  src, _ = sides()
  (ids,) = src.encode([">>deu<< Hi"])
  assert src.pieces(ids) == [">>deu<<", "\u2581", "H", "i", "</s>"] and ids[0] == 116
  assert src.encode([">>deu<<Hi"]) == [ids]
  assert src.encode([">>fra<< Hi"]) == [[1, *ids[1:]]]  # one token as well, which is not known
  for other in (" >>deu<< Hi", "Hi >>deu<<", ">>deu Hi"):
    assert 116 not in src.encode([other])[0]


def test_special_tokens_of_the_text_are_text(tmp_path):
  src, _ = sides()
  for word in ("</s>", "<pad>", "<unk>"):
    (ids,) = src.encode([f"a {word} b"])
    assert ids.count(0) == 1 and ids[-1] == 0 and PAD not in ids
  assert src.encode([]) == [] and src.encode(["", " "]) == [[0], [0]]
  # A model that knows digits alone leaves others in one piece, which may read like a special token.
  tokenizer.train("bpe", ["1 2 12 21"], ["1"], 7, True, False, tmp_path)
  digits = tokenizer.load(tmp_path)[0].processor
  assert digits.encode("</s> 1", out_type=str)[1] == "</s>"
  side = marian_tokenizer.Marian(digits, ("</s>", "<unk>", "<pad>", "\u2581", "☃"))
  assert side.encode(["</s>", "<pad>", "☃"]) == [[3, 1, 0], [3, 1, 0], [3, 4, 0]]


def test_decoding_ends_at_eos_and_leaves_padding_out():
  _, tgt = sides()
  rows = np.array([[PAD, 105, 114, 0, 105], [105, PAD, 10, 0, 0]], np.int32)
  assert tgt.decode(rows) == ["Ein Mann", "Ein."]
  assert tgt.decode([[105, 1, 10]]) == ["Ein \u2047 ."]  # what is unknown is seen
  assert tgt.decode([[0], []]) == ["", ""] and tgt.decode([]) == []
  assert tgt.decode([[0], [105, 0]]) == ["", "Ein"]
  # 90 is "\u2581A", of the source's model alone: its mark is a space all the same.
  assert tgt.decode([[105, 90, 105]]) == ["Ein A Ein"]


def test_spans_are_of_the_whole_line():
  src, _ = sides()
  for line in (">>deu<< The ﬁre … x", "The man", ">>deu<<", "", "☃"):
    (ids,) = src.encode([line])
    spans = src.spans(line)
    assert len(spans) == len(ids) - 1
  words = [">>deu<< the man"[a:b] for a, b in src.spans(">>deu<< the man")]
  assert words == [">>deu<<", "the", "man"]
  assert src.spans(">>deu<< ☃")[1:] == [(8, 8), (8, 9)]


def test_spans_of_a_model_that_has_bytes_for_unknown_characters():
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["ab", "ab", "ab c"] * 9), model_writer=model, model_type="bpe",
    vocab_size=266, byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
  )  # fmt: skip
  known = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
  side = marian_tokenizer.Marian(known, tuple(map(known.id_to_piece, range(len(known)))))
  line = "ab é 漢c"
  pieces = ["▁ab", "▁", "<0xC3>", "<0xA9>", "▁", "<0xE6>", "<0xBC>", "<0xA2>", "c"]
  assert side.pieces(side.encode([line])[0][:-1]) == pieces
  spans = side.spans(line)
  assert [line[a:b] for a, b in spans] == ["ab", "", "é", "é", "", "漢", "漢", "漢", "c"]
  assert spans == sorted(spans)


def test_separate_vocabularies(folder):
  write_json(folder / "target_vocab.json", target_vocabulary())
  assert [side.vocab_size for side in marian_tokenizer.load(folder)] == [118, 118]
  change(folder / "tokenizer_config.json", separate_vocabs=True)
  assert [side.vocab_size for side in marian_tokenizer.load(folder)] == [118, 83]
  (folder / "tokenizer_config.json").unlink()  # then the file itself says so
  src, tgt = marian_tokenizer.load(folder)
  assert (tgt.eos, tgt.pad, src.pad) == (0, 82, PAD)
  assert (tgt.special, src.special) == ((0, 1, 82), (0, 1, PAD))
  (ids,) = tgt.encode(["Zwei Männer"])
  assert ids == [3, 39, 16, 34, 30, 3, 51, 9, 25, 25, 1, 0]
  assert tgt.pieces(ids[:2]) == ["\u2581", "Z"] and tgt.decode([ids]) == ["Zwei Männ \u2047"]


def test_a_run_keeps_the_files_as_they_are(folder, tmp_path_factory):
  run = tmp_path_factory.mktemp("run") / "tokenizer"
  tokenizer.write_files(run, tokenizer.marian_files(folder, shared=True))
  names = sorted(path.name for path in run.iterdir())
  kept = ["source.spm", "target.spm", "tokenizer_config.json", "vocab.json"]
  assert names == sorted([*kept, "tokenizer.json"]) and all(map(tokenizer.owns, run.iterdir()))
  assert tokenizer.owns(run / "source.spm.tmp") and not tokenizer.owns(run / "other.spm")
  files = tokenizer.read_files(run)
  assert all(files[name] == (MARIAN / name).read_bytes() for name in kept)
  src, tgt = tokenizer.load(run)
  assert src.encode([">>deu<< Hi"]) == sides()[0].encode([">>deu<< Hi"])
  assert tgt.tokens == sides()[1].tokens


VOCABULARIES = {
  '{"</s>": 0, "<unk>": 1, "<pad>": 3}': r"'<pad>' has id 3, but the 3 ids must be 0, 1, 2",
  '{"</s>": 0, "<unk>": 1, "<pad>": -1}': r"'<pad>' has id -1, but",
  '{"</s>": 0, "<unk>": 1, "<pad>": 1}': r"'<unk>' and '<pad>' have the same id 1",
  '{"</s>": 0, "<unk>": 1, "<pad>": 2, "</s>": 0}': r"'</s>' is given twice",
  '{"</s>": 0, "<unk>": 1, "<pad>": "2"}': r"the id of '<pad>' is '2', not a whole number",
  '{"</s>": 0, "<unk>": true, "<pad>": 2}': r"the id of '<unk>' is True, not a whole number",
  '{"</s>": 0, "<unk>": 1.0, "<pad>": 2}': r"the id of '<unk>' is 1.0, not a whole number",
  '{"</s>": 0, "<unk>": 1}': r"no token is '<pad>'",
  "{}": r"no token is '</s>'",
  '["</s>"]': "expected a JSON object",
  '{"</s>": ': "not JSON",
  "[" * 100_000: "not JSON",
}


@pytest.mark.parametrize("text", VOCABULARIES)
@pytest.mark.parametrize("name", ["vocab.json", "target_vocab.json"])
def test_a_vocabulary_that_is_not_whole_is_named(folder, name, text):
  change(folder / "tokenizer_config.json", separate_vocabs=True)
  shutil.copyfile(MARIAN / "vocab.json", folder / "target_vocab.json")
  (folder / name).write_text(text)
  with pytest.raises(UserError, match=f"/{name}: {VOCABULARIES[text]}") as caught:
    marian_tokenizer.load(folder)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe no model", "folder"])
def test_a_file_that_cannot_be_read_is_named(folder, name, content):
  (folder / name).unlink()
  if content == "folder":
    (folder / name).mkdir()
  elif content is not None:
    (folder / name).write_bytes(content)
  with pytest.raises(UserError, match=f"/{name}: (no such file|damaged|not JSON)") as caught:
    marian_tokenizer.load(folder)
  assert "\n" not in str(caught.value) and ("no such" in str(caught.value)) == (content is None)


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"eos_token": "<eos>"}, r"eos_token='<eos>': only '</s>' can be converted"),
    ({"unk_token": {"content": "[UNK]"}}, r"unk_token=.*only '<unk>'"),
    ({"sp_model_kwargs": {"enable_sampling": True}}, r"sp_model_kwargs=.*only \{\}"),
    ({"additional_special_tokens": ["<eop>"]}, r"additional_special_tokens="),
    ({"tokenizer_class": "T5Tokenizer"}, r"tokenizer_class='T5Tokenizer'"),
    ({"separate_vocabs": "yes"}, r"separate_vocabs='yes' is not true or false"),
    ({"separate_vocabs": True}, r"target_vocab.json: no such file"),
    ({"do_lower_case": True}, r"do_lower_case=True is not known here"),
    ({"added_tokens_decoder": {"5": {"content": "<x>"}}}, r"added token '<x>' with id 5"),
    ({"added_tokens_decoder": {"9": {"content": "</s>"}}}, r"added token '</s>' with id 9"),
    ({"added_tokens_decoder": ["<x>"]}, r"added token \['<x>'\]"),
  ],
)
def test_settings_that_would_tokenize_otherwise_are_named(folder, fields, message):
  change(folder / "tokenizer_config.json", **fields)
  with pytest.raises(UserError, match=message):
    marian_tokenizer.load(folder)


def test_settings_that_change_nothing_are_read_over(folder):
  change(
    folder / "tokenizer_config.json", eos_token={"content": "</s>"}, model_max_length=512,
    source_lang="en", clean_up_tokenization_spaces=True, extra_special_tokens={},
  )  # fmt: skip
  write_json(folder / "added_tokens.json", {"<pad>": PAD})
  assert marian_tokenizer.load(folder)[0].tokens == sides()[0].tokens
  write_json(folder / "added_tokens.json", {"<pad>": PAD, "<x>": 118})
  with pytest.raises(UserError, match="added token '<x>' with id 118"):
    marian_tokenizer.load(folder)
