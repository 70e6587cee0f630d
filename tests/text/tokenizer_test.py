"""Text to ids and back: round trips, conventions, spans, folders that are whole or not there."""

import json
import pickle
import unicodedata

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.text import pieces, tokenizer

SRC = [f"the {a} cat saw {n} small dogs near the house." for a in ("Old", "red") for n in range(25)]
TGT = [
  f"die {a} Katze sah {n} süße Hunde vor dem Haus." for a in ("Alte", "rote") for n in range(25)
]
RESERVED = ["_BOS_", "_EOS_", "_UNK_"]


def trained(folder, kind="bpe", vocab_size=90, shared=False, lowercase=False, src=SRC, tgt=TGT):
  tokenizer.train(kind, src, tgt, vocab_size, shared, lowercase, folder)
  return tokenizer.load(folder)


@pytest.fixture(scope="module")
def subwords(tmp_path_factory):
  """(cased, lower-cased) German SentencePiece tokenizers."""
  cased = trained(tmp_path_factory.mktemp("cased"))[1]
  return cased, trained(tmp_path_factory.mktemp("lower"), lowercase=True)[1]


@pytest.mark.parametrize("kind", tokenizer.KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_round_trip_and_id_conventions(tmp_path, kind, shared):
  src, tgt = trained(tmp_path, kind, shared=shared)
  assert (src is tgt) == shared
  for side, lines in ((src, SRC), (tgt, TGT)):
    ids = side.encode(lines)
    assert side.decode(ids) == lines
    assert side.eos == tokenizer.EOS and all(row[-1] == side.eos for row in ids)
    words = [i for row in ids for i in row[:-1]]
    assert min(words) > tokenizer.UNK and max(words) < side.vocab_size <= 90
    assert side.special == (tokenizer.BOS, tokenizer.EOS, tokenizer.UNK)
    assert side.pieces(side.special) == RESERVED
    assert side.encode([]) == [] and side.encode(["", "  "]) == [[tokenizer.EOS]] * 2
    assert side.decode([]) == [] and side.decode([[]]) == [""]
  names = {path.stem for path in tmp_path.iterdir()} - {"tokenizer"}
  assert names == ({"shared"} if shared else {"src", "tgt"})


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_decode_stops_at_eos_and_drops_bos(tmp_path, kind):
  side = trained(tmp_path, kind)[0]
  (ids,) = side.encode([SRC[0]])
  batch = np.array([[0, *ids, 1, 5], [1, *ids, 4, 5]], np.int32)
  assert side.decode(batch) == [SRC[0], ""]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_deterministic(tmp_path, kind):
  for name in ("a", "b"):
    tokenizer.train(kind, SRC, TGT, 90, False, False, tmp_path / name)
  for name in ("src.model", "tgt.model", "tokenizer.json"):
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_large_text_is_sampled_evenly(tmp_path, monkeypatch):
  monkeypatch.setattr(pieces, "_MAX_LINES", 3)
  lines = ["ab", "xy", "cd", "xy", "ef"]
  side = trained(tmp_path, vocab_size=20, src=lines, tgt=lines)[0]
  assert tokenizer.UNK not in side.encode(["ab cd ef"])[0]
  assert tokenizer.UNK in side.encode(["xy"])[0]


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_lowercase_is_remembered(tmp_path, kind):
  src, _ = trained(tmp_path, kind, lowercase=True)
  line = "THE Old Cat saw 3 small dogs near the HOUSE."
  assert src.decode(src.encode([line])) == [line.lower()]
  assert tokenizer.UNK not in src.encode([line])[0]
  assert src.encode([line]) == src.encode([line.lower()])
  assert len(src.spans(line)) == len(src.encode([line])[0]) - 1


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_tokenizer_can_be_sent_to_another_process(tmp_path, kind):
  side = trained(tmp_path, kind)[0]
  assert pickle.loads(pickle.dumps(side)).encode(SRC) == side.encode(SRC)


def test_sentencepiece_unknown_and_normalised_text(subwords):
  cased, _ = subwords
  ids = cased.encode(["漢"])[0]
  assert ids[-2] == tokenizer.UNK and "\u2047" in cased.decode([ids])[0]
  spelt = ["die  Katze\u00a0sah ", "su\u0308ße", "_EOS_"]
  assert cased.decode(cased.encode(spelt))[:2] == ["die Katze sah", "süße"]
  assert tokenizer.EOS not in cased.encode(spelt)[2][:-1]


def test_small_text_gives_fewer_ids_than_asked(tmp_path):
  src, _ = trained(tmp_path, vocab_size=5000)
  assert 40 < src.vocab_size < 500


def check_spans(side, line):
  """The spans are in order, inside the line, and cover all of it but white space."""
  spans = side.spans(line)
  assert len(spans) == len(side.encode([line])[0]) - 1
  assert all(0 <= start <= end <= len(line) for start, end in spans)
  assert spans == sorted(spans)
  return spans


@pytest.mark.parametrize(
  "line",
  [
    "  die  süße   Katze ",
    "su\u0308ße Hunde",
    "DIE SÜSSE Katze",
    "Ist die \u2047 Kat\u0301ze",
    "漢😀 Haus",
  ],
)
@pytest.mark.parametrize("lowercase", [False, True])
def test_spans_give_back_the_pieces(subwords, lowercase, line):
  side = subwords[lowercase]
  spans = check_spans(side, line)
  texts = [line[start:end] for start, end in spans]
  expected = side.processor.encode(line.lower() if lowercase else line, out_type=str)
  for text, piece in zip(texts, expected, strict=True):
    text = unicodedata.normalize("NFKC", text.lower() if lowercase else text)
    assert text == piece.lstrip("▁")
  assert "".join(texts) == line.replace(" ", "")


def test_spans_by_hand(tmp_path):
  lines = ["ab", "ab", "ab c"] * 9
  side = trained(tmp_path, vocab_size=9, lowercase=True, src=lines, tgt=lines)[0]
  assert side.pieces(side.encode(["AB  c½"])[0])[-2] == "_UNK_"
  assert side.pieces(side.encode(["AB  c"])[0]) == ["▁ab", "▁", "c", "_EOS_"]
  assert side.spans(" AB  c") == [(1, 3), (5, 5), (5, 6)]
  assert side.spans("AB  c½") == [(0, 2), (4, 4), (4, 5), (5, 6)]
  # "İ" is lower-cased to two characters, of which the second is unknown.
  assert side.pieces(side.encode(["Aİ c"])[0]) == ["▁", "a", "_UNK_", "▁", "c", "_EOS_"]
  assert side.spans("Aİ c") == [(0, 0), (0, 1), (1, 2), (3, 3), (3, 4)]


def test_spans_of_one_character_in_several_pieces(tmp_path):
  lines = ["f i", "if i", "b"] * 9
  side = trained(tmp_path, "unigram", vocab_size=7, src=lines, tgt=lines)[0]
  assert side.pieces(side.encode(["bﬁb"])[0]) == ["▁", "b", "f", "i", "b", "_EOS_"]
  assert side.spans("bﬁb") == [(0, 0), (0, 1), (1, 2), (1, 2), (2, 3)]


@hypothesis.given(line=st.text(), lowercase=st.booleans())
def test_spans_of_any_text(subwords, line, lowercase):
  side = subwords[lowercase]
  text = line.lower() if lowercase else line
  joined = "".join(side.processor.encode(text, out_type=str))
  assert joined == side.processor.normalize(text)
  check_spans(side, line)


def test_whitespace_order_is_frequency_then_word_descending(tmp_path):
  src = ["b a  c ", "a b d", "_EOS_ é a"]
  side, _ = trained(tmp_path, "whitespace", 0, src=src, tgt=["x"])
  assert list(side.tokens) == [*RESERVED, "a", "b", "é", "d", "c"]
  assert (tmp_path / "src.vocab").read_text("utf-8") == "\n".join(side.tokens) + "\n"
  assert side.encode(src) == [[4, 3, 7, 1], [3, 4, 6, 1], [2, 5, 3, 1]]
  assert side.decode([[4, 2, 3, 1, 3]]) == ["b _UNK_ a"]
  assert side.spans(" b a  \té") == [(1, 2), (3, 4), (6, 8)]


def test_whitespace_vocab_size_keeps_the_most_frequent(tmp_path):
  side, _ = trained(tmp_path, "whitespace", 5, src=["c c c b b a"], tgt=["x"])
  assert list(side.tokens) == [*RESERVED, "c", "b"]
  assert side.encode(["a b c"]) == [[2, 4, 3, 1]]


def test_whitespace_shared_counts_both_sides(tmp_path):
  side, _ = trained(tmp_path, "whitespace", 0, shared=True, src=["a b b"], tgt=["a a"])
  assert list(side.tokens) == [*RESERVED, "a", "b"]


# Words as the original may hold them: no space, no line break, but any other separator.
WORDS = st.text(
  st.characters(exclude_categories=["Cs"], exclude_characters=" \n"), min_size=1, max_size=4
).filter(lambda word: word not in RESERVED)


@hypothesis.settings(deadline=None)
@hypothesis.given(words=st.lists(WORDS, min_size=1, max_size=20, unique=True), data=st.data())
def test_whitespace_round_trip_of_any_words(tmp_path_factory, words, data):
  folder = tmp_path_factory.mktemp("any")
  files = tokenizer.whitespace_files([*RESERVED, *words], [*RESERVED, "x"])
  tokenizer.write_files(folder, files)
  src, tgt = tokenizer.load(folder)
  sentence = data.draw(st.lists(st.sampled_from(words)))
  (ids,) = src.encode([" ".join(sentence)])
  assert ids == [*(words.index(word) + 3 for word in sentence), 1]
  assert src.decode([ids]) == [" ".join(sentence)]
  line = "  ".join(sentence)
  assert [line[start:end] for start, end in src.spans(line)] == sentence == src.pieces(ids[:-1])
  assert tgt.tokens == (*RESERVED, "x")


@pytest.mark.parametrize("kind, shared", [("bpe", True), ("whitespace", False)])
def test_a_folder_can_be_copied(tmp_path, kind, shared):
  sides = trained(tmp_path / "a", kind, shared=shared, lowercase=True)
  (tmp_path / "a" / "src.model.tmp").write_bytes(b"half")
  (tmp_path / "a" / "notes").write_bytes(b"mine")
  files = tokenizer.read_files(tmp_path / "a")
  assert len(files) == (2 if shared else 3) and "tokenizer.json" in files
  tokenizer.write_files(tmp_path / "b", files)
  for side, copy, lines in zip(sides, tokenizer.load(tmp_path / "b"), (SRC, TGT)):
    assert copy.encode(lines) == side.encode(lines) and copy.lowercase


def test_one_wrong_byte_is_found_in_a_copy_too(tmp_path):
  trained(tmp_path / "a", shared=True)
  model = bytearray((tmp_path / "a" / "shared.model").read_bytes())
  model[model.index("▁".encode()) + 3] = ord("~")  # a letter of a piece: it would load
  (tmp_path / "a" / "shared.model").write_bytes(model)
  tokenizer.write_files(tmp_path / "b", tokenizer.read_files(tmp_path / "a"))
  for name in "ab":
    with pytest.raises(UserError, match=f"{name}/shared.model: damaged .* its checksum is not"):
      tokenizer.load(tmp_path / name)
  meta = json.loads((tmp_path / "b" / "tokenizer.json").read_text())
  del meta["crc32"]
  (tmp_path / "b" / "tokenizer.json").write_text(json.dumps(meta))
  tokenizer.load(tmp_path / "b")  # as earlier versions wrote it


def test_files_that_a_tokenizer_may_have_left(tmp_path):
  for shared in (False, True):
    tokenizer.train("bpe", SRC, TGT, 90, shared, False, tmp_path)
  tokenizer.train("whitespace", SRC, TGT, 0, False, False, tmp_path)
  (tmp_path / "src.model.tmp").touch()
  assert len(list(tmp_path.iterdir())) == 7 and all(map(tokenizer.owns, tmp_path.iterdir()))
  for name in ("source.model", "dev.src", "notes", "config.json", "tokenizers"):
    assert not tokenizer.owns(tmp_path / name)


def test_interrupted_write_leaves_no_tokenizer(tmp_path, monkeypatch):
  assert not tokenizer.exists(tmp_path)
  trained(tmp_path)
  assert tokenizer.exists(tmp_path)

  def killed(*_):
    raise KeyboardInterrupt

  replace, done = type(tmp_path).replace, []

  def killed_at_last(path, target):
    done.append(target.name)
    return killed() if target.name == "tokenizer.json" else replace(path, target)

  for replacement in (killed, killed_at_last):
    monkeypatch.setattr(type(tmp_path), "replace", replacement)
    with pytest.raises(KeyboardInterrupt):
      tokenizer.train("bpe", TGT, SRC, 90, False, False, tmp_path)
    assert not tokenizer.exists(tmp_path)
  assert done == ["src.model", "tgt.model", "tokenizer.json"]


def test_failed_training_keeps_what_is_there(tmp_path):
  before = trained(tmp_path)[0].encode(SRC)
  with pytest.raises(UserError):
    tokenizer.train("bpe", SRC, [" "], 90, False, False, tmp_path)
  assert tokenizer.load(tmp_path)[0].encode(SRC) == before


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"kind": "words"}, "config.tokenizer.kind='words': choose one of bpe, unigram, whitespace"),
    ({"vocab_size": 12}, "config.tokenizer.vocab_size=12: no bpe model of the source text"),
    ({"vocab_size": 12, "shared": True}, "vocab_size=12: no bpe model of the source and target"),
    ({"vocab_size": 0}, "config.tokenizer.vocab_size=0: 3 ids are reserved"),
    ({"kind": "whitespace", "vocab_size": 3}, "config.tokenizer.vocab_size=3: 3 ids are reserved"),
    ({"tgt": ["", "  "]}, "target text: no line with text"),
    ({"kind": "whitespace", "src": []}, "source text: no line with text"),
  ],
)
def test_train_errors(tmp_path, change, message):
  with pytest.raises(UserError, match=message):
    trained(tmp_path / "new", **change)
  assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
  ("tokens", "message"),
  [
    (RESERVED[:2], "2 tokens, but it must start with _BOS_ _EOS_ _UNK_"),
    (["_BOS_", "_UNK_", "_EOS_", "a"], "line 2: must be _EOS_, not '_UNK_'"),
    ([*RESERVED, "a", "b", "a"], "line 6: 'a' is in line 4 already"),
    ([*RESERVED, "a", "_EOS_"], "line 5: '_EOS_' is in line 2 already"),
    ([*RESERVED, "a", ""], "line 5: '' is empty"),
    ([*RESERVED, "a\nb"], "line 4: .* has a line break"),
  ],
)
def test_token_lists_that_are_no_vocabulary(tokens, message):
  with pytest.raises(UserError, match=f"target vocabulary.*{message}"):
    tokenizer.whitespace_files([*RESERVED, "a"], tokens)


