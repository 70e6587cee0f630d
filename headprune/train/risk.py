"""Minimum risk training: the expected badness of a model's own translations (Shen et al. 2016).

Each source has candidates: its reference and what the model sampled, no two alike. The model is
trained to make good ones likelier than bad ones (section 3 there, with 1 - BLEU as the risk).
"""

import jax
import jax.numpy as jnp


def as_targets(batch: dict) -> dict:
  """The batch with the candidates in place of the targets, those of a source side by side.

  Args:
    batch: what the encoder takes, and candidate_BET, int32, and length_BE, 0 where there is none.
  """
  candidate_BET, length_BE = batch["candidate_BET"], batch["length_BE"]
  length = candidate_BET.shape[2]
  place_BET = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), candidate_BET.shape)
  rows = lambda x_BET: x_BET.reshape(-1, length)
  return batch | {
    "tgt_BT": rows(candidate_BET),
    "tgt_segment_BT": rows((place_BET < length_BE[..., None]).astype(jnp.int32)),
    "tgt_position_BT": rows(place_BET),
  }


def expected(log_prob_BE, risk_BE, length_BE, sharpness: float) -> jax.Array:
  """Mean over sentences of sum over candidates of q * risk, q proportional to p^sharpness.

  Args:
    log_prob_BE: log p of each candidate.
    risk_BE: how bad it is.
    length_BE: 0 where there is no candidate; each source has one at least.
    sharpness: 0 would be all alike, 1 the model's own distribution among them.
  """
  q_BE = jax.nn.softmax(jnp.where(length_BE > 0, sharpness * log_prob_BE, -jnp.inf), axis=1)
  return jnp.mean(jnp.sum(q_BE * risk_BE, axis=1))
