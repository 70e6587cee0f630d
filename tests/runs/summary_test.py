"""The numbers that a finished run leaves, and the closing table."""

import dataclasses
import json

import pytest

from headprune.runs import summary
from headprune.runs.summary import Summary

HEADS = {"enc_self": [[0.0, 0.5], [1.0]], "dec_self": [[0.0, 0.0], []], "dec_enc": [[1.0], [1.0]]}
DONE = Summary(
  "trained", step=1500, ends_at=(1500, 0), dev_bleu=91.5, dev_chrf=95.25, dev_loss=0.25,
  dev_smoothed_loss=0.125, signature="nrefs:1", mean_of=(1000, 1500),
  tokens_per_second=12345.6, train_seconds=83.0,
)  # fmt: skip


def test_a_summary_survives_its_file():
  for one in (DONE, Summary("compact", "runs/x", "last"), Summary("converted", "model.npz")):
    assert Summary.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_kinds_are_known():
  with pytest.raises(ValueError, match="kind 'copied' is not one of trained, compact, converted"):
    Summary("copied")


def test_notes_are_kept_and_shown():
  noted = dataclasses.replace(DONE, notes=("dev BLEU is low", "no gate closed"))
  assert Summary.from_json(json.loads(json.dumps(noted.to_json()))) == noted
  assert summary.table(noted, HEADS, None).split("\n")[-2:] == [
    "  note        dev BLEU is low", "  note        no gate closed",
  ]  # fmt: skip


@pytest.mark.parametrize(
  "field, value",
  [("step", 1.5), ("step", None), ("ends_at", [1]), ("ends_at", [1, "2"]), ("dev_bleu", "9"),
   ("signature", 3), ("train_seconds", None), ("test_bleu", 10**400), ("origin", None),
   ("dev_loss", float("nan")),
   ("notes", [3]), ("mean_of", ["3"])],
)  # fmt: skip
def test_fields_are_of_their_kind(field, value):
  with pytest.raises(TypeError, match=field):
    Summary.from_json(DONE.to_json() | {field: value})


def test_table():
  before = dataclasses.replace(DONE, dev_bleu=92.0, dev_chrf=None, dev_loss=0.2)
  assert summary.table(DONE, HEADS, before).split("\n") == [
    "  dev BLEU       92.00 ->    91.50",
    "  dev chrF       95.25",
    "  dev loss      0.2000 ->   0.2500   nats a token",
    "  perplexity      1.22 ->     1.28",
    "  heads open  4 of 7",
    "    enc_self  1/2  1/1   (layer 1 first)",
    "    dec_self  0/2  0/0   (layer 1 first)",
    "    dec_enc   1/1  1/1   (layer 1 first)",
    "  speed       12,346 source + target tokens/s, 1,500 steps in 1:23",
    "  BLEU        nrefs:1",
  ]


def test_table_compares_translations_of_one_signature_alone():
  before = dataclasses.replace(
    DONE, dev_bleu=92.0, dev_chrf=96.0, dev_loss=0.2, signature="nrefs:1|case:lc"
  )
  rows = summary.table(DONE, HEADS, before).split("\n")
  assert rows[:3] == [
    "  dev BLEU       91.50", "  dev chrF       95.25",
    "  dev loss      0.2000 ->   0.2500   nats a token",
  ]  # fmt: skip
  assert rows[-1] == (
    "  note        BLEU of the run it started from is another one, nrefs:1|case:lc: left out"
  )
  unmeasured = summary.table(DONE, HEADS, dataclasses.replace(before, dev_bleu=None))
  assert "note" not in unmeasured and "0.2000 ->" in unmeasured


def test_table_without_a_start_or_with_one_that_lacks_numbers():
  for before in (None, Summary("converted")):
    assert summary.table(DONE, HEADS, before).split("\n")[0] == "  dev BLEU       91.50"
