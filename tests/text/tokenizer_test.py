"""Text to ids and back: round trips, conventions, spans, folders that are whole or not there."""

import json
import pickle

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.text import special, tokenizer

SRC = [f"the {a} cat saw {n} small dogs near the house." for a in ("Old", "red") for n in range(25)]
TGT = [
  f"die {a} Katze sah {n} süße Hunde vor dem Haus." for a in ("Alte", "rote") for n in range(25)
]
RESERVED = ["_BOS_", "_EOS_", "_UNK_"]


def trained(folder, kind="bpe", vocab_size=90, shared=False, lowercase=False, src=SRC, tgt=TGT):
  tokenizer.train(kind, src, tgt, vocab_size, shared, lowercase, folder)
  return tokenizer.load(folder)


@pytest.mark.parametrize("kind", tokenizer.KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_round_trip_and_id_conventions(tmp_path, kind, shared):
  src, tgt = trained(tmp_path, kind, shared=shared)
  assert (src is tgt) == shared
  for side, lines in ((src, SRC), (tgt, TGT)):
    ids = side.encode(lines)
    assert side.decode(ids) == lines
    assert side.eos == special.EOS and all(row[-1] == side.eos for row in ids)
    words = [i for row in ids for i in row[:-1]]
    assert min(words) > special.UNK and max(words) < side.vocab_size <= 90
    assert side.special == (special.BOS, special.EOS, special.UNK)
    assert side.pieces(side.special) == RESERVED
    assert side.encode([]) == [] and side.encode(["", "  "]) == [[special.EOS]] * 2
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


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_lowercase_is_remembered(tmp_path, kind):
  src, _ = trained(tmp_path, kind, lowercase=True)
  line = "THE Old Cat saw 3 small dogs near the HOUSE."
  assert src.decode(src.encode([line])) == [line.lower()]
  assert special.UNK not in src.encode([line])[0]
  assert src.encode([line]) == src.encode([line.lower()])
  assert len(src.spans(line)) == len(src.encode([line])[0]) - 1


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_tokenizer_can_be_sent_to_another_process(tmp_path, kind):
  side = trained(tmp_path, kind)[0]
  assert pickle.loads(pickle.dumps(side)).encode(SRC) == side.encode(SRC)


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
