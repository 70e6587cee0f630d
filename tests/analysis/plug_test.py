"""Tests of headprune.analysis.plug."""

import zlib

from headprune.analysis import plug


def test_a_checksum_tells_lines_apart():
  lines = "a\né".encode()
  assert plug.checksum(["a", "é"]) == f"{zlib.crc32(lines):08x}"
  assert plug.checksum([]) == "00000000"
  assert plug.checksum(["ab"]) != plug.checksum(["a", "b"]) != plug.checksum(["b", "a"])
