"""Tests of headprune.curve.paper: published numbers as shares and differences."""

import pytest

from headprune.curve import paper


def test_encoder_curves():
  found = paper.changes(("enc_self",))
  assert found["WMT"][0] == (1.0, 0.0)
  assert found["WMT"][3] == (pytest.approx(10 / 48), pytest.approx(-0.15))
  assert found["OpenSubtitles"][-1] == (pytest.approx(1 / 48), pytest.approx(-0.94))


def test_curves_of_all_types():
  (curve,) = paper.changes(("enc_self", "dec_self", "dec_enc")).values()
  assert curve[0] == (1.0, 0.0)
  assert curve[1] == (pytest.approx(75 / 144), pytest.approx(0.02))
  assert curve[-1] == (pytest.approx(26 / 144), pytest.approx(-0.7))


def test_there_are_no_curves_of_other_types():
  assert paper.changes(("dec_enc",)) == {}


def test_encoder_heads_go_first():
  found = paper.kept_by_type()
  assert found["enc_self"][1] == (pytest.approx(75 / 144), pytest.approx(14 / 48))
  assert found["dec_self"][1][1] == pytest.approx(31 / 48)
  assert found["dec_enc"][-1] == (pytest.approx(26 / 144), pytest.approx(12 / 48))
