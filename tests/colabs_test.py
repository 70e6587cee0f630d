"""Runs the notebooks from top to bottom on a model that trains in seconds."""

import gzip
import os
import pathlib
import types

from ml_collections import ConfigDict
import nbformat
import pytest

from colabs import renew
from tests import xla_flags
from tests.formats import marian_folder

FOLDER = pathlib.Path(__file__).parent.parent / "colabs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SMALL = {
  "data.corpus.train": 300,
  "data.corpus.dev": 6,
  "data.corpus.test": 6,
  "tokenizer.vocab_size": 150,
  "model.layers": 1,
  "model.model_size": 16,
  "model.ff_size": 16,
  "model.num_heads": 4,
  "optim.learning_rate": 0.11,
  "optim.warmup": 0.4,
  "optim.cooldown": 0.0,
  "optim.gates_factor": 2.7,
  "train.steps": 12,
  "train.batch_tokens": 512,
  "train.log_every": 3,
  "eval.beams": 1,
  "eval.batch_sentences": 6,
}
PRETRAINED = {
  "data.row_length": 24,
  "train.batch_tokens": 192,
  "train.steps": 20,
  "train.checkpoint_every": 10,
  "eval.beams": 1,
}
VERBS = "see saw like know want".split()
PRETRAIN = {f"pretrain.{k}": v for k, v in SMALL.items() if k.startswith(("train.", "optim."))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where the runs go. The notebooks share one, which the first of them trains."""
  return tmp_path_factory.mktemp("colabs")


def run_notebook(name: str, folder: pathlib.Path, **parameters):
  """Executes a notebook with other parameters, in an ordinary kernel with one device."""
  notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
  environment = os.environ | {
    "XLA_FLAGS": xla_flags.QUICK,
    "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  renew.execute(notebook, parameters, environment, timeout=600)
  return notebook


def printed(notebook) -> str:
  outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
  return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


def shown(notebook, kind: str) -> list[str]:
  """What the cells display of a MIME type."""
  outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
  return [output.data[kind] for output in outputs if kind in output.get("data", ())]


def pictures(notebook) -> int:
  return len(shown(notebook, "image/png"))


def run_on_shared(name: str, folder: pathlib.Path, **parameters):
  changes = SMALL | PRETRAIN | {"init_from": str(folder / "baseline"), "l0.coef": 3.0}
  return run_notebook(name, folder, WORKDIR=str(folder / "run"), CHANGES=changes, **parameters)


def test_load_and_translate(folder):
  notebook = run_on_shared("1_load_and_translate", folder)
  text = printed(notebook)
  assert "parameters\nenc_self  4 heads" in text
  assert text.count("translation  ") == 6
  assert "BLEU " in text and "on 6 sentences (nrefs:1|" in text
  assert pictures(notebook) == 2


def test_attention_maps(folder):
  notebook = run_on_shared("2_attention_maps", folder, MAPS=1)
  text = printed(notebook)
  assert "dec_enc   (1, 4, " in text
  lines = [line for line in text.split("\n") if line.startswith("_EOS_")]
  assert len(lines) == 1 and 0.0 < float(lines[0].split()[-1]) <= 1.0
  assert 4 <= pictures(notebook) <= 7  # at least one open head of cross-attention


def test_dead_heads(folder):
  notebook = run_on_shared("3_dead_heads", folder, SENTENCES=6)
  text = printed(notebook)
  assert "of 4 heads open" in text
  assert float(text.split("largest difference of any piece: ")[1].split("\n")[0]) < 1e-4
  losses = [line for line in text.split("\n") if line.startswith(("baseline, ", "pruned run"))]
  assert len(losses) == 4 and all(float(line.split()[-1]) > 0 for line in losses)
  assert pictures(notebook) == 5


def test_from_baseline_to_compact(folder):
  notebook = run_notebook(
    "4_from_baseline_to_compact",
    folder,
    FOLDER=str(folder / "curve"),
    HEADS=("3",),
    METHODS=("l0",),
    CHANGES=SMALL | PRETRAIN | {"l0.coef": 3.0, "l0.settled": 0.4},
  )
  text = printed(notebook)
  assert "all translations are identical" in text
  assert (folder / "curve" / "compact" / "config.json").exists()
  assert "  l0-3-seed0 " in text and "  control-seed0 " in text
  (table,) = shown(notebook, "text/markdown")
  assert "by heads kept of 12" in table and "hit in 1 of 1 runs" in table
  assert pictures(notebook) == 3
  (animation,) = shown(notebook, "text/html")  # which exported pages show, other than image/gif
  assert animation.startswith('<img src="data:image/gif;base64,R0lGOD')


def test_pretrained_to_compact(folder):
  marian_folder.make(folder / "model", share_encoder_decoder_embeddings=True, decoder_ffn_dim=20)
  (folder / "text").mkdir()
  lines = [f"{subject} {verb} it." for subject in "I You We They".split() for verb in VERBS]
  for name in ("train", "val", "test2016"):
    for language in ("en", "de"):
      with gzip.open(folder / "text" / f"{name}.{language}.gz", "wt") as file:
        file.writelines(f"{line}\n" for line in lines)
  notebook = run_notebook(
    "5_pretrained_to_compact",
    folder,
    MODEL=str(folder / "model"),
    TEXT=str(folder / "text"),
    FOLDER=str(folder / "pretrained"),
    HEADS=("7", "33%"),
    CHANGES=PRETRAINED,
  )
  text = printed(notebook)
  assert "2+1 layers, D 12, 3 and 2 heads, vocabulary 118" in text
  assert "7 wanted: 7 heads open" in text and "33% wanted: 4 heads open" in text  # of 10
  assert "all translations are identical" in text and "6 heads are zeros" in text
  assert (folder / "pretrained" / "out" / "model.safetensors").exists()
  assert pictures(notebook) == 2


def test_a_pretrained_model_searches_as_the_runs_that_it_is_compared_with():
  notebook = nbformat.read(FOLDER / "5_pretrained_to_compact.ipynb", as_version=4)
  lines = [line for cell in notebook.cells for line in cell.source.split("\n")]
  (line,) = [line for line in lines if "dense.bleu(" in line]
  search = {}
  dense = types.SimpleNamespace(bleu=lambda *text, **given: search.update(given) or (30.0, ""))
  control = types.SimpleNamespace(config=ConfigDict({"eval": {"beams": 3}}))
  exec(line, {"dense": dense, "control": control, "text": ([], [])})
  assert search == {"beams": 3}


def test_source_and_target(folder):
  small = {"PAIRS": 600, "SENTENCES": 4, "PREFIXES": ("reference", "random")}
  notebook = run_on_shared("6_source_and_target", folder, **small)
  text = printed(notebook)
  # 600 beside what the run has, of which it was not trained on 6 and 6.
  assert " of 612 pairs, with " in text and text.count("reference  ") == 3
  lines = [line.split() for line in text.split("\n") if line.startswith("pruned ")]
  assert len(lines) == 3 and all(0 < float(words[4]) < 1 for words in lines)
  assert pictures(notebook) == 4


def test_there_are_six_and_they_share_their_set_up():
  notebooks = [nbformat.read(FOLDER / f"{name}.ipynb", as_version=4) for name in NAMES]
  assert [name[0] for name in NAMES] == ["1", "2", "3", "4", "5", "6"]
  first_cells = {next(c.source for c in nb.cells if c.cell_type == "code") for nb in notebooks}
  assert len(first_cells) == 1
  assert first_cells.pop().startswith(f'REPOSITORY = "{renew.address()}"  # @param')


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_what_its_cells_show(name):
  path = FOLDER / f"{name}.ipynb"
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  changed = f"cells of {path.name} were changed: python colabs/renew.py {name[0]}"
  assert notebook.metadata.get("executed") == renew.digest(notebook), changed
  assert pictures(notebook) >= 2 and path.stat().st_size < 400_000
  assert notebook.metadata.kernelspec.name == "python3"
  for cell, following in zip(notebook.cells, notebook.cells[1:]):
    if following.cell_type == "code":
      assert cell.cell_type == "markdown" or "parameters" in cell.metadata.get("tags", ())
  cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
  assert [cell.execution_count for cell in cells] == [i + 1 for i in range(len(cells))]
  for cell in cells:
    assert max(map(len, cell.source.split("\n"))) <= 100
    for output in cell.outputs:
      assert output.output_type != "error" and output.get("name") != "stderr", output


def test_other_parameters_are_shown_and_other_code_is_noticed():
  notebook = nbformat.v4.new_notebook()
  own = nbformat.v4.new_code_cell('SIZE = "2"', metadata={"tags": ["parameters"]})
  notebook.cells = [nbformat.v4.new_markdown_cell("# a"), own, nbformat.v4.new_code_cell("SIZE")]
  before = renew.digest(notebook)
  renew.execute(notebook, {"SIZE": "3"})
  renew.join_parameters(notebook)
  _, parameters, value = notebook.cells
  assert parameters.outputs[0].text == "SIZE = '3'\n" and parameters.source == 'SIZE = "2"'
  assert value.outputs[0].data["text/plain"] == "'3'"
  assert (parameters.execution_count, value.execution_count) == (1, 2)
  assert value.outputs[0].execution_count == 2
  assert renew.digest(notebook) == before
  value.source = "SIZE * 2"
  assert renew.digest(notebook) != before
