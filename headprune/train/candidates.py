"""What minimum risk training learns from: samples of the model as it is, and how bad they are.

Between two steps the model translates the sources of the next one, with gates as at test time, and
BLEU is taken of text, on the host. The original takes it of pieces and keeps samples without an
end; here these are no candidates.
"""

from collections.abc import Iterator

import jax
import numpy as np

from headprune.text import bleu
from headprune.train import devices, evaluation, prepare, steps


def draw(job: prepare.Job, pairs: Iterator[dict], state: steps.TrainState) -> dict:
  """The next pairs with their candidates, as the train step takes them.

  Args:
    job: what is trained.
    pairs: batches of one pair a row.
    state: whose parameters are sampled from, and whose step says with which key.
  Returns:
    The pairs and candidate_BET, length_BE (int32), risk_BE (float32), with E = samples + 1: the
    reference first, then what else was found, then nothing (length 0).
  """
  batch = next(pairs)
  references = [
    ids[segment > 0].tolist() for ids, segment in zip(batch["tgt_BT"], batch["tgt_segment_BT"])
  ]
  lengths = np.array([len(ids) for ids in references], np.int32)
  sampled = _sample(job, state, batch, lengths)
  found = [distinct([ids, *samples]) for ids, samples in zip(references, sampled)]
  return batch | _arrays(job, found)


def distinct(candidates: list[list[int]]) -> list[list[int]]:
  """Each once, in the order in which they came first."""
  return [list(ids) for ids in dict.fromkeys(map(tuple, candidates))]


def limits(lengths_B, row_length: int):
  """Words after which a sample is given up, from those of the reference: the original's rule."""
  return np.minimum((1.4 * lengths_B).astype(np.int32) + 3, row_length).astype(np.int32)


def _sample(job: prepare.Job, state: steps.TrainState, batch: dict, lengths_B) -> list:
  """For each source the ids of its samples that have an end."""
  c, length = job.config.mrt, job.config.data.row_length
  source = {name: x for name, x in batch.items() if name.startswith("src")}
  source = devices.shard_batch(source | {"limit_B": limits(lengths_B, length)}, job.mesh)
  limit_B = source.pop("limit_B")
  translator = evaluation.evaluated(job, state.params).translator
  key = steps.sampling_key(job.knobs, state.step)
  ids_BET, length_BE, _ = jax.device_get(
    translator.sample(source, limit_B, key, c.samples, length, c.temperature)
  )
  return [
    [ids[:n].tolist() for ids, n in zip(ids_ET, length_E) if n]
    for ids_ET, length_E in zip(ids_BET, length_BE)
  ]


def _arrays(job: prepare.Job, found: list[list[list[int]]]) -> dict:
  """Candidates and their risks; the first of each sentence is its reference."""
  shape = len(found), job.config.mrt.samples + 1, job.config.data.row_length
  candidate_BET = np.zeros(shape, np.int32)
  length_BE, risk_BE = np.zeros(shape[:2], np.int32), np.zeros(shape[:2], np.float32)
  texts = iter(job.tokenizers[1].decode([ids for candidates in found for ids in candidates]))
  for b, candidates in enumerate(found):
    lines = [next(texts) for _ in candidates]
    scores = bleu.sentence_scores(lines, lines[:1] * len(lines), job.config.eval)
    risk_BE[b, : len(lines)] = 1.0 - np.minimum(scores, 100.0) / 100.0  # 100 may be rounded up
    for e, ids in enumerate(candidates):
      candidate_BET[b, e, : len(ids)] = ids
      length_BE[b, e] = len(ids)
  return {"candidate_BET": candidate_BET, "length_BE": length_BE, "risk_BE": risk_BE}
