"""Tests of headprune.curve.significance: real translations against real references."""

import pytest

from headprune.curve import significance
from headprune.curve.rows import rows
from headprune.errors import UserError
from tests.curve import runs

WORDS = "one two three four five six seven eight nine ten".split()
TEXT = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(10)] * 4
WORSE = [line.replace("three", "four").replace("eight", "six") for line in TEXT]


@pytest.fixture
def folder(tmp_path):
  """A control, a run that translates as it does, and one that is worse before it is trained on."""
  text = {f"data__text__test_{side}": str(tmp_path / "text") for side in ("src", "tgt")}
  (tmp_path / "text").write_text("\n".join(TEXT) + "\n")
  write = lambda workdir, step, lines: (
    workdir.translations("test", step).parent.mkdir(exist_ok=True),
    workdir.translations("test", step).write_text("\n".join(lines) + "\n"),
  )
  own = {"init_from": "baseline", **text}
  write(runs.make(tmp_path / "control", 99.0, **own), 100, [TEXT[1], *TEXT[1:]])
  fixed = own | {"gates__kind": "fixed"}
  write(runs.make(tmp_path / "same", 99.0, **fixed), 100, [TEXT[1], *TEXT[1:]])
  workdir = runs.make(tmp_path / "worse", 99.0, None, {"dev_bleu": 50.0}, **fixed)
  write(workdir, 0, WORSE)
  write(workdir, 100, TEXT)
  return tmp_path


def found(folder, *names):
  p = significance.p_values(rows([folder / name for name in names]))
  return {(run.rpartition("/")[2], tuned): value for (run, tuned), value in p.items()}


def test_p_values_are_those_of_the_paired_bootstrap(folder):
  p = found(folder, "control", "same", "worse")
  assert p.keys() == {("same", True), ("worse", True), ("worse", False)}
  assert p["worse", False] == pytest.approx(1 / 1001), "no resample is as far apart by chance"
  assert p["worse", True] > significance.LEVEL, "one sentence of forty"
  assert p["same", True] == 1.0
  assert p == found(folder, "control", "same", "worse"), "the same resamples each time"


def test_without_a_control_there_is_nothing_to_compare(folder):
  with pytest.raises(UserError, match="none of these runs has its control among them: name that"):
    found(folder, "same", "worse")


def test_translations_that_do_not_belong_to_the_text(folder):
  path = folder / "same" / "translations" / "test-0000100.txt"
  path.write_text("one\n")
  with pytest.raises(UserError, match="0000100.txt has 1 lines, but the test set 40: restore"):
    found(folder, "control", "same")
  path.unlink()
  with pytest.raises(UserError, match="0000100.txt: no such file"):
    found(folder, "control", "same")


def test_a_run_without_a_test_set(tmp_path):
  for name, kind in (("control", "none"), ("fixed", "fixed")):
    runs.make(tmp_path / name, 39.0, init_from="baseline", gates__kind=kind)
  with pytest.raises(UserError, match="control: its config names no test set"):
    found(tmp_path, "control", "fixed")
