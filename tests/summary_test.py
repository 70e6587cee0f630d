"""The files and the table that a finished run leaves."""

import json

from headprune import summary

HEADS = {"enc_self": [[0.0, 0.5], [1.0]], "dec_self": [[0.0, 0.0], []], "dec_enc": [[1.0], [1.0]]}
DONE = {
  "step": 1500, "ends_at": [1500, 0], "dev_bleu": 91.5, "dev_loss": 0.25, "test_bleu": None,
  "signature": "nrefs:1", "tokens_per_second": 12345.6, "train_seconds": 83.0,
}  # fmt: skip


def test_a_run_is_finished_when_its_summary_is_there(tmp_path):
  assert summary.read(tmp_path) is None
  summary.write(tmp_path, DONE, HEADS)
  assert summary.read(tmp_path) == DONE
  assert json.loads((tmp_path / "heads.json").read_text()) == HEADS
  assert sorted(path.name for path in tmp_path.iterdir()) == ["heads.json", "summary.json"]


def test_a_head_is_open_if_its_gate_is_above_zero():
  assert summary.count_open(HEADS) == {"enc_self": [1, 1], "dec_self": [0, 0], "dec_enc": [1, 1]}


def test_table(tmp_path):
  summary.write(tmp_path, DONE, HEADS)
  (tmp_path / "checkpoints").mkdir()
  before = {"dev_bleu": 92.0, "dev_loss": 0.2}
  assert summary.table(tmp_path, DONE, HEADS, before).split("\n") == [
    "  dev BLEU       92.00 ->    91.50",
    "  dev loss      0.2000 ->   0.2500",
    "  heads open  4 of 7",
    "    enc_self  1/2  1/1   (layer 1 first)",
    "    dec_self  0/2  0/0   (layer 1 first)",
    "    dec_enc   1/1  1/1   (layer 1 first)",
    "  speed       12,346 source + target tokens/s, 1,500 steps in 1:23",
    "  BLEU        nrefs:1",
    f"  files       {tmp_path}: checkpoints/, heads.json, summary.json",
  ]


def test_table_without_a_start_or_with_one_that_lacks_numbers(tmp_path):
  for before in (None, {"step": 0}):
    rows = summary.table(tmp_path, DONE, HEADS, before).split("\n")
    assert rows[0] == "  dev BLEU       91.50"
