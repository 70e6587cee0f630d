"""Functions of encoder heads: where their largest weight points (Voita et al. 2019, section 5).

A count is a pair (hits [..., N, H], cases): counts of batches add up, and hits / cases is a share.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from headprune.analysis import conllu

RELATIONS = ("nsubj", "obj", "amod", "advmod")
DIRECTIONS = ("head→dep", "dep→head")


@dataclasses.dataclass(frozen=True)
class Thresholds:
  """When a head has a function."""

  positional: float = 0.9  # share of tokens whose largest weight is at one relative position
  syntactic: float = 0.1  # accuracy above that of the relation's most frequent offset
  rare: float = 0.5  # share of tokens whose largest weight is on the sentence's rarest token
  aligning: float = 0.5  # alignment error rate at most, of cross-attention
  cases: int = 50  # of a relation at least, to call a head syntactic


@dataclasses.dataclass(frozen=True)
class Case:
  """A word (its pieces), the words it is related to (unit numbers), and the relation."""

  relation: str
  query: int
  targets: tuple[int, ...]


def confidence(attn_NBHQM, query_BQ, memory_BM):
  """Sum over query tokens of the largest weight, and their number: (sum_NH, count).

  Args:
    attn_NBHQM: weights.
    query_BQ: tokens that count.
    memory_BM: tokens that may be looked at (EOS is left out).
  """
  allowed_BHQM = memory_BM[:, None, None, :] & query_BQ[:, None, :, None]
  largest_NBHQ = np.max(attn_NBHQM, axis=-1, where=allowed_BHQM, initial=0.0)
  return largest_NBHQ.sum((1, 3), dtype=np.float64), int(query_BQ.sum())


def positional(attn_NBHSS, word_BS, max_offset: int):
  """How often the largest weight is at each relative position.

  A token counts for an offset if the sentence has a token there, EOS included.

  Args:
    attn_NBHSS: encoder weights.
    word_BS: real tokens without EOS.
    max_offset: offsets -max_offset ... max_offset are counted.
  Returns:
    (hits_ONH, cases_O) with O = 2 * max_offset + 1 offsets in order.
  """
  position_S = np.arange(word_BS.shape[1])
  shift_NBHS = np.argmax(attn_NBHSS, axis=-1) - position_S
  length_B1 = word_BS.sum(1, keepdims=True) + 1
  hits, cases = [], []
  for offset in range(-max_offset, max_offset + 1):
    target_S = position_S + offset
    valid_BS = word_BS & (target_S >= 0) & (target_S < length_B1)
    hits.append(np.sum((shift_NBHS == offset) & valid_BS[:, None], axis=(1, 3)))
    cases.append(np.sum(valid_BS))
  return np.array(hits), np.array(cases)


def rare(attn_NBHSS, ids_BS, word_BS, rank_V, top: int):
  """How often the largest weight (EOS excluded) is on the sentence's least frequent tokens.

  Args:
    attn_NBHSS: encoder weights.
    ids_BS: token ids.
    word_BS: real tokens without EOS.
    rank_V: rank of each id by frequency, 0 is the most frequent; no two are equal.
    top: sentences whose rarest token is among so many most frequent ones do not count.
  Returns:
    (hits_2NH, cases): on the rarest token; on one of the two rarest.
  """
  rank_BS = np.where(word_BS, rank_V[ids_BS], -1)
  rarest_B1 = rank_BS.max(1, keepdims=True)
  second_B1 = np.where(rank_BS == rarest_B1, -1, rank_BS).max(1, keepdims=True)
  query_BS = word_BS & (rarest_B1 >= top)
  top_NBHS = _pointed(attn_NBHSS, word_BS)
  pointed_NBHS = np.take_along_axis(rank_BS[None, :, None], top_NBHS, axis=-1)
  is_rarest = pointed_NBHS == rarest_B1[:, None]
  is_second = (pointed_NBHS == second_B1[:, None]) & (second_B1 >= 0)[:, None]
  counted = lambda hit_NBHS: np.sum(hit_NBHS & query_BS[:, None], axis=(1, 3))
  return np.stack([counted(is_rarest), counted(is_rarest | is_second)]), int(query_BS.sum())


def ranks(ids: Sequence[Sequence[int]], vocab: int) -> np.ndarray:
  """rank_V of each id by its frequency in a text, 0 is the most frequent; ties by id."""
  count_V = np.bincount(np.concatenate([*map(np.asarray, ids), []]).astype(int), minlength=vocab)
  rank_V = np.empty(vocab, np.int64)
  rank_V[np.argsort(-count_V, kind="stable")] = np.arange(vocab)
  return rank_V


def cases(sentence: conllu.Sentence, unit_of_word: Sequence[int], relations: Sequence[str]):
  """The sentence's relations between units, both directions apart.

  A word with several dependents of one relation is one case with several right answers.

  Args:
    sentence: a parsed sentence.
    unit_of_word: from conllu.units.
    relations: names as in the file; subtypes (nsubj:pass) are relations of their own.
  """
  targets = {}
  for dependent, (head, relation) in enumerate(zip(sentence.heads, sentence.relations)):
    pair = unit_of_word[head], unit_of_word[dependent]
    if relation in relations and head >= 0 and min(pair) >= 0 and pair[0] != pair[1]:
      for direction, (query, target) in zip(DIRECTIONS, (pair, pair[::-1])):
        targets.setdefault((f"{relation} {direction}", query), set()).add(target)
  return [Case(name, query, tuple(sorted(units))) for (name, query), units in targets.items()]


def pointed_units(attn_NHSS, members: Sequence[Sequence[int]]):
  """The unit (a word) that each unit looks at most: top_NHU.

  A unit's weight is the sum over its pieces; a query unit's weights are the mean over its pieces.

  Args:
    attn_NHSS: one sentence's encoder weights.
    members: pieces of each unit; pieces in no unit, such as EOS, are left out.
  """
  member_US = np.zeros((len(members), attn_NHSS.shape[-1]), np.float32)
  for unit, pieces in enumerate(members):
    member_US[unit, pieces] = 1.0
  query_US = member_US / member_US.sum(1, keepdims=True)
  return np.argmax(query_US @ attn_NHSS @ member_US.T, axis=-1)


def syntactic(top_NHU, sentence_cases: Sequence[Case]) -> dict:
  """Hits and cases of one sentence: relation -> (hits_NH, cases)."""
  counts = {}
  for case in sentence_cases:
    hit_NH = np.isin(top_NHU[..., case.query], case.targets).astype(int)
    hits_NH, number = counts.get(case.relation, (0, 0))
    counts[case.relation] = hits_NH + hit_NH, number + 1
  return counts


def baselines(all_cases: Sequence[Sequence[Case]]) -> dict:
  """Always pointing at the most frequent offset: relation -> (offset in words, accuracy)."""
  offsets, totals = {}, {}
  for case in (case for sentence in all_cases for case in sentence):
    counts = offsets.setdefault(case.relation, {})
    totals[case.relation] = totals.get(case.relation, 0) + 1
    for target in case.targets:
      counts[target - case.query] = counts.get(target - case.query, 0) + 1
  result = {}
  for relation, counts in offsets.items():
    offset = max(sorted(counts, key=abs), key=counts.get)
    result[relation] = offset, counts[offset] / totals[relation]
  return result


def add(total: dict, part: dict) -> dict:
  """Sums two dicts of counts; a name may be in one of them only."""
  zero = (0, 0)
  names = [*total, *(name for name in part if name not in total)]
  return {n: tuple(a + b for a, b in zip(total.get(n, zero), part.get(n, zero))) for n in names}


def common(cases_O: np.ndarray) -> np.ndarray:
  """Offsets at which at least half of all tokens have a neighbour: bool [O].

  Five back, in short sentences, is only ever the first token: no evidence of a position.
  """
  return 2 * cases_O >= cases_O.max()


def share(count) -> np.ndarray:
  """hits / cases, 0 where there is no case."""
  hits, number = np.asarray(count[0], np.float64), np.asarray(count[1])
  number = number.reshape(number.shape + (1,) * (hits.ndim - number.ndim))
  return hits / np.maximum(number, 1)


def _pointed(attn_NBHQM, memory_BM):
  """The token with the largest weight among those allowed: top_NBHQ."""
  return np.argmax(np.where(memory_BM[:, None, None, :], attn_NBHQM, -1.0), axis=-1)


def label(offset_ONH, accuracy: dict, baseline: dict, rare_NH, limits: Thresholds) -> list:
  """Names the functions that each head has.

  Args:
    offset_ONH: share of each offset, from `positional`; 0 for offsets that cannot be a function.
    accuracy: relation -> accuracy_NH, of those with enough cases.
    baseline: relation -> (offset, accuracy).
    rare_NH: share on the rarest token.
    limits: thresholds.
  Returns:
    Layer -> head -> list of names, such as "position -1", "obj head→dep", "rare words".
  """
  _, layers, heads = offset_ONH.shape
  half = offset_ONH.shape[0] // 2
  names = [[[] for _ in range(heads)] for _ in range(layers)]
  for n, h in np.ndindex(layers, heads):
    best = int(np.argmax(offset_ONH[:, n, h]))
    if offset_ONH[best, n, h] >= limits.positional:
      names[n][h].append(f"position {best - half:+d}")
    for relation, accuracy_NH in accuracy.items():
      # Rounded: a share of exactly ten points above counts.
      if round(accuracy_NH[n, h] - baseline[relation][1] - limits.syntactic, 9) >= 0:
        names[n][h].append(relation)
    if rare_NH[n, h] >= limits.rare:
      names[n][h].append("rare words")
  return names
