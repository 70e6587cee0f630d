"""Sentence pairs from files, the built-in corpus and TFDS, and what is wrong with them."""

import gzip

import importlib_resources  # noqa: F401  (TFDS needs it to prepare a set)
from ml_collections import ConfigDict
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from headprune.errors import UserError
from headprune.runs import defaults
from headprune.text import sources, textfile


def _write(path, data: bytes):
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


@pytest.fixture
def text_config(tmp_path):
  names = {}
  for split in sources.SPLITS:
    for side in ("src", "tgt"):
      names[f"{split}_{side}"] = f"{split}.{side}"
      _write(tmp_path / f"{split}.{side}", f"{split} {side}\n".encode())
  return ConfigDict({"kind": "text", "text": {"dir": str(tmp_path), **names}})


def test_splits_of_text_files(text_config):
  pairs = sources.read_pairs(text_config)
  assert pairs["dev"] == (["dev src"], ["dev tgt"])
  assert list(pairs) == ["train", "dev", "test"]
  text_config.text.test_src = text_config.text.test_tgt = ""
  assert list(sources.read_pairs(text_config)) == ["train", "dev"]
  assert list(sources.read_pairs(text_config, ("dev",))) == ["dev"]


def test_dev_data_that_have_moved(text_config, tmp_path):
  assert sources.read_dev(text_config, "give --src") == (["dev src"], ["dev tgt"])
  (tmp_path / "dev.src").unlink()
  with pytest.raises(UserError, match="dev data cannot be read .*dev.src: no such.*: give --src"):
    sources.read_dev(text_config, "give --src")


def test_test_data_that_have_moved_or_that_there_are_none_of(text_config, tmp_path):
  assert sources.read_test(text_config, "give --src") == (["test src"], ["test tgt"])
  (tmp_path / "test.tgt").unlink()
  with pytest.raises(UserError, match="test data cannot be read .*test.tgt: no such.*: give --src"):
    sources.read_test(text_config, "give --src")
  text_config.text.test_src = text_config.text.test_tgt = ""
  with pytest.raises(UserError, match="^the run's config names no test set: give --src$"):
    sources.read_test(text_config, "give --src")


@pytest.mark.parametrize("field", ["train_src", "dev_tgt", "test_tgt"])
def test_a_file_that_is_not_there_is_named_with_its_field(text_config, tmp_path, field):
  (tmp_path / text_config.text[field]).unlink()
  with pytest.raises(UserError, match=f"^config.data.text.{field}: .*: no such file$"):
    sources.read_pairs(text_config)


@pytest.mark.parametrize("field", ["train_src", "dev_tgt", "test_tgt"])
def test_a_file_name_that_is_not_set(text_config, field):
  text_config.text[field] = ""
  with pytest.raises(UserError, match=f"config.data.text.{field} is not set"):
    sources.read_pairs(text_config)


def test_a_side_without_text(text_config, tmp_path):
  _write(tmp_path / "dev.tgt", b" \t\n")
  with pytest.raises(UserError, match="target side of the dev data has no line with text"):
    sources.read_pairs(text_config)


def test_the_built_in_corpus():
  sizes = {"train": 5, "dev": 2, "test": 0}
  config = ConfigDict({"kind": "corpus", "corpus": {"kind": "cldr", "locale": "de", **sizes}})
  pairs = sources.read_pairs(config)
  assert {split: list(map(len, sides)) for split, sides in pairs.items()} == {
    "train": [5, 5], "dev": [2, 2]
  }  # fmt: skip
  config.corpus.dev = 0
  with pytest.raises(UserError, match="config.data.corpus.dev: there must be dev data"):
    sources.read_pairs(config)


def test_the_grammar_is_a_built_in_corpus():
  sizes = {"train": 5, "dev": 2, "test": 3}
  config = ConfigDict({"kind": "corpus", "corpus": {"kind": "grammar", "locale": "ru", **sizes}})
  pairs = sources.read_pairs(config)
  assert {split: [len(side) for side in sides] for split, sides in pairs.items()} == {
    split: [size, size] for split, size in sizes.items()
  }
  assert sources.read_pairs(config, ("dev",)) == {"dev": pairs["dev"]}
  parsed = sources.parsed_corpus(config, ("dev", "train"))
  assert [pair.target for pair in parsed["train"]] == pairs["train"][1]
  config.corpus.train = 9
  assert sources.read_pairs(config, ("dev",)) == {"dev": pairs["dev"]}, "whatever train's size"
  config.corpus.update({"train": 0, "test": 0})
  assert list(sources.parsed_corpus(config)) == ["dev"]
  with pytest.raises(UserError, match="config.data.corpus.train: there must be train data"):
    sources.read_pairs(config)
  config.corpus.kind = "grammer"
  with pytest.raises(UserError, match="config.data.corpus.kind='grammer': choose one of cldr, gra"):
    sources.read_pairs(config)


