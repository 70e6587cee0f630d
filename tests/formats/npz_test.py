"""Files of arrays, of which nothing is believed."""

import zipfile

import numpy as np
import pytest

from headprune.errors import UserError
from headprune.formats import npz
from tests.recorded import GOLDEN


def test_arrays_come_back(tmp_path):
  np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.ones((2, 2)))
  arrays = npz.read(tmp_path / "x.npz")
  assert sorted(arrays) == ["a", "b"]
  np.testing.assert_array_equal(arrays["a"], [0, 1, 2])


@pytest.mark.parametrize("place, value", [(8, 1), (10, 99)])  # encrypted, an unknown compression
def test_damage_that_zipfile_does_not_know(tmp_path, place, value):
  path = tmp_path / "x.npz"
  np.savez(path, a=np.arange(3))
  data = bytearray(path.read_bytes())
  data[data.index(b"PK\x01\x02") + place] = value  # in the archive's list of its members
  path.write_bytes(data)
  with pytest.raises(UserError, match="x.npz: a is damaged or not a plain array"):
    npz.read(path)


def test_a_header_may_claim_anything(tmp_path):
  path = tmp_path / "x.npz"
  with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(file, header)
  with pytest.raises(UserError, match="x.npz: a is damaged or not a plain array"):
    npz.read(path)


@pytest.mark.parametrize(
  "old, new",
  [
    (b"v\x00{", b"\x01\x00{"),  # shorter: TokenError
    (b"'<f8'", b"',f8'"),  # SyntaxError
    (b"'fortran_order'", b"b'fortran_orde'"),  # TypeError
  ],
)
def test_damage_to_a_header_may_raise_anything(tmp_path, old, new):
  path = tmp_path / "x.npz"
  np.savez(path, a=np.ones((40_000, 3)))  # of a small one, zipfile tells that its sum is wrong
  data = path.read_bytes()
  assert data.count(old) == 1 and len(old) == len(new)
  path.write_bytes(data.replace(old, new))
  with pytest.raises(UserError, match="x.npz: a is damaged or not a plain array"):
    npz.read(path)


def test_only_plain_arrays_are_read(tmp_path):
  np.savez(tmp_path / "object.npz", pickled=np.array([{}], object), plain=np.ones(3))
  (tmp_path / "text.npz").write_text("not a zip file")
  (tmp_path / "cut.npz").write_bytes((GOLDEN / "baseline" / "model.npz").read_bytes()[:5000])
  np.save(tmp_path / "one.npy", np.ones(3))
  for name, message in (
    ("object.npz", "pickled is damaged or not a plain array"),
    ("text.npz", "text.npz: the file is damaged"),
    ("cut.npz", "cut.npz: the file is damaged"),
    ("one.npy", "one array, expected an .npz"),
    ("absent.npz", "no such file"),
  ):
    with pytest.raises(UserError, match=message):
      npz.read(tmp_path / name)