def test_load_errors(tmp_path):
  with pytest.raises(UserError, match="no tokenizer here"):
    tokenizer.load(tmp_path / "nothing")
  trained(tmp_path)
  (tmp_path / "tgt.model").write_bytes(b"garbage")
  with pytest.raises(UserError, match="tgt.model: damaged tokenizer"):
    tokenizer.load(tmp_path)
  (tmp_path / "src.vocab").write_text("_BOS_\n_EOS_\nhello\n")
  for meta, message in (
    ({"kind": "bpe"}, "tokenizer.json: damaged tokenizer, restore the file: 'shared'"),
    ({"kind": "bp", "shared": False, "lowercase": False}, "tokenizer.json: .* not a kind in bpe"),
    ({"kind": "bpe", "shared": 0, "lowercase": False}, "tokenizer.json: .* shared and lowercase"),
    ({"kind": "whitespace", "shared": False, "lowercase": False}, "src.vocab: .* first lines"),
    ({"kind": "bpe", "shared": True, "lowercase": False}, "shared.model: .* No such file"),
    (
      {"kind": "bpe", "shared": True, "lowercase": False, "crc32": [["shared.model", 1]]},
      "tokenizer.json: damaged .* not a mapping",
    ),
  ):
    (tmp_path / "tokenizer.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=message):
      tokenizer.load(tmp_path)
