"""Sentences through slots: sizes, what is filled and when, and that the batch stays full."""

import functools
import os
import signal
import threading
import time

import numpy as np
import pytest

from headprune.errors import Stopped
from headprune.nn.config import open_gates
from headprune.translator import queue, slots
from headprune.translator.beam import BeamConfig
from headprune.translator.slots import Sizes
from headprune.translator.translator import Translator, length_limits
from tests import tiny

CONFIG = tiny.even(src_vocab=6)
BEAM = BeamConfig(beams=2, alpha=0.6, spread=3.0)


def job(lengths, limits=length_limits):
  sources = [[2 + i % 4] * (n - 1) + [CONFIG.eos] for i, n in enumerate(lengths)]
  return queue.Job(CONFIG, None, None, BEAM, sources, limits)


@functools.cache
def translator():
  return Translator(CONFIG, tiny.random_params(CONFIG, seed=1), open_gates(CONFIG))


def sizes(lengths, old=None, owners=(), most=50, used=0):
  """For sentences of these lengths; `owners` are those already in slots."""
  waiting = [i for i in range(len(lengths)) if i not in owners]
  return queue._fitting(job(lengths), old, waiting, dict(enumerate(owners)), most, used)


def test_slots_fit_the_longest_sentence_and_how_many_there_are():
  assert sizes([3]) == Sizes(1, 8, 20, 16)  # two beams of eight words
  assert sizes([9] * 7) == Sizes(8, 16, 36, 32)
  assert sizes([17] * 99) == Sizes(50, 32, 68, 48)
  assert sizes([500] * 99) == Sizes(8, 512, 1028, 528)  # no more tokens than fit
  assert sizes([9000] * 2) == Sizes(1, 16384, 32772, 16400)


def test_slots_are_left_as_they_are_unless_others_fit_much_better():
  old = Sizes(50, 16, 36, 32)
  assert sizes([9] * 50, old) == sizes([16] * 13, old) == old
  assert sizes([16] * 12, old) == Sizes(12, 16, 36, 32)
  assert sizes([8] * 50, old) == Sizes(50, 8, 20, 16)
  assert sizes([8] * 49 + [9], old, owners=(49,)) == old  # one that is longer still goes on
  # A search for which there are not enough entries, and after it.
  assert sizes([16] * 50, old, used=30) == old
  full = sizes([16] * 50, old, used=31)
  assert full == Sizes(50, 16, 36, 64)
  assert sizes([16] * 50, full, used=3) == full
  assert sizes([16] * 50, full, used=70).entries == 72  # all words of two beams
  assert [sizes([8] * 50, full, used=used).entries for used in (14, 15, 31)] == [16, 32, 40]


def test_owners_are_never_too_many_for_the_slots():
  # They were short; the next sentence, which is longer, would have room for fewer.
  lengths = [500] * 20
  assert sizes(lengths, None, owners=range(12), most=50).slots == 12


@pytest.mark.parametrize(
  "count, more, busy, wanted",
  [(48, True, 40, 12), (1, True, 1, 1), (3, True, 3, 1), (48, False, 48, 36), (48, False, 10, 39),
   (8, False, 8, 8), (9, False, 9, 7)],
)  # fmt: skip
def test_how_many_free_slots_are_worth_a_stop(count, more, busy, wanted):
  assert queue._wanted(count, more, busy) == wanted


def test_fillings_take_the_longest_first_and_pad_what_is_missing():
  lengths, owners = [5, 2, 3, 2, 3], {1: 99}
  waiting = [1, 3, 2, 4, 0]
  limits = lambda n: (n, 10 * n)
  parts = list(queue._fillings(job(lengths, limits), Sizes(8, 8, 81, 8), waiting, owners))
  assert not waiting and owners == {1: 99, 7: 0, 6: 4, 5: 2, 4: 3, 3: 1}
  assert [slot_R.tolist() for slot_R, *_ in parts] == [[7, 6], [5, 4], [3, 8]]
  assert {batch["src_BS"].shape for _, batch, *_ in parts} == {(2, 8)}
  slot_R, batch, min_len_R, max_len_R = parts[2]
  assert batch["src_BS"][:, :2].tolist() == [[3, CONFIG.eos], [CONFIG.eos, 0]]
  assert (min_len_R.tolist(), max_len_R.tolist()) == ([2, 1], [20, 10])


