"""Run folders that nobody trained: written by the project's own writers, with numbers given."""

import json
import pathlib

from headprune.curve import planning
from headprune.files import write_text
from headprune.runs import config as config_lib
from headprune.runs import defaults
from headprune.runs.summary import Summary
from headprune.runs.workdir import Workdir

SMALL = {
  "data.kind": "text", "model.layers": 2, "model.num_heads": 4, "model.model_size": 8,
  "eval.tokenize": "none",
}  # fmt: skip


def gates(enc_self: int = 8, dec_self: int = 8, dec_enc: int = 8) -> dict:
  """Two layers of four heads; the given numbers are open, those of layer 1 first."""
  counts = {"enc_self": enc_self, "dec_self": dec_self, "dec_enc": dec_enc}
  flat = {name: [1.0] * n + [0.0] * (8 - n) for name, n in counts.items()}
  return {name: [row[:4], row[4:]] for name, row in flat.items()}


def make(
  path: pathlib.Path, bleu: float, heads: dict | None = None, first: dict | None = None, **fields
) -> Workdir:
  """Writes a finished run.

  Args:
    path: its folder.
    bleu: on the test set; the dev set has one point more, chrF ten.
    heads: test-time gates; all open by default.
    first: the row of step 0, if there is one.
    **fields: of the config, with "__" for ".".
  """
  heads = heads or gates()
  config = defaults.base()
  given = {name.replace("__", "."): value for name, value in fields.items()}
  config.update_from_flattened_dict(SMALL | given)
  if config.gates.kind == "fixed":
    config.gates.fixed.update({name: tuple(map(tuple, rows)) for name, rows in heads.items()})
  workdir = Workdir(path)
  config_lib.save(config.lock(), workdir)
  if first:
    write_text(workdir.metrics, json.dumps({"step": 0} | first) + "\n")
  summary = Summary(
    "trained", step=100, ends_at=(100, 0), dev_bleu=bleu + 1.0, test_bleu=bleu,
    dev_chrf=bleu + 11.0, test_chrf=bleu + 10.0, dev_loss=2.5, train_seconds=60.0,
  )  # fmt: skip
  workdir.finish(summary, heads)
  return workdir


def sweep(top: pathlib.Path) -> list[pathlib.Path]:
  """Two seeds: baselines, controls, and three methods at 12 of 24 heads, one of them at 6 too."""
  for seed in (0, 1):
    base = str(top / f"baseline-{seed}")
    own = {"seed": seed, "init_from": base}
    make(top / f"baseline-{seed}", 39.0 + seed, seed=seed)
    make(top / f"control-{seed}", 39.5 + seed, **own)
    learned = own | {"gates__kind": "concrete", "l0__target_heads": "12"}
    make(top / f"l0-12-{seed}", 39.0 + 1.5 * seed, gates(1, 4, 7), **learned)
    learned["l0__target_heads"] = "25%"
    make(top / f"l0-6-{seed}", 38.0 + seed, gates(1 + seed, 1, 4), **learned)
    chosen = own | {"gates__kind": "fixed", "gates__chosen_by": "gradient"}
    first = {"dev_bleu": 20.0, "test_bleu": 19.0 + 2 * seed, "dev_loss": 4.0}
    make(top / f"gradient-12-{seed}", 38.5 + seed, gates(4, 4, 4), first, **chosen)
  make(top / "scratch-12-0", 37.0, gates(1, 4, 7), {"dev_bleu": 0.1}, gates__kind="fixed", seed=0)
  return sorted(top.iterdir())


def wanted(folder: pathlib.Path, **changes) -> planning.Sweep:
  """A sweep of the preset cldr; `fields` are changes of its config, others are of the sweep."""
  config = defaults.config("concrete", "cldr")
  config.update_from_flattened_dict(changes.pop("fields", {}))
  return planning.Sweep(config.lock(), folder, **changes)
