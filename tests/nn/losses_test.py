"""Losses of target tokens: against the logits they come from, in pieces, from a teacher."""

import functools

import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn import losses, ops, transformer
from headprune.nn.config import open_gates
from headprune.text import batching
from tests import tiny
from tests.nn.reference import close
from tests.tiny import SOURCES, TARGETS

CONFIGS = {
  "original": tiny.even(src_vocab=13, tgt_vocab=11),
  "marian": tiny.even(**tiny.MARIAN | {"tgt_vocab": 11}),
}


@functools.partial(jax.jit, static_argnums=0)
def forward(config, params, batch, gates, noise=None):
  return transformer.apply(config, params, batch, gates, noise)[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_loss_is_a_divergence(smoothing):
  vocab = 7
  target = np.full(vocab, smoothing / (vocab - 1))
  target[3] = 1 - smoothing
  logits = np.random.default_rng(0).normal(size=(1, 1, vocab)).astype(np.float32)
  log_p = np.log(np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum())
  kl = sum(t * (np.log(t) - lp) for t, lp in zip(target, log_p) if t > 0)
  got = losses.smoothed_loss(jnp.array(logits), jnp.array([[3]]), smoothing)
  np.testing.assert_allclose(got[0, 0], kl, rtol=1e-5)
  if smoothing:
    best = losses.smoothed_loss(jnp.log(jnp.array(target))[None, None], jnp.array([[3]]), smoothing)
    np.testing.assert_allclose(best, 0.0, atol=1e-6)


def test_cross_entropy_keeps_the_logits_alone_for_its_gradient_softmax_less_label():
  rng = np.random.default_rng(0)
  logits, teacher = (rng.normal(size=(2, 3, 7)).astype(np.float32) for _ in range(2))
  word_BT = rng.integers(0, 7, (2, 3))
  label_BTV = np.where(np.eye(7)[word_BT] == 1, 0.9, 0.1 / 6)
  softmax = lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)
  cotangent_BT = rng.normal(size=(2, 3)).astype(np.float32)
  for loss, p_BTV, kept in (
    (lambda logits, _: losses.smoothed_loss(logits, word_BT, 0.1), label_BTV, 1),
    (losses.divergence, softmax(teacher), 2),
  ):
    _, pull = jax.vjp(loss, logits, teacher)
    close(pull(cotangent_BT)[0], cotangent_BT[..., None] * (softmax(logits) - p_BTV))
    assert not np.any(pull(cotangent_BT)[1]), "a teacher has no gradient"
    assert sum(x.shape == logits.shape for x in jax.tree.leaves(pull)) == kept


def test_divergence_is_that_of_two_distributions():
  rng = np.random.default_rng(0)
  logits, teacher = rng.normal(size=(2, 1, 1, 7)).astype(np.float32)
  log_q, log_p = (x[0, 0] - np.log(np.exp(x[0, 0]).sum()) for x in (logits, teacher))
  close(losses.divergence(logits, teacher)[0, 0], np.sum(np.exp(log_p) * (log_p - log_q)))
  close(losses.divergence(teacher, teacher), [[0.0]])


def test_pieces_give_what_the_whole_gives():
  rng = np.random.default_rng(0)
  x_BTD, w_DV = rng.normal(size=(2, 6, 3)), rng.normal(size=(3, 5))
  word_BT = rng.integers(0, 5, (2, 6))

  def loss_BT(x_BTD, word_BT):
    return losses.smoothed_loss(x_BTD @ w_DV, word_BT, 0.1)

  want = loss_BT(x_BTD, word_BT)
  for pieces in (1, 2, 6):
    np.testing.assert_allclose(losses.in_pieces(loss_BT, pieces, x_BTD, word_BT), want, rtol=1e-5)


@pytest.mark.parametrize(
  "least, pieces", [(0.1, 1), (1.0, 1), (1.1, 2), (3.5, 4), (5, 6), (50, 12)]
)
def test_number_of_pieces_divides_the_length(least, pieces):
  assert losses.num_pieces(12, least) == pieces


def test_losses_are_those_of_the_logits_and_zero_at_padding():
  config = tiny.even(tgt_vocab=11)
  params, gates = tiny.random_params(config), tiny.random_gates(config)
  batch = batching.pad_pairs([[3, 1]] * 3, TARGETS, 2, 5)
  logits = forward(config, params, batch, gates)
  losses_of = jax.jit(losses.token_losses, static_argnums=(0, 4))
  log_p = np.asarray(jax.nn.log_softmax(logits))
  plain = losses_of(config, params, batch, gates, 0.0)
  smooth = losses_of(config, params, batch, gates, 0.1)
  want = losses.smoothed_loss(logits, batch["tgt_BT"], 0.1)
  for b, target in enumerate(TARGETS):
    close(plain[b, : len(target)], [-log_p[b, t, i] for t, i in enumerate(target)])
    close(smooth[b, : len(target)], want[b, : len(target)])
    assert not plain[b, len(target) :].any() and not smooth[b, len(target) :].any()


