"""The short form of tests/long/fuzz.py: a small run's files, damaged at random and read."""

import random

from tests.long import fuzz


def test_damaged_files_are_read_or_named_in_one_line(tmp_path):
  targets = fuzz.make(tmp_path)
  assert len(targets) == 12
  assert fuzz.run(targets, range(600)) == []


def test_the_fuzzer_sees_what_is_wrong(tmp_path):
  path = tmp_path / "x.json"
  path.write_bytes(b'{"a": [1, 2]}')
  faults = fuzz.run([(path, lambda: len(path.read_bytes()) // 0)], range(3))
  assert [number for number, _, report in faults if "ZeroDivisionError" in report] == [0, 1, 2]
  assert path.read_bytes() == b'{"a": [1, 2]}'
  results = {fuzz.mutate(path.read_bytes(), random.Random(i)) for i in range(200)}
  assert len(results) > 80
