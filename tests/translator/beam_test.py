"""Beam search against the original's recorded translations, by brute force and by hand."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn.config import open_gates
from headprune.text import batching
from headprune.text.special import UNK
from headprune.translator import beam as beam_lib
from headprune.translator import slots as slots_lib
from headprune.translator.beam import BeamConfig
from headprune.translator.slots import Sizes
from headprune.translator.translator import Hypothesis, Translator
from tests import recorded, tiny

SETTINGS = (
  "default",
  "beam1",
  "beam8_alpha1_spread1",
  "beam8_alpha1_spread100",
  "beam4_alpha0",
  "beam4_spread100",
  "beam4_maxlen6",
  "beam4_if_no_eos_initial",
)
TINY = tiny.even()
EOS = TINY.eos


@functools.cache
def load(name):
  """A recorded model: (Translator, source ids with EOS, runs)."""
  words = (recorded.GOLDEN / "src.voc.txt").read_text(encoding="utf-8").split("\n")
  ids = {word: i for i, word in enumerate(words) if i > UNK}
  record = json.loads((recorded.GOLDEN / name / "beam.json").read_text())
  sources = [[*(ids.get(word, UNK) for word in line.split()), EOS] for line in record["src"]]
  return Translator(*recorded.model(name)), sources, record["runs"]


def settings(flags):
  """The beam and the length limits that the original's flags stand for."""
  beam = BeamConfig(
    beams=flags.get("beam_size", 4),
    alpha=float(flags.get("len_alpha", 0.6)),
    spread=float(flags.get("beam_spread", 3)),
    keep_unfinished=flags.get("if_no_eos") != "initial",
  )
  limit = flags.get("max_len")
  return beam, lambda n: (n // 4 - 1, limit or 2 * n + 3)


def content(row):
  return row[: row.index(EOS)] if EOS in row else row


def check(found, record):
  assert [content(h.ids) for h in found] == [content(row) for row in record["best_out_ids"]]
  np.testing.assert_allclose([h.score for h in found], record["best_scores"], atol=1e-4)
  np.testing.assert_allclose([h.log_prob for h in found], record["best_raw_scores"], atol=1e-4)


@pytest.mark.parametrize("name", recorded.KINDS)
def test_recorded_translations(name):
  translator, sources, runs = load(name)
  assert set(SETTINGS) | {"greedy"} == set(runs)
  for setting in SETTINGS:
    beam, limits = settings(runs[setting]["flags"])
    check(translator.translate(sources, beam, 8, limits), runs[setting])


@pytest.mark.parametrize("batch_size, count", ((1, 2), (3, 8), (8, 8)))
def test_batches_change_nothing(batch_size, count):
  translator, sources, runs = load("concrete")
  beam, _ = settings({})
  found = translator.translate(sources[:count][::-1], beam, batch_size)[::-1]
  check(found, {key: rows[:count] for key, rows in runs["default"].items() if key != "flags"})


@pytest.mark.parametrize("name", recorded.KINDS)
def test_one_beam_without_limits_is_the_recorded_greedy_search(name):
  translator, sources, runs = load(name)
  words = (recorded.GOLDEN / "dst.voc.txt").read_text(encoding="utf-8").split("\n")
  found = translator.translate(sources, BeamConfig(1, 0.0, 3.0), 8, lambda n: (0, 77))
  lines = [" ".join(words[i] for i in content(h.ids)) for h in found]
  assert lines == runs["greedy"]["translate_lines_no_unbpe"]


def test_greedy_translations_of_marian():
  config, params = recorded.marian()
  texts = json.loads((recorded.GOLDEN / "marian" / "outputs.json").read_text())
  # That program forces an EOS as the twentieth word; none of its searches ends before.
  translator = Translator(config, params, open_gates(config))
  found = translator.translate(texts["src_ids"], BeamConfig(1, 0.0, 1e9), 3, lambda n: (0, 19))
  start, *_, end = zip(*texts["greedy"])
  assert set(start) == {config.decoder_start} and set(end) == {config.eos}
  assert [h.ids for h in found] == [row[1:-1] for row in texts["greedy"]]


@pytest.mark.parametrize("pad, word", [(None, 5), (5, 4), (4, 5)])
def test_padding_is_never_emitted(pad, word):
  translator = always([-50, -50, -50, -50, 7, 9])
  translator = translator.replace(config=dataclasses.replace(translator.config, pad=pad))
  found = search(translator, BeamConfig(2, 0.6, 3.0), 0, 2)
  assert found.ids == [word] * 2
  # The others share its probability.
  loss = np.log1p(np.exp(-2)) if pad is None else 0.0
  np.testing.assert_allclose(found.log_prob, -2 * loss, atol=1e-5)


@pytest.fixture(scope="module", params=["original", "marian"])
def translator(request):
  changes = tiny.MARIAN | dict(src_vocab=6, decoder_start=5)
  config = TINY if request.param == "original" else tiny.even(**changes)
  return Translator(config, tiny.random_params(config, seed=3), tiny.random_gates(config))


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sentences(translator, alpha):
  source, length, eos = [3, 4, 5, translator.config.eos], 3, translator.config.eos
  words = [w for w in range(6) if w != eos]
  endings = [[*body, eos] for n in range(length) for body in itertools.product(words, repeat=n)]
  batch = batching.pad_pairs([source] * len(endings), endings, 4, length)
  total_B = -np.sum(translator.token_losses(batch), axis=1)
  score_B = total_B / (1 + np.array([len(row) for row in endings]) / 6) ** alpha
  best = int(np.argmax(score_B))
  beam = BeamConfig(beams=40, alpha=alpha, spread=1e9, keep_unfinished=False)
  (found,) = translator.translate([source], beam, 1, lambda n: (0, length - 1))
  assert found.ids == endings[best]
  np.testing.assert_allclose(found.log_prob, total_B[best], atol=1e-5)
  np.testing.assert_allclose(found.score, score_B[best], atol=1e-5)


def always(logits_of_words):
  """A translator that gives these logits at every position, whatever it reads."""
  params = tiny.random_params(TINY)
  params["dec_norm"] = {"scale": np.zeros(8, np.float32), "bias": np.full(8, 1 / 8, np.float32)}
  params["logits_kernel"] = np.tile(np.float32(logits_of_words), (8, 1))
  return Translator(TINY, params, open_gates(TINY))


def search(translator, beam, min_len, max_len):
  return translator.translate([[3, EOS]], beam, 1, lambda n: (min_len, max_len))[0]


def test_what_ends_too_early_is_lost():
  translator, beam = always([0, 1e3, 0, 0, 0, 0]), BeamConfig(1, 0.6, 3.0)
  assert search(translator, beam, 1, 9) == Hypothesis([EOS], 0.0, 0.0)
  assert search(translator, beam, 2, 9) == Hypothesis([], -np.inf, -np.inf)  # its only one


def test_what_never_ends_is_taken_without_an_end_or_not_at_all():
  translator, log_p = always([0, -1e3, 0, 1, 0, 0]), 1 - np.log(np.e + 4)
  for max_len in (1, 4):
    found = search(translator, BeamConfig(2, 1.0, 100.0), 0, max_len)
    assert found.ids == [3] * max_len
    np.testing.assert_allclose(found.log_prob, max_len * log_p, rtol=1e-5)
    np.testing.assert_allclose(found.score, max_len * log_p / (1 + max_len / 6), rtol=1e-5)
    beam = BeamConfig(2, 1.0, 100.0, keep_unfinished=False)
    assert search(translator, beam, 0, max_len) == Hypothesis([], -np.inf, -np.inf)


def test_an_end_may_come_one_word_behind_the_limit():
  # The length penalty prefers the longest sentence of all.
  translator = always([-50, 0, -50, 1, -50, -50])
  log_end, log_word = -np.log1p(np.e), 1 - np.log1p(np.e)
  beam = BeamConfig(beams=2, alpha=4.0, spread=100.0, keep_unfinished=False)
  found = search(translator, beam, 0, 3)
  totals = [log_end + n * log_word for n in range(4)]
  scores = [total / (1 + (n + 1) / 6) ** 4 for n, total in enumerate(totals)]
  assert int(np.argmax(scores)) == 3
  assert found.ids == [3, 3, 3, EOS]
  np.testing.assert_allclose([found.score, found.log_prob], [scores[3], totals[3]], rtol=1e-5)


@pytest.mark.parametrize("spread, ids", [(0.99, [EOS]), (1.01, [3, EOS])])
def test_hypotheses_far_below_the_best_are_dropped(spread, ids):
  # The end is one nat above the word; the length penalty would still prefer the longer sentence.
  beam = BeamConfig(beams=2, alpha=20.0, spread=spread, keep_unfinished=False)
  assert search(always([-50, 1, -50, 0, -50, -50]), beam, 0, 1).ids == ids


def searches(slots, beam, words, **fields):
  """Searches after so many words, with these fields."""
  sizes = Sizes(slots, 1, words, words * beam.beams)
  return slots_lib.empty(TINY, tiny.random_params(TINY), sizes, beam).replace(**fields)


def test_the_next_words_take_entries_that_no_living_hypothesis_needs():
  past_BWM = np.zeros((2, 2, 6), bool)
  past_BWM[0, 0, [0, 3]] = past_BWM[0, 1, [0, 1]] = past_BWM[1, 0, [1, 2]] = True
  past_BWM[1, 1, [0, 3]] = True  # of a dead one
  state = searches(
    2, BeamConfig(beams=2, alpha=1.0, spread=2.0), 3, past_BWM=jnp.array(past_BWM),
    raw_BW=jnp.array([[-1.0, -2.0], [-1.0, -jnp.inf]]),
  )  # fmt: skip
  entry_BW, after_BWM = beam_lib._take_entries(state)
  assert entry_BW.tolist() == [[2, 4], [0, 3]]
  entries = [[np.flatnonzero(row).tolist() for row in rows] for rows in np.asarray(after_BWM)]
  assert entries == [[[0, 2, 3], [0, 1, 4]], [[0, 1, 2], [0, 3]]]


def test_one_round_of_finishing_by_hand():
  beam = BeamConfig(beams=3, alpha=1.0, spread=2.0)  # score = raw / 1.5
  ids = [
    [[3, 2, EOS], [2, 2, EOS], [3, 3, 3]],  # the second of two finished ones is the best
    [[4, 4, EOS], [4, 3, 4], [3, 3, 3]],  # finished, but below what it had
    [[3, 2, EOS], [2, 2, 2], [3, 3, 3]],  # too early
    [[2, 2, 2], [3, 3, 3], [4, 4, EOS]],  # at the limit with nothing yet
  ]
  raw_BW = np.array([[-3, -2.5, -2], [-2, -2.5, -5], [-1, -2, -3], [-4, -3, -6]], np.float32)
  state = searches(
    4, beam, 5,
    t_B=jnp.full(4, 3),
    min_len_B=jnp.array([3, 0, 4, 0]),
    max_len_B=jnp.array([9, 9, 9, 3]),
    ids_BWT=jnp.full((4, 3, 5), EOS).at[:, :, :3].set(jnp.array(ids)),
    raw_BW=jnp.array(raw_BW),
    best_ids_BNT=jnp.full((4, 1, 5), EOS).at[1, 0, 0].set(2),
    best_length_BN=jnp.array([[0], [2], [0], [0]]),
    best_score_BN=jnp.array([[-jnp.inf], [-1.2], [-jnp.inf], [-jnp.inf]]),
    best_raw_BN=jnp.array([[-jnp.inf], [-1.5], [-jnp.inf], [-jnp.inf]]),
  )  # fmt: skip
  after = beam_lib._retire_finished(state, beam, EOS)
  inf = np.inf
  np.testing.assert_allclose(after.best_score_BN[:, 0], [-2.5 / 1.5, -1.2, -inf, -2], rtol=1e-6)
  np.testing.assert_allclose(after.best_raw_BN[:, 0], [-2.5, -1.5, -inf, -3], rtol=1e-6)
  np.testing.assert_array_equal(after.best_length_BN[:, 0], [3, 2, 0, 3])
  want = [[2, 2, EOS, EOS, EOS], [2] + [EOS] * 4, [EOS] * 5, [3, 3, 3, EOS, EOS]]
  np.testing.assert_array_equal(after.best_ids_BNT[:, 0], want)
  # Alive: not ended, not past the limit, not more than the spread below the best.
  want = [[-inf, -inf, -2], [-inf, -2.5, -inf], [-inf, -2, -3], [-4, -3, -inf]]
  np.testing.assert_array_equal(after.raw_BW, want)
  np.testing.assert_array_equal(after.ids_BWT, state.ids_BWT)
  # One word behind the limit nothing lives on, and what has not ended is not taken.
  late = beam_lib._retire_finished(state.replace(max_len_B=jnp.full(4, 2)), beam, EOS)
  assert not late.alive_B.any()
  np.testing.assert_allclose(late.best_raw_BN[:, 0], [-2.5, -1.5, -inf, -6], rtol=1e-6)
  np.testing.assert_array_equal(state.alive_B, [True] * 4)


def test_the_best_finished_ones_are_kept_in_order():
  beam = BeamConfig(beams=3, alpha=0.0, spread=100.0, best=3)
  nothing = -jnp.inf
  state = searches(
    2, beam, 3,
    t_B=jnp.array([2, 1]),
    max_len_B=jnp.array([9, 9]),
    ids_BWT=jnp.array([[[3, EOS, EOS], [4, EOS, EOS], [5, 5, EOS]], [[EOS] * 3] * 3]),
    raw_BW=jnp.array([[-2.0, -1.0, -0.5], [-4.0, nothing, nothing]]),
    best_ids_BNT=jnp.array([[[EOS] * 3, [2, 2, 2], [EOS] * 3]] * 2),
    best_length_BN=jnp.array([[1, 3, 0]] * 2),
    best_score_BN=jnp.array([[-1.0, -1.5, nothing]] * 2),
    best_raw_BN=jnp.array([[-1.0, -1.5, nothing]] * 2),
  )  # fmt: skip
  after = beam_lib._retire_finished(state, beam, EOS)
  np.testing.assert_array_equal(after.best_score_BN, [[-1, -1, -1.5], [-1, -1.5, -4]])
  np.testing.assert_array_equal(after.best_raw_BN, after.best_score_BN)
  np.testing.assert_array_equal(after.best_length_BN, [[1, 2, 3], [1, 3, 1]])
  # The old one stays before its equal.
  want = [[[EOS] * 3, [4, EOS, EOS], [2, 2, 2]], [[EOS] * 3, [2, 2, 2], [EOS] * 3]]
  np.testing.assert_array_equal(after.best_ids_BNT, want)


def test_n_best_lists_hold_the_best_of_all_sentences(translator):
  source, eos = [3, 4, 5, translator.config.eos], translator.config.eos
  words = [w for w in range(6) if w != eos]
  endings = [[*body, eos] for n in range(3) for body in itertools.product(words, repeat=n)]
  batch = batching.pad_pairs([source] * len(endings), endings, 4, 3)
  total_B = -np.sum(translator.token_losses(batch), axis=1)
  beam = BeamConfig(beams=150, alpha=0.0, spread=1e9, keep_unfinished=False, best=35)
  (found,) = translator.search([source], beam, 1, lambda n: (0, 2))
  order = np.argsort(-total_B)
  assert [h.ids for h in found[:31]] == [endings[i] for i in order]
  np.testing.assert_allclose([h.log_prob for h in found[:31]], total_B[order], atol=1e-5)
  assert found[31:] == [Hypothesis([], -np.inf, -np.inf)] * 4


@pytest.mark.parametrize(
  "alpha, spread, alive",
  [
    (-6.0, 70.0, [True, False]),  # scores: -64 and -96, the best -1
    (0.0, 70.0, [True, True]),
    (0.0, 0.5, [True, True]),  # just as far behind as is allowed
    (0.0, 0.49, [True, False]),
  ],
)
def test_the_spread_counts_for_scores_as_for_probabilities(alpha, spread, alive):
  beam = BeamConfig(beams=2, alpha=alpha, spread=spread, best=2)
  one = jnp.array([[-1.0, -jnp.inf]])  # a second one is still wanted: nothing is hopeless
  state = searches(
    1, beam, 8, t_B=jnp.array([6]), max_len_B=jnp.array([9]), raw_BW=jnp.array([[-1.0, -1.5]]),
    ids_BWT=jnp.full((1, 2, 8), 3), best_score_BN=one, best_raw_BN=one,
  )  # fmt: skip
  after = beam_lib._retire_finished(state, beam, EOS)
  assert np.isfinite(after.raw_BW)[0].tolist() == alive


@pytest.mark.parametrize(
  "alpha, raw, alive",  # the best one so far has -2.2; at most eleven words
  [
    (0.0, [-2.1, -5.0], [True, True]),
    (0.0, [-2.3, -5.0], [False, False]),
    (1.0, [-2.3 * 17 / 6, -50.0], [False, False]),  # log p may fall no further
    (1.0, [-2.1 * 17 / 6, -50.0], [True, True]),
    (-1.0, [-2.1 / 2, -50.0], [True, True]),  # the next word already costs more
    (-1.0, [-2.3 / 2, -50.0], [False, False]),
  ],
)
def test_a_search_ends_where_nothing_better_can_come(alpha, raw, alive):
  state = searches(
    1, BeamConfig(2, alpha, 99.0), 12, t_B=jnp.array([6]), max_len_B=jnp.array([10]),
    raw_BW=jnp.array([raw]), ids_BWT=jnp.full((1, 2, 12), 3), best_score_BN=jnp.array([[-2.2]]),
    best_raw_BN=jnp.array([[-2.2]]),
  )  # fmt: skip
  after = beam_lib._retire_finished(state, BeamConfig(2, alpha, 99.0), EOS)
  assert np.isfinite(after.raw_BW)[0].tolist() == alive


@pytest.mark.parametrize("vocab", (640, 1000, 97, 8, 16))
def test_best_words_are_those_of_top_k_ties_included(vocab):
  logits_BWV = jnp.round(jax.random.normal(jax.random.key(vocab), (5, 3, vocab)) * 2) + 0.0  # no -0
  logp_BWK, word_BWK = beam_lib._best_words(logits_BWV, 6)
  want = jax.lax.top_k(jax.nn.log_softmax(logits_BWV), 6)
  np.testing.assert_allclose(logp_BWK, want[0], atol=1e-5)
  np.testing.assert_array_equal(word_BWK, want[1])
