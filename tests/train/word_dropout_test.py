"""Which words a step hides, what they become, and what stays as it is."""

import dataclasses

import jax
import numpy as np
import pytest

from headprune.nn.config import open_gates
from headprune.nn.losses import token_losses
from headprune.text import special, whitespace
from headprune.train import steps, word_dropout
from headprune.train.word_dropout import Side
from tests import tiny
from tests.train import steps_test

SOURCES = [[8, 9, 3, 4, 5, 1], [6, 7, 1], [3, 1], [9, 8, 7, 6, 1]]
TARGETS = [[7, 1], [3, 4, 5, 6, 1], [5, 5, 5, 5, 1], [10, 1]]
ALL = 1.0 - 1e-9  # as good as certain


def hide(batch, src=None, tgt=None, key=0):
  hidden = jax.jit(word_dropout.hide, static_argnums=0)((src, tgt), jax.random.key(key), batch)
  return jax.device_get(hidden)


def test_the_first_and_the_last_two_tokens_of_each_sentence_are_spared():
  batch, places = tiny.pack(SOURCES, TARGETS, [[0, 1], [2, 3]], margin=2)
  found = hide(batch, Side(ALL, 2, 12, ()), Side(ALL, 0, 12, ()))
  for i, (row, src, tgt) in places.items():
    for was, now, unknown in ((SOURCES[i], found["src_BS"][row, src], 2),
                              (TARGETS[i], found["tgt_read_BT"][row, tgt], 0)):  # fmt: skip
      inner = [unknown] * max(len(was) - 3, 0)
      assert now.tolist() == (was[:1] + inner + was[-2:] if len(was) > 2 else was)
  for name in batch.keys() - {"src_BS"}:  # what is to be predicted among them
    np.testing.assert_array_equal(found[name], batch[name])
  padding = batch["src_segment_BS"] == 0
  np.testing.assert_array_equal(found["src_BS"][padding], batch["src_BS"][padding])


def test_a_side_without_a_rate_is_left_alone():
  batch, _ = tiny.pack(SOURCES, TARGETS, [[0, 1], [2, 3]])
  assert word_dropout.side(0.0, "random", whitespace.Whitespace((*"abcdef",))) is None
  assert "tgt_read_BT" not in hide(batch, Side(ALL, 2, 12, ()))
  np.testing.assert_array_equal(hide(batch, None, Side(ALL, 2, 12, ()))["src_BS"], batch["src_BS"])


def long_batch(length=203, rows=50):
  """Every word is 5; 200 of each row's may be hidden."""
  ids = [[*[5] * (length - 1), 1]] * rows
  return tiny.pack(ids, ids, [[i] for i in range(rows)])[0]


def test_as_many_words_are_hidden_as_the_rate_says_and_the_sides_apart():
  batch = long_batch()
  found = hide(batch, Side(0.1, 2, 12, ()), Side(0.3, 2, 12, ()))
  src, tgt = found["src_BS"] == 2, found["tgt_read_BT"] == 2
  for hidden, rate in ((src, 0.1), (tgt, 0.3)):  # 10,000 words: four standard deviations
    assert abs(hidden.sum() / 10000 - rate) < 4 * (rate * (1 - rate) / 10000) ** 0.5
  assert abs((src & tgt).sum() / 10000 - 0.03) < 4 * (0.03 * 0.97 / 10000) ** 0.5


def test_random_words_are_all_words_alike_and_no_special_ones():
  how = Side(ALL, None, 12, special=(0, 1, 4, 11))
  words = hide(long_batch(), how)["src_BS"][:, 1:-2]
  counts = np.bincount(words.ravel(), minlength=12)
  assert words.size == 10000 and np.flatnonzero(counts).tolist() == [2, 3, 5, 6, 7, 8, 9, 10]
  assert abs(counts[counts > 0] / 10000 - 1 / 8).max() < 4 * (1 / 8 * 7 / 8 / 10000) ** 0.5


