"""Tests of headprune.huge_pages: one restart, before anything slow is read, and a switch."""

import os
import platform
import subprocess
import sys

import pytest

from headprune import huge_pages

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries' malloc")


@pytest.fixture
def started(monkeypatch):
  """What `restart` starts, instead of doing it."""
  calls = []
  monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append(arguments))
  monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "headprune", "train"])
  monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "1")
  return calls


@GLIBC
def test_the_same_program_starts_once_more_and_not_again(started):
  huge_pages.restart()
  huge_pages.restart()
  assert started == [[sys.executable, "-m", "headprune", "train"]]
  assert os.environ.pop("GLIBC_TUNABLES") == "glibc.malloc.hugetlb=1"


def test_it_is_left_alone_where_that_is_wished_and_with_settings_of_its_own(started, monkeypatch):
  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "0")
  huge_pages.restart()
  monkeypatch.setenv("HEADPRUNE_HUGE_PAGES", "1")
  monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
  huge_pages.restart()
  assert started == []


@GLIBC
def test_a_command_restarts_before_jax_is_read():
  environment = os.environ | {"HEADPRUNE_HUGE_PAGES": "1"}
  environment.pop("GLIBC_TUNABLES", None)
  ended = subprocess.run(
    [sys.executable, "-X", "importtime", "-m", "headprune", "corpus", "--help"],
    env=environment, capture_output=True, text=True, check=True,
  )  # fmt: skip
  read = [line.split("|")[-1].strip() for line in ended.stderr.splitlines()]
  assert ended.stdout.startswith("usage: headprune corpus")
  assert read.count("headprune.huge_pages") == 2 and read.count("jax") == 1
