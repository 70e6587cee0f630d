"""Heads that really have functions: a model that learns the grammar with fewer words in seconds.

What is asked holds for seeds 0, 1 and 2: training may round otherwise on another processor.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

import headprune
from headprune import corpus
from headprune.analysis import subject, survey
from headprune.analysis.result import Function
from headprune.runs import defaults
from headprune.runs.run import Run
from headprune.text import grammar, grammar_tree, lexicon, sources, textfile
from tests import xla_flags
from tests.relations import accuracies, without

SMALL = {
  "data.row_length": 24,
  "tokenizer.vocab_size": 200,
  "model.model_size": 64,
  "model.ff_size": 64,
  "model.num_heads": 4,
  "model.layers": 1,
  "model.precision": "float32",
  "optim.learning_rate": 0.015,
  "train.batch_tokens": 768,
  "train.eval_every": 1000,
  "train.translate_every": 1000,
  "train.checkpoint_every": 1000,
  "eval.beams": 1,
  "eval.batch_sentences": 300,
  "train.steps": 200,
  "l0.target_heads": "enc_self 2, dec_self 2, dec_enc 2",
}
SIZES = {"train": 8000, "dev": 8, "test": 300}


def write_text(out: pathlib.Path) -> list[grammar.Pair]:
  """Writes sentences of one clause and of the most frequent words; gives those of "test"."""
  words, data = lexicon.lexicon(), defaults.base().data
  few = dataclasses.replace(
    words,
    nouns={group: nouns[:4] for group, nouns in words.nouns.items()},
    adjectives=tuple(adjectives[:3] for adjectives in words.adjectives),
    determiners={plural: words[:2] for plural, words in words.determiners.items()},
    verbs=words.verbs[:8],
    idle_verbs=words.idle_verbs[:2],
    prepositions=words.prepositions[:3],
    frequency=words.frequency[:2],
    manner=words.manner[:2],
  )
  data.corpus.update(SIZES)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(lexicon, "lexicon", lambda: few)
    patch.setattr(grammar_tree, "_DEPTH", 0)
    patch.setattr(grammar_tree, "_JOINED", 0.0)
    corpus.write(data, out)
    return sources.parsed_corpus(data, ("test",))["test"]


def train(folder: pathlib.Path) -> None:
  """Trains a baseline and prunes it with the real command, in a process with one device."""
  fields = {"init_from": folder / "baseline", "data.kind": "text", "data.text.dir": folder / "text"}
  for split in ("train", "dev"):
    for side, language in zip(("src", "tgt"), grammar.LANGUAGES):
      fields[f"data.text.{split}_{side}"] = f"{split}.{language}"
  own = {name: x for name, x in SMALL.items() if name.startswith(("train.", "optim."))}
  fields |= {f"pretrain.{name}": x for name, x in own.items()} | SMALL
  flags = [f"--config.{name}={value}" for name, value in fields.items()]
  done = subprocess.run(
    [sys.executable, "-m", "headprune", "train", "--config", "concrete",
     f"--workdir={folder / 'pruned'}", *flags],
    env=os.environ | {"XLA_FLAGS": xla_flags.QUICK}, capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr


def functions(run: Run, text: pathlib.Path) -> dict[str, Function]:
  """What the analyses of syntax and of alignment find: name -> function."""
  english, invented = (textfile.read_lines(text / f"test.{x}") for x in grammar.LANGUAGES)
  options = survey.options(
    conllu=[text / "test.conllu"], alignments=text / "test.align", lrp_sentences=0, chance=0,
    resamples=0,
  )  # fmt: skip
  found = survey.survey(subject.encode(run, english, invented), options)
  return {function.name: function for function in found.functions}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Parsed test sentences; the baseline and the pruned run, each with its functions."""
  folder = tmp_path_factory.mktemp("grammar")
  pairs = write_text(folder / "text")
  train(folder)
  runs = [headprune.load(folder / name) for name in ("baseline", "pruned")]
  return pairs, [(run, functions(run, folder / "text")) for run in runs]


def losses(run: Run, subjects: Function, pairs: list[grammar.Pair]) -> tuple[float, float]:
  """Points that subjects with their verbs, and all words, lose without the heads for them."""
  whole, rest = accuracies(run, pairs), accuracies(without(run, subjects.heads), pairs)
  return tuple(100 * (whole[name] - rest[name]) for name in ("nsubj", "words"))


def test_a_head_finds_the_verb_of_a_subject_and_others_align(trained):
  _, ((_, found), _) = trained
  subjects = found["nsubj dep→head"]
  assert subjects.type == "enc_self" and subjects.strength > subjects.baseline + 0.2
  assert len(found["word alignment"].heads) >= 2


def test_subjects_need_that_head_more_than_other_words_do(trained):
  pairs, ((run, found), _) = trained
  subjects, words = losses(run, found["nsubj dep→head"], pairs)
  assert subjects > 8 and subjects > 2 * words


def test_pruning_keeps_it_and_it_is_needed_still(trained):
  pairs, (_, (run, found)) = trained
  assert sum((gate_NH > 0).sum() for gate_NH in run.gates().values()) == 6, "of 12"
  assert "word alignment" in found
  subjects, words = losses(run, found["nsubj dep→head"], pairs)
  assert subjects > words and subjects > 2