def test_the_key_decides():
  batch, how = long_batch(), Side(0.1, None, 12, (0, 1, 2))
  first, again, other = (hide(batch, how, how, key)["src_BS"] for key in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert (first != other).sum() > 1000


@pytest.mark.parametrize("by, unknown", [("unknown", 2), ("random", None)])
def test_the_tokenizer_says_what_is_unknown_and_what_is_no_word(by, unknown):
  words = whitespace.Whitespace((*special.RESERVED, "a", "b"))
  assert word_dropout.side(0.1, by, words) == Side(0.1, unknown, 5, (0, 1, 2))


MODEL = tiny.even(src_vocab=17, tgt_vocab=19)
HIDDEN = Side(0.5, 2, 17, (0, 1, 2)), Side(0.5, None, 19, (0, 1, 2))


def frozen(**changes) -> steps.StepConfig:
  """A step that changes nothing and has no other noise."""
  config = steps_test.make_config(model=MODEL, rules=((".*", "freeze"),))
  return dataclasses.replace(config, **changes)


def losses(config, seed=5):
  state = steps.init_state(config, {"model": tiny.random_params(MODEL), "gates": {}})
  knobs, found = steps.knobs(seed, 0.0, 1.0, open_gates(MODEL)), []
  for _ in range(3):
    state, metrics = steps.train_step(config, knobs, state, steps_test.make_batch())
    found.append(float(metrics["objective"]))
  return found


def test_seed_and_step_say_what_is_hidden_and_micro_batches_have_the_same():
  plain, hidden = losses(frozen()), losses(frozen(hidden=HIDDEN))
  assert len(set(plain)) == 1 and len({*hidden, *plain}) == 4  # another draw at each step
  assert losses(frozen(hidden=HIDDEN)) == hidden != losses(frozen(hidden=HIDDEN), seed=6)
  np.testing.assert_allclose(losses(frozen(hidden=HIDDEN, accumulate=2)), hidden, rtol=1e-5)


def test_runs_that_train_together_hide_what_each_hides_alone():
  config, seeds = frozen(hidden=HIDDEN), (5, 6)
  begin = steps.init_state(config, {"model": tiny.random_params(MODEL), "gates": {}})
  both = lambda *trees: jax.tree.map(lambda *xs: np.stack(xs), *trees)
  knobs = both(*(steps.knobs(seed, 0.0, 1.0, open_gates(MODEL)) for seed in seeds))
  _, metrics = steps.train_steps(config, knobs, both(begin, begin), steps_test.make_batch())
  alone = [losses(config, seed)[0] for seed in seeds]
  np.testing.assert_allclose(metrics["objective"], alone, rtol=1e-5)


def test_what_is_to_be_predicted_stays_and_evaluation_hides_nothing():
  batch, params, gates = steps_test.make_batch(), tiny.random_params(MODEL), open_gates(MODEL)
  read = hide(batch, None, Side(ALL, 2, 19, ()))["tgt_read_BT"]
  changed = read != batch["tgt_BT"]
  losses_of = jax.jit(token_losses, static_argnums=0)
  plain, hidden, replaced = (
    np.asarray(losses_of(MODEL, params, b, gates))
    for b in (batch, batch | {"tgt_read_BT": read}, batch | {"tgt_BT": read})
  )
  np.testing.assert_allclose(hidden[:, :2], plain[:, :2], rtol=1e-5)  # these follow spared words
  assert changed.any() and np.abs(hidden - plain)[:, 2:].max() > 1e-3
  np.testing.assert_allclose(hidden[~changed], replaced[~changed], rtol=1e-5)
  assert np.abs(hidden - replaced)[changed].min() > 1e-4
  evaluated = [
    [float(x) for x in steps.eval_step(config, params, gates, batch)]
    for config in (frozen(), frozen(hidden=HIDDEN))
  ]
  assert evaluated[0] == evaluated[1]
