"""Slots: searches go on in slots of any size, and stop where they are to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from headprune.nn.config import open_gates
from headprune.text import batching
from headprune.translator import slots
from headprune.translator.beam import BeamConfig
from headprune.translator.slots import Sizes
from tests import tiny

CONFIG = tiny.even(dec_self=(2, 0), dec_enc=(0, 1), enc_self=(2, 2))
MODEL = CONFIG, tiny.random_params(CONFIG, seed=4), open_gates(CONFIG)
BEAM = BeamConfig(beams=2, alpha=0.6, spread=100.0)
SOURCES = [[3, 4, 5, 2, 1], [5, 1], [4, 4, 1]]
MOST = [8, 5, 3]  # words of each translation
WORDS = 9
ROOM = 2 * WORDS  # entries for all words of both beams
ALL = np.int32(99)


def begun(sizes: Sizes, slot_R, numbers=(0, 1, 2)):
  """Slots of which some search some of SOURCES."""
  return fill(slots.empty(*MODEL[:2], sizes, BEAM), sizes, slot_R, numbers)


def fill(searches, sizes, slot_R, numbers):
  limit_R = np.int32([MOST[i] for i in numbers])
  batch = batching.pad_sources([SOURCES[i] for i in numbers], sizes.source)
  return slots.fill(*MODEL, searches, np.int32(slot_R), batch, 0 * limit_R, limit_R)


def advance(searches, wanted=ALL):
  searches, report = slots.advance(*MODEL, searches, BEAM, wanted)
  np.testing.assert_array_equal(report["alive_B"], searches.alive_B)
  np.testing.assert_array_equal(report["used_B"], searches.used_BM.sum(axis=1))
  for name in ("ids_BNT", "length_BN", "score_BN", "raw_BN"):
    np.testing.assert_array_equal(report[name], getattr(searches, f"best_{name}"))
  return searches


def results(searches, slot_R):
  """Translations and their scores in the order of SOURCES."""
  ids, lengths, scores = jax.device_get(
    (searches.best_ids_BNT, searches.best_length_BN, searches.best_score_BN)
  )
  return [(ids[i, 0, : lengths[i, 0]].tolist(), float(scores[i, 0])) for i in slot_R]


@functools.cache
def alone():
  """What each source gives in a slot of its own."""
  found = []
  for number in range(3):
    found += results(advance(begun(Sizes(1, 5, WORDS, ROOM), [0], [number])), [0])
  assert [len(ids) for ids, _ in found] == MOST
  return found


def same(found, want):
  assert [ids for ids, _ in found] == [ids for ids, _ in want]
  np.testing.assert_allclose([s for _, s in found], [s for _, s in want], atol=1e-5)


@pytest.mark.parametrize("slot_R", ([0, 1, 2], [3, 0, 2]))
def test_neighbours_and_room_change_nothing(slot_R):
  searches = begun(Sizes(4, 7, WORDS + 2, ROOM), slot_R)
  assert [bool(x) for x in searches.alive_B] == [i in slot_R for i in range(4)]
  done = advance(searches)
  assert not done.alive_B.any()
  same(results(done, slot_R), alone())


def test_padding_begins_nothing():
  searches = begun(Sizes(2, 5, WORDS, ROOM), [1, 2], [0, 1])
  assert searches.alive_B.tolist() == [False, True]


def test_it_stops_where_enough_slots_are_free_or_the_cache_is_full():
  for wanted in (1, 2, 3):
    searches = advance(begun(Sizes(3, 5, WORDS, ROOM), [0, 1, 2]), np.int32(wanted))
    assert int(jnp.sum(~searches.alive_B)) >= wanted
    assert (wanted == 3) or bool(searches.alive_B.any())
  searches = advance(begun(Sizes(3, 5, WORDS, 4), [0, 1, 2]))
  assert bool(searches.alive_B.all()) and 2 < int(searches.used_BM.sum(axis=1).max()) <= 4


def test_entries_that_no_living_hypothesis_needs_are_written_over():
  beams = BeamConfig(beams=8, alpha=0.6, spread=100.0)
  found = {}
  for entries in (30, 8 * WORDS):
    searches = slots.empty(*MODEL[:2], Sizes(1, 5, WORDS, entries), beams)
    searches = fill(searches, Sizes(1, 5, WORDS, entries), [0], [0])
    searches, _ = slots.advance(*MODEL, searches, beams, ALL)
    found[entries] = results(searches, [0])
    assert not searches.alive_B.any() and 8 * int(searches.t_B[0]) > 30  # as many were written
  same(found[30], found[8 * WORDS])


def with_entries_moved(searches, by: int):
  turn = lambda pair: pair and (jnp.roll(pair[0], by, 3), jnp.roll(pair[1], by, 2))
  return searches.replace(
    cache=[{**layer, "self": turn(layer["self"])} for layer in searches.cache],
    past_BWM=jnp.roll(searches.past_BWM, by, 2),
  )


def test_searches_move_into_other_slots_in_the_middle():
  searches = advance(begun(Sizes(3, 8, WORDS + 3, 6), [0, 2], [0, 1]))
  assert searches.t_B[0] >= 3
  searches = slots.move(Sizes(3, 8, WORDS + 3, 8), CONFIG.eos, searches, np.int32([0, 3, 2]))
  searches = fill(searches, Sizes(3, 8, WORDS + 3, 8), [1], [2])  # it begins after the others
  assert searches.alive_B.tolist()[:2] == [True, True]
  searches = advance(searches)  # until the first has no room again
  assert 0 < searches.t_B[1] < searches.t_B[0]
  searches = slots.move(Sizes(4, 5, WORDS, ROOM), CONFIG.eos, searches, np.int32([1, 9, 0, 2]))
  assert searches.best_ids_BNT.shape == (4, 1, WORDS) and searches.mask_BS.shape == (4, 5)
  # Into less room, where the entries in use are the last ones.
  most = int(searches.used_BM.sum(axis=1).max())
  searches = with_entries_moved(searches, ROOM - most)
  searches = slots.move(Sizes(4, 5, WORDS, most), CONFIG.eos, searches, np.arange(4))
  assert searches.past_BWM.shape == (4, 2, most)
  done = advance(slots.move(Sizes(4, 5, WORDS, ROOM), CONFIG.eos, searches, np.arange(4)))
  same(results(done, [2, 3, 0]), alone())
