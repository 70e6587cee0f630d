"""Losses of target tokens, from their words and from a teacher's probabilities.

Logits of a large vocabulary never exist whole: positions are scored piece by piece.
"""

from collections.abc import Callable
import functools

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from headprune.nn.config import ModelConfig
from headprune.nn.transformer import apply

MAX_LOGITS = 2**25  # numbers; 128 MiB in float32, of which training needs three or four at a time


@struct.dataclass
class Teacher:
  """A trained model, as it is at test time; its probabilities are labels too.

  Word-level knowledge distillation (Kim and Rush 2016, "Sequence-Level Knowledge Distillation",
  section 3.1).
  """

  config: ModelConfig = struct.field(pytree_node=False)
  share: float = struct.field(pytree_node=False)  # of the loss; the rest is that of the words
  params: dict
  gate_values: dict  # attention type -> gate_NH


def token_losses(
  config: ModelConfig,
  params: dict,
  batch: dict,
  gate_values: dict,
  smoothing: float = 0.0,
  noise=None,
  teacher: Teacher | None = None,
):
  """Each target token's smoothed loss (-log p without smoothing), 0 at padding.

  Of the logits no more than MAX_LOGITS exist at a time.

  Args:
    config: the model's.
    params: the model's.
    batch: as `Transformer.decode` takes it.
    gate_values: attention type -> gate_NH.
    smoothing: of the labels.
    noise: dropout noise, None outside training; a teacher has none.
    teacher: with a `share` of the loss, its divergence; of the same vocabulary.
  Returns:
    loss_BT.
  """
  rows, length = batch["tgt_BT"].shape
  outs = [apply(config, params, batch, gate_values, noise, method="read")]
  if teacher:
    of_teacher = teacher.config, teacher.params
    outs.append(apply(*of_teacher, batch, teacher.gate_values, method="read"))

  def loss_BT(tgt_BT, out_BTD, *taught_BTD):
    logits_BTV = apply(config, params, out_BTD, method="logits")
    loss_BT = smoothed_loss(logits_BTV, tgt_BT, smoothing)
    if not teacher:
      return loss_BT
    taught_BTV = apply(*of_teacher, *taught_BTD, method="logits")
    taught_BT = divergence(logits_BTV, taught_BTV)
    return (1.0 - teacher.share) * loss_BT + teacher.share * taught_BT

  pieces = num_pieces(length, len(outs) * rows * length * config.tgt_vocab / MAX_LOGITS)
  result_BT = in_pieces(loss_BT, pieces, batch["tgt_BT"], *outs)
  return jnp.where(batch["tgt_segment_BT"] > 0, result_BT, 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def cross_entropy(soft_label: Callable, logits_BTV, label):
  """-sum over words of p log softmax(logits), for labels p that sum to one.

  For the gradient, softmax(logits) - p, only the logits are kept of what has a vocabulary's size.
  Plain autodiff would write p and the exponentials as well, and read them again.

  Args:
    soft_label: label -> p_BTV, cheap: it is called for the value and for the gradient.
    logits_BTV: float32.
    label: what `soft_label` takes, which has no gradient.
  Returns:
    loss_BT.
  """
  return _cross_entropy_fwd(soft_label, logits_BTV, label)[0]


def _cross_entropy_fwd(soft_label, logits_BTV, label):
  norm_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
  loss_BT = norm_BT - jnp.sum(soft_label(label) * logits_BTV, axis=-1)
  return loss_BT, (logits_BTV, norm_BT, label)


def _cross_entropy_bwd(soft_label, kept, cotangent_BT):
  logits_BTV, norm_BT, label = kept
  p_BTV = jnp.exp(logits_BTV - norm_BT[..., None])
  return cotangent_BT[..., None] * (p_BTV - soft_label(label)), None


cross_entropy.defvjp(_cross_entropy_fwd, _cross_entropy_bwd)


def smoothed_loss(logits_BTV, target_BT, smoothing: float):
  """Per-token KL divergence from the smoothed label to the model, natural log, best value 0.

  The soft target has 1 - e on the label and e / (V - 1) on every other word; its entropy is
  subtracted. The label's logit is picked by comparison: the gradient of a gather is a scatter,
  which is slow.

  Args:
    logits_BTV: float32.
    target_BT: int32 labels.
    smoothing: e.
  Returns:
    loss_BT.
  """
  vocab = logits_BTV.shape[-1]
  low, high = smoothing / (vocab - 1), 1.0 - smoothing

  def soft_label(target_BT):
    label_BTV = jnp.arange(vocab)[None, None, :] == target_BT[..., None]
    return jnp.where(label_BTV, high, low)

  entropy = -high * np.log(high) - (smoothing * np.log(low) if smoothing else 0.0)
  return cross_entropy(soft_label, logits_BTV, target_BT) - entropy


def divergence(logits_BTV, teacher_BTV):
  """KL divergence from a teacher's probabilities to the model's, natural log, best value 0.

  Args:
    logits_BTV: float32.
    teacher_BTV: float32, the teacher's logits, which get no gradient.
  Returns:
    loss_BT.
  """
  teacher_BTV = jax.lax.stop_gradient(teacher_BTV)
  norm_BT = jax.nn.logsumexp(teacher_BTV, axis=-1)
  soft_label = lambda taught: jnp.exp(taught[0] - taught[1][..., None])
  entropy_BT = norm_BT - jnp.sum(soft_label((teacher_BTV, norm_BT)) * teacher_BTV, axis=-1)
  return cross_entropy(soft_label, logits_BTV, (teacher_BTV, norm_BT)) - entropy_BT


def in_pieces(f, pieces: int, *arrays):
  """`f` on pieces of axis 1 one after the other, so that what `f` makes inside never exists whole.

  Gradients compute `f` again instead of keeping what is inside. Rows stay together, and so on their
  device.

  Args:
    f: of arrays [B, T / pieces, ...]; returns [B, T / pieces].
    pieces: a divisor of T.
    arrays: each [B, T, ...].
  Returns:
    [B, T], equal to `f(*arrays)` but for rounding.
  """
  if pieces == 1:
    return f(*arrays)
  split = lambda x: x.reshape(x.shape[0], pieces, -1, *x.shape[2:]).swapaxes(0, 1)
  results = jax.lax.map(lambda piece: jax.checkpoint(f)(*piece), tuple(map(split, arrays)))
  return results.swapaxes(0, 1).reshape(arrays[0].shape[:2])


def num_pieces(length: int, least: float) -> int:
  """The smallest divisor of `length` that is at least `least`; `length` if there is none."""
  return next(n for n in range(1, length + 1) if length % n == 0 and (n >= least or n == length))
