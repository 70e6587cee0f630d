"""Sentences on their way through slots: which one goes where, when, and into slots of which size.

Two groups of slots work side by side: what one leaves idle of the processor works for the other.
"""

from collections.abc import Callable, Iterator, Sequence
import concurrent.futures
import dataclasses
import threading

import jax
import numpy as np

from headprune.nn import cost
from headprune.nn.config import ModelConfig
from headprune.text import batching
from headprune.translator import slots
from headprune.translator.beam import BeamConfig
from headprune.translator.slots import Sizes

_GROUPS = 2
_SHARE = 4  # a quarter of a group's slots is filled at a time
_FEW = 8  # slots that wait for their slowest sentence when there is no other left


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """A translation: ids up to its EOS; empty, with both scores -inf, if nothing ever finished."""

  ids: list[int]  # ends in EOS unless the search reached its length limit first
  score: float
  log_prob: float


@dataclasses.dataclass(frozen=True)
class Job:
  """What is to be searched, and how; see `Translator.search`."""

  config: ModelConfig
  params: dict
  gate_values: dict
  beam: BeamConfig
  sources: Sequence[Sequence[int]]
  limits: Callable[[int], tuple[int, int]]


def search_all(job: Job, batch_size: int, progress: Callable[[int], None]) -> list[list]:
  """Each sentence's best hypotheses, the best first."""
  order = sorted(range(len(job.sources)), key=lambda i: len(job.sources[i]))  # longest last
  count = max(1, min(_GROUPS, batch_size, len(order)))
  found, stop, turn = [None] * len(order), threading.Event(), threading.Lock()

  def work(waiting: list):
    for ended in _search_group(job, waiting, found, batch_size // count, turn):
      if stop.is_set():
        break
      with turn:
        progress(ended)

  if count == 1:
    work(order)
    return found
  # JAX runs what one thread asks for in order, and what several do side by side.
  with concurrent.futures.ThreadPoolExecutor(count) as pool:
    try:
      for future in [pool.submit(work, order[number::count]) for number in range(count)]:
        future.result()
    finally:
      stop.set()  # where a group has failed, or a signal came
  return found


def _search_group(job: Job, waiting: list, found: list, most: int, turn) -> Iterator[int]:
  """Searches with one group of slots; tells now and then how many searches have ended.

  Args:
    job: what is searched.
    waiting: sentences, shortest first, all of which are taken.
    found: takes the results.
    most: slots at most.
    turn: a lock that is held while work is handed over, so that no two groups compile the same.
  """
  owners, sizes, searches, used = {}, None, None, 0  # owners: slot -> sentence
  model = job.config, job.params, job.gate_values
  while waiting or owners:
    with turn:
      old, sizes = sizes, _fitting(job, sizes, waiting, owners, most, used)
      if old is None:
        searches = slots.empty(*model[:2], sizes, job.beam)
      elif sizes != old:
        slot_B = np.full(sizes.slots, old.slots, np.int32)
        slot_B[: len(owners)] = list(owners)
        searches = slots.move(sizes, job.config.eos, searches, slot_B)
        owners = dict(enumerate(owners.values()))
      for arguments in _fillings(job, sizes, waiting, owners):
        searches = slots.fill(*model, searches, *arguments)
      wanted = np.int32(_wanted(sizes.slots, bool(waiting), len(owners)))
      searches, report = slots.advance(*model, searches, job.beam, wanted)
    owners, used, ended = _harvest(jax.device_get(report), owners, found)
    yield ended


def _fitting(job, old, waiting, owners, most: int, used: int) -> Sizes:
  """The slots' sizes, of few different ones, for each is compiled.

  Args:
    job: what is searched.
    old: the sizes so far, None at the beginning.
    waiting: sentences, shortest first.
    owners: slot -> sentence that is being searched.
    most: slots at most.
    used: entries of the cache that the search with the most of them needs.
  """
  length = max(len(job.sources[i]) for i in (*owners.values(), *waiting[-1:]))
  source = max(8, 1 << (length - 1).bit_length())
  words = job.limits(source)[1] + 1
  count = min(most, max(1, batching.MAX_TOKENS // source // _GROUPS))
  count = max(len(owners), min(count, batching.round_up(len(owners) + len(waiting))))
  if old and count <= old.slots < _SHARE * count:
    count = old.slots
  entries = cost.search_entries(source, job.beam.beams)
  if old and old.source == source:
    entries = max(entries, old.entries)
  while entries < used + job.beam.beams:  # few searches need more than that
    entries *= 2
  return Sizes(count, source, words, min(entries, words * job.beam.beams))


def _wanted(count: int, more: bool, busy: int) -> int:
  """Free slots for which it is worth to stop: to fill them, or to go on with few."""
  if more:
    return max(1, count // _SHARE)
  return count if count <= _FEW else max(count - count // _SHARE, count - busy + 1)


def _fillings(job: Job, sizes: Sizes, waiting: list, owners: dict) -> Iterator[tuple]:
  """Arguments of `slots.fill` for as many sentences as there are free slots."""
  rows = max(1, sizes.slots // _SHARE)
  free = [slot for slot in range(sizes.slots) if slot not in owners]
  while waiting and len(free) >= min(rows, len(waiting)):
    taken = [(free.pop(), waiting.pop()) for _ in range(min(rows, len(waiting)))]
    owners.update(taken)
    surplus = rows - len(taken)
    slot_R = np.array([slot for slot, _ in taken] + [sizes.slots] * surplus, np.int32)
    chosen = [job.sources[i] for _, i in taken] + [[job.config.eos]] * surplus
    min_len_R, max_len_R = np.array([job.limits(len(ids)) for ids in chosen], np.int32).T.copy()
    yield slot_R, batching.pad_sources(chosen, sizes.source), min_len_R, max_len_R


def _harvest(report: dict, owners: dict, found: list) -> tuple[dict, int, int]:
  """Takes what has ended: (owners that go on, the most entries of one, how many ended)."""
  ended = {slot: i for slot, i in owners.items() if not report["alive_B"][slot]}
  for slot, i in ended.items():
    best = (report[name][slot].tolist() for name in ("ids_BNT", "length_BN", "score_BN", "raw_BN"))
    found[i] = [Hypothesis(ids[:length], score, raw) for ids, length, score, raw in zip(*best)]
  owners = {slot: i for slot, i in owners.items() if slot not in ended}
  return owners, max((int(report["used_B"][slot]) for slot in owners), default=0), len(ended)