def test_it_waits_until_a_filling_is_whole_unless_it_is_the_last():
  owners = {slot: 99 for slot in range(7)}
  waiting = [0, 1, 2]
  fill = lambda waiting: list(queue._fillings(job([2] * 3), Sizes(8, 8, 20, 8), waiting, owners))
  assert fill(waiting) == [] and waiting == [0, 1, 2]
  assert len(fill([0])) == 1


def test_the_batch_stays_full(monkeypatch):
  steps, ends, advance = [], [], slots.advance

  def counted(*args):
    before = args[3].t_B.sum()
    searches, report = advance(*args)
    steps.append(int(searches.t_B.sum() - before))  # of all slots, free ones included
    ends.append(not report["alive_B"].any())
    return searches, report

  monkeypatch.setattr(slots, "advance", counted)
  monkeypatch.setattr(queue, "_GROUPS", 1)
  rng = np.random.default_rng(0)
  sources = [[*rng.integers(2, 6, 5).tolist(), CONFIG.eos] for _ in range(40)]
  beam = BeamConfig(2, 0.6, 1.0)
  one_by_one = translator().translate(sources, beam, 1)
  alone = np.add.reduceat(steps, np.flatnonzero([True, *ends[:-1]]))
  assert len(alone) == 40
  steps.clear()
  assert [h.ids for h in translator().translate(sources, beam, 4)] == [h.ids for h in one_by_one]
  waiting = sum(4 * max(alone[i : i + 4]) for i in range(0, 40, 4))  # for the slowest of each four
  assert sum(alone) <= sum(steps) < (sum(alone) + waiting) / 2


def test_a_cache_that_is_too_small_grows(monkeypatch):
  sources = [[2 + i % 4] * (1 + i % 7) + [CONFIG.eos] for i in range(9)]
  beam = BeamConfig(4, 0.6, 100.0)
  want = translator().translate(sources, beam, 4)
  taken, move = [], slots.move
  monkeypatch.setattr(queue.cost, "search_entries", lambda words, beams: beams)
  monkeypatch.setattr(slots, "move", lambda sizes, *args: taken.append(sizes) or move(sizes, *args))
  found = translator().translate(sources, beam, 4)
  assert [h.ids for h in found] == [h.ids for h in want]
  assert {8, 16} <= {sizes.entries for sizes in taken}


@pytest.mark.parametrize("batch_size", (1, 2, 7))
def test_progress_is_told_of_every_sentence(batch_size):
  told = []
  sources = [[3] * (n % 5) + [CONFIG.eos] for n in range(23)]
  translator().search(sources, BEAM, batch_size, progress=told.append)
  assert sum(told) == 23 and len(told) > 2


def test_what_fails_in_a_group_ends_all(monkeypatch):
  def fail(*_):
    raise ValueError("no more memory")

  monkeypatch.setattr(slots, "fill", fail)
  with pytest.raises(ValueError, match="no more memory"):
    translator().translate([[3, CONFIG.eos]] * 9, BEAM, 4)


def test_a_signal_ends_all_groups_soon(monkeypatch):
  turns, harvest = [], queue._harvest

  def slow(*args):
    turns.append(threading.get_ident())
    if len(turns) == 3:
      os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.05)
    return harvest(*args)

  def stop(*_):
    raise Stopped("stopped", 15)

  monkeypatch.setattr(queue, "_harvest", slow)
  before = signal.signal(signal.SIGUSR1, stop)
  try:
    with pytest.raises(Stopped):
      translator().translate([[3, CONFIG.eos]] * 400, BEAM, 8)
  finally:
    signal.signal(signal.SIGUSR1, before)
  assert len(set(turns)) == 2 and len(turns) < 12
  assert np.all([t.name != "ThreadPoolExecutor" for t in threading.enumerate()])
