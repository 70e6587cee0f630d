"""Subjects whose heads look where a test says."""

from collections.abc import Callable, Sequence
import types

import numpy as np

from headprune.analysis.subject import Subject
from headprune.text import special, whitespace
from tests import tiny

Rule = Callable[[int, list[int], list[int]], int]


def pointing(targets, memories, weight=0.9):
  """attn_QM: `weight` on each query's target, the rest spread evenly."""
  attn_QM = np.full((len(targets), memories), (1 - weight) / max(1, memories - 1), np.float32)
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
  """One encoder layer; the targets are empty.

  Args:
    source_ids: with EOS.
    rules: of each head: (position, the sentence's ids) -> where it looks.
    gates: of each head.
    words: a whitespace vocabulary behind the reserved tokens.
  """
  rules = [lambda q, src, tgt, rule=rule: rule(q, src) for rule in rules]
  return both_sides(source_ids, [[1]] * len(source_ids), {"enc_self": (rules, gates)}, words)


def both_sides(
  source_ids: Sequence[list[int]],
  target_ids: Sequence[list[int]],
  heads: dict[str, tuple[Sequence[Rule], Sequence[float]]],
  words: Sequence[str] = (),
) -> Subject:
  """One encoder and one decoder layer.

  Args:
    source_ids: with EOS.
    target_ids: with EOS, as many.
    heads: attention type -> rules and gates of its heads; a rule takes a query's position and the
      ids of both sides, and gives where it looks. Types that are left out look at position 0.
    words: a whitespace vocabulary behind the reserved tokens, of both sides.
  """
  nowhere = ([lambda q, src, tgt: 0] * 2, [1.0] * 2)
  heads = {name: heads.get(name, nowhere) for name in ("enc_self", "dec_self", "dec_enc")}
  config = tiny.even(**{name: (len(rules),) for name, (rules, _) in heads.items()})
  gate_values = {name: np.array([gates], np.float32) for name, (_, gates) in heads.items()}

  def attention(batch, names=tuple(heads)):
    found = {name: [] for name in names}
    for src_S, tgt_T in zip(*(_rows(batch, side) for side in ("src", "tgt"))):
      for name in names:
        queries = src_S if name == "enc_self" else tgt_T
        memory = tgt_T if name == "dec_self" else src_S
        padding = [0] * (queries[1] - len(queries[0]))
        looks = (
          [rule(q, src_S[0], tgt_T[0]) for q in range(len(queries[0]))] + padding
          for rule in heads[name][0]
        )
        found[name].append(np.stack([pointing(targets, memory[1]) for targets in looks]))
    return {name: np.stack(rows)[None] for name, rows in found.items()}

  translator = types.SimpleNamespace(
    config=config,
    gate_values=gate_values,
    attention=attention,
    encoder_attention=lambda batch: attention(batch, ("enc_self",))["enc_self"],
  )
  side = whitespace.Whitespace((*special.RESERVED, *words))
  run = types.SimpleNamespace(translator=translator, src_tokenizer=side, tgt_tokenizer=side)
  count, ids = len(source_ids), (list(source_ids), list(target_ids))
  text = [tuple(" ".join(side.pieces(row[:-1])) for row in pair) if words else ("", "")
          for pair in zip(*ids)]  # fmt: skip
  return Subject(run, [""] * count, list(range(count)), text, *ids)


def _rows(batch, side: str) -> list[tuple[list[int], int]]:
  """(ids without padding, width) of each row of a side."""
  (ids,) = (x for name, x in batch.items() if name in (f"{side}_BS", f"{side}_BT"))
  (segments,) = (x for name, x in batch.items() if name.startswith(f"{side}_segment"))
  return [(row[: int(kept.sum())].tolist(), len(row)) for row, kept in zip(ids, segments)]
