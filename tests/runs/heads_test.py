"""Gates as lists in files, and back."""

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.runs import heads
from tests import tiny

CONFIG = tiny.even(enc_self=(2, 1), dec_self=(2, 2), dec_enc=(2, 2))


def test_lists_hold_a_number_for_each_head():
  values = {"enc_self": np.array([[0, 0.25], [1, 0]], np.float32)}
  assert heads.as_lists(values, CONFIG.heads) == {"enc_self": [[0.0, 0.25], [1.0]]}


def test_arrays_are_zero_where_there_is_no_head():
  lists = {"enc_self": ((0, 0.25), (1,)), "dec_self": (), "dec_enc": [[1, 1], [0, 0.5]]}
  arrays = heads.as_arrays(lists, CONFIG, "here")
  assert arrays.keys() == {"enc_self", "dec_enc"}  # an empty list says nothing
  np.testing.assert_array_equal(arrays["enc_self"], [[0, 0.25], [1, 0]])
  np.testing.assert_array_equal(arrays["dec_enc"], [[1, 1], [0, 0.5]])
  assert arrays["enc_self"].dtype == np.float32
  assert heads.as_lists(arrays, CONFIG.heads)["enc_self"] == [[0.0, 0.25], [1.0]]


@pytest.mark.parametrize(
  "layers, message",
  [
    (((1, 0),), "enc_self has 1 layers; the model has 2"),
    (((1, 0), (1, 1)), "enc_self, layer 2: 2 gates; the layer has 1 heads"),
    (((1,), (1,)), "enc_self, layer 1: 1 gates; the layer has 2 heads"),
    ((1, 0), "enc_self, layer 1: no list of gates"),
    (3, "enc_self has no list of layers"),
    ((("open", 0), (1,)), "enc_self, layer 1: 'open' is not a number"),
    (((float("nan"), 0), (1,)), "enc_self, layer 1: nan is not a number"),
    (((1, 0), (1.5,)), "enc_self, layer 2: 1.5 is not a number from 0 to 1"),
    (((1, -1), (1,)), "enc_self, layer 1: -1 is not a number from 0 to 1"),
  ],
)
def test_lists_of_a_wrong_shape(layers, message):
  with pytest.raises(UserError, match=f"here.{message}"):
    heads.as_arrays({"enc_self": layers}, CONFIG, "here")


def test_unknown_types():
  with pytest.raises(UserError, match="here: 'enc' is not one of enc_self, dec_self, dec_enc"):
    heads.as_arrays({"enc": []}, CONFIG, "here")


def test_a_head_is_open_if_its_gate_is_above_zero():
  lists = {"enc_self": [[0.0, 0.5], [1.0]], "dec_self": [[0.0, 0.0], []]}
  assert heads.count_open(lists) == {"enc_self": [1, 1], "dec_self": [0, 0]}
  assert heads.describe_open(lists) == "2 of 5"