@pytest.mark.parametrize(
  "kind, same, other",
  [
    ("corpus.grammar", {"corpus.train": 9, "corpus.locale": "de", "tfds.dev": "x"}, "corpus.dev"),
    ("corpus.cldr", {"text.dev_src": "x"}, "corpus.train"),
    ("text", {"text.train_src": "x", "corpus.dev": 9}, "text.dev_tgt"),
    ("tfds", {"tfds.train": "x", "tfds.data_dir": "x", "corpus.kind": "cldr"}, "tfds.test"),
  ],
)
def test_what_dev_and_test_text_depend_on(kind, same, other):
  base = defaults.base().data
  base.kind, _, base.corpus.kind = kind.partition(".")
  changed = lambda changes: sources.held_out(_changed(base, changes))
  assert changed(same) == sources.held_out(base) == changed({"row_length": 9})
  assert changed({other: 7 if other.startswith("corpus") else "y"}) != sources.held_out(base)


def test_a_file_is_the_same_by_any_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  base = defaults.base().data
  base.kind = "text"
  near = _changed(base, {"text.dir": "mine", "text.dev_src": "a", "text.test_src": "b"})
  there = {"text.dir": str(tmp_path), "text.dev_src": "mine/a", "text.test_src": "mine/b"}
  assert sources.held_out(near) == sources.held_out(_changed(base, there))
  del there["text.test_src"]
  assert sources.held_out(near) != sources.held_out(_changed(base, there))


def _changed(config, changes):
  result = ConfigDict(config.to_dict())
  result.update_from_flattened_dict(changes)
  return result


with registered.skip_registration():  # found by its files alone

  class TinyPairs(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      features = tfds.features.Translation(languages=("en", "de"))
      return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples(5), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
      for i in range(count):
        yield i, {"en": f"number {i}", "de": f"Zahl №{i}"}


class UnreachablePairs(tfds.core.GeneratorBasedBuilder):
  """Like WMT on a machine without a network."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    features = tfds.features.Translation(languages=("en", "de"))
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, dl_manager):
    raise ConnectionError("Failed to resolve 'www.statmt.org'\nand more")

  def _generate_examples(self):
    raise NotImplementedError


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tfds")
  builder = TinyPairs(data_dir=folder)
  builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
  return folder


def _tfds_config(data_dir, **fields):
  fields = {
    "name": "tiny_pairs", "data_dir": str(data_dir), "src": "en", "tgt": "de",
    "train": "train", "dev": "validation", "test": "",
  } | fields  # fmt: skip
  return ConfigDict({"kind": "tfds", "tfds": fields})


def test_a_tfds_set(tfds_dir):
  pairs = sources.read_pairs(_tfds_config(tfds_dir, test="train[:20%]"))
  assert list(pairs["train"][0]) == [f"number {i}" for i in range(5)]
  assert list(pairs["train"][1]) == [f"Zahl №{i}" for i in range(5)]
  assert pairs["test"] == (["number 0"], ["Zahl №0"])
  swapped = sources.read_pairs(_tfds_config(tfds_dir, src="de", tgt="en"))
  assert swapped["dev"] == (["Zahl №0", "Zahl №1"], ["number 0", "number 1"])
  assert "test" not in swapped


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("name", "tiny_pair", "config.data.tfds.name='tiny_pair': .* not found"),
    ("name", "", "config.data.tfds.name=''"),
    ("name", "wmt14_translate/xx-en", "xx-en not found"),
    ("src", "fr", "config.data.tfds.src='fr': tiny_pairs has the features de, en"),
    ("dev", "valid", "config.data.tfds.dev='valid': .*'validation'"),
    ("dev", "", "config.data.tfds.dev: there must be dev data"),
    ("train", "train[:0]", r"config.data.tfds.train='train\[:0\]'"),
  ],
)
def test_tfds_fields_that_do_not_fit(tfds_dir, field, value, message):
  with pytest.raises(UserError, match=message) as caught:
    sources.read_pairs(_tfds_config(tfds_dir, **{field: value}))
  assert "\n" not in str(caught.value)


def test_a_tfds_set_that_cannot_be_downloaded(tmp_path):
  with pytest.raises(UserError, match="cannot prepare it in .*: .*resolve.*statmt") as caught:
    sources.read_pairs(_tfds_config(tmp_path, name="unreachable_pairs"))
  assert "\n" not in str(caught.value)


def test_training_text_is_not_in_memory(text_config):
  pairs = sources.read_pairs(text_config)
  assert isinstance(pairs["train"][0], textfile.Lines) and isinstance(pairs["dev"][0], list)
