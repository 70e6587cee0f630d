"""Sections that end together, and what all processes are told; threads stand for processes."""

import threading

import jax
import numpy as np
import pytest

from headprune.errors import UserError
from headprune.train import processes


class Processes:
  """Threads in place of processes: what each tells goes to all, as an all-gather does."""

  def __init__(self, count: int):
    self.count, self.barrier = count, threading.Barrier(count, timeout=20)
    self.local, self.told = threading.local(), [None] * count

  def tell(self, value) -> list:
    self.told[self.local.number] = value
    self.barrier.wait()
    result = list(self.told)
    self.barrier.wait()
    return result

  def gather(self, value: np.ndarray) -> np.ndarray:
    return np.stack(self.tell(value))

  def run(self, work) -> list:
    """What each of them returns or raises."""
    results = [None] * self.count

    def one(number):
      self.local.number = number
      try:
        results[number] = work(number)
      except Exception as error:
        results[number] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(self.count)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(20)
    assert not any(thread.is_alive() for thread in threads), "a process hangs"
    return results


@pytest.fixture
def three(monkeypatch):
  group = Processes(3)
  monkeypatch.setattr(processes, "_all_tell", group.gather)
  monkeypatch.setattr(processes, "_tell", lambda failure: group.gather(True))  # its own thread
  monkeypatch.setattr(processes.multihost_utils, "process_allgather", group.gather)
  monkeypatch.setattr(jax, "process_count", lambda: 3)
  monkeypatch.setattr(processes, "is_first", lambda: group.local.number == 0)
  return group


def test_a_section_that_works_is_no_hindrance(three):
  def work(number):
    with processes.meeting("outer"):
      with processes.meeting("inner"):
        pass
      return number

  assert three.run(work) == [0, 1, 2]


@pytest.mark.parametrize("where", ["before", "inner", "after"])
def test_a_failure_in_one_ends_all(three, where):
  def work(number):
    with processes.meeting("outer"):
      if number == 1 and where == "before":
        raise UserError("broken")
      with processes.meeting("inner"):
        if number == 1 and where == "inner":
          raise UserError("broken")
      if number == 1 and where == "after":
        raise UserError("broken")

  first, broken, third = three.run(work)
  assert str(broken) == "broken"
  for other in (first, third):
    assert isinstance(other, processes.FailedElsewhere)
    assert "process 1 stopped and says why" in str(other)


def test_the_first_works_before_the_others(three):
  order = []

  def work(number):
    return processes.first_before_others("making it", lambda: order.append(number) or number)

  assert three.run(work) == [0, 1, 2]
  assert order[0] == 0 and sorted(order) == [0, 1, 2]


def test_what_the_first_cannot_do_nobody_tries(three):
  tried = []

  def fail(number):
    tried.append(number)
    raise UserError("no text")

  found = three.run(lambda n: processes.first_before_others("reading", lambda: fail(n)))
  assert tried == [0] and str(found[0]) == "no text"
  assert all("reading: process 0 stopped" in str(error) for error in found[1:])


def test_one_process_meets_itself():
  assert processes.share() == (0, 1)
  with processes.meeting("alone"):
    assert processes.first_before_others("alone", lambda: 3) == 3
  with pytest.raises(UserError, match="mine"):
    with processes.meeting("alone"):
      raise UserError("mine")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_lines_of_all_processes_are_joined_in_order(three, count):
  lines = [f"{i} \u2028 " + "é" * i for i in range(count)]
  assert three.run(lambda number: processes.join(lines[number::3])) == [lines] * 3


def test_only_the_first_prints(three, capsys):
  three.run(lambda number: processes.print_first("hello", number))
  assert capsys.readouterr().out == "hello 0\n"
