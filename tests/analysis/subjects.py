"""Subjects whose encoder heads look where a test says."""

from collections.abc import Callable, Sequence
import types

import numpy as np

from headprune.analysis.subject import Subject
from headprune.text import tokenizer
from tests import tiny


def pointing(targets, memories, weight=0.9):
  """attn_QM: `weight` on each query's target, the rest spread evenly."""
  attn_QM = np.full((len(targets), memories), (1 - weight) / (memories - 1), np.float32)
  attn_QM[np.arange(len(targets)), targets] = weight
  return attn_QM


def one_head(attn_QM):
  return attn_QM[None, None, None]  # [N, B, H, Q, M]


def encoder(
  source_ids: Sequence[list[int]],
  rules: Sequence[Callable[[int, list[int]], int]],
  gates: Sequence[float],
  words: Sequence[str] = (),
) -> Subject:
  """One encoder layer.

  Args:
    source_ids: with EOS.
    rules: of each head: (position, the sentence's ids) -> where it looks.
    gates: of each head.
    words: a whitespace vocabulary behind the reserved tokens.
  """
  config = tiny.even(enc_self=(len(rules),))
  gate_values = {name: np.ones(shape, np.float32) for name, shape in config.gate_shapes.items()}
  gate_values["enc_self"] = np.array([gates], np.float32)

  def encoder_attention(batch):
    rows = []
    for ids_S, segment_S in zip(batch["src_BS"], batch["src_segment_BS"]):
      length = int(segment_S.sum())
      ids, padding = ids_S[:length].tolist(), [0] * (len(ids_S) - length)
      looks = [[rule(q, ids) for q in range(length)] + padding for rule in rules]
      rows.append(np.stack([pointing(targets, len(ids_S)) for targets in looks]))
    return np.stack(rows)[None]

  translator = types.SimpleNamespace(
    config=config, gate_values=gate_values, encoder_attention=encoder_attention
  )
  side = tokenizer.Whitespace((*tokenizer.RESERVED, *words))
  run = types.SimpleNamespace(translator=translator, src_tokenizer=side)
  count = len(source_ids)
  text = [("", "")] * count
  return Subject(run, [""] * count, list(range(count)), text, list(source_ids), [[1]] * count)