def test_losses_in_training_have_dropout():
  config = tiny.even(embed_dropout=0.5)
  params, gates = tiny.random_params(config), open_gates(config)
  batch = batching.pad_pairs([[3, 1]], [[2, 1]], 2, 2)
  noise = ops.Noise(jnp.uint32(1), jnp.array([0]))
  logits = forward(config, params, batch, gates, noise)
  loss = jax.jit(losses.token_losses, static_argnums=0)(config, params, batch, gates, noise=noise)
  close(loss[0], -jax.nn.log_softmax(logits)[0, [0, 1], [2, 1]])


@pytest.mark.parametrize("name", ["original", "marian"])  # logits of their own kernel; tied, a bias
def test_losses_in_pieces_have_the_same_gradients_and_never_all_logits(monkeypatch, name):
  config, params, gates = tiny.model(CONFIGS[name])
  batch = batching.pad_pairs(SOURCES, TARGETS, 6, 8)
  noise = ops.Noise(jnp.uint32(1), jnp.arange(3))
  whole = len(SOURCES) * 8 * config.tgt_vocab

  def loss(params, gates):
    return jnp.sum(losses.token_losses(config, params, batch, gates, 0.1, noise))

  def run(most):
    monkeypatch.setattr(losses, "MAX_LOGITS", most)
    both = jax.value_and_grad(lambda *args: loss(*args), argnums=(0, 1))  # new: traced anew
    shapes = _shapes(jax.make_jaxpr(both)(params, gates).jaxpr)
    largest = max(np.prod(shape) for shape in shapes if shape[-1:] == (config.tgt_vocab,))
    return jax.jit(both)(params, gates), largest

  (value, grads), largest = run(whole)
  (pieces_value, pieces_grads), pieces_largest = run(whole // 3)
  assert largest == whole and pieces_largest < whole
  close(pieces_value, value)
  jax.tree.map(close, pieces_grads, grads)


def _shapes(jaxpr):
  """Shapes of all arrays that a traced program makes."""
  for eqn in jaxpr.eqns:
    yield from (v.aval.shape for v in eqn.outvars)
    for inner in core.jaxprs_in_params(eqn.params):
      yield from _shapes(inner)


def make_teacher(share, seed=1):
  """Another model with other sizes, of the same vocabularies."""
  config = tiny.even(tgt_vocab=11)
  return losses.Teacher(config, share, tiny.random_params(config, seed), tiny.random_gates(config))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_teacher_has_its_share_of_the_loss(share):
  config = tiny.even(tgt_vocab=11, enc_self=(1, 2))
  params, gates, teacher = tiny.random_params(config), open_gates(config), make_teacher(share)
  batch = batching.pad_pairs(SOURCES, TARGETS, 4, 4)
  losses_of = jax.jit(losses.token_losses, static_argnums=(0, 4))
  got = losses_of(config, params, batch, gates, 0.1, None, teacher)
  own = losses_of(config, params, batch, gates, 0.1)
  log_p = np.asarray(jax.nn.log_softmax(forward(config, params, batch, gates)))
  log_q = forward(teacher.config, teacher.params, batch, teacher.gate_values)
  log_q = np.asarray(jax.nn.log_softmax(log_q))
  kl = (np.exp(log_q) * (log_q - log_p)).sum(-1)
  assert kl[0, 0] > 0.01, "they differ"
  for b, target in enumerate(TARGETS):
    row = slice(0, len(target))
    close(got[b, row], (1 - share) * own[b, row] + share * kl[b, row])
    assert not got[b, len(target) :].any()


def test_who_is_its_own_teacher_has_nothing_to_learn_and_a_teacher_learns_nothing():
  config, params, gates = tiny.model(CONFIGS["marian"])
  batch = batching.pad_pairs(SOURCES, TARGETS, 4, 4)

  def loss(params, teacher):
    return jnp.sum(losses.token_losses(config, params, batch, gates, 0.1, None, teacher))

  teacher = losses.Teacher(config, 1.0, params, gates)
  value, (grads, of_teacher) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, teacher)
  close(value, 0.0)
  jax.tree.map(lambda x: close(x, np.zeros_like(x)), grads)
  assert not any(np.any(x) for x in jax.tree.leaves(of_teacher))
