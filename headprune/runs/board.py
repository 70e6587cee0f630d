"""What TensorBoard shows of a run: numbers as lines, gates as pictures and histograms, fields."""

from collections.abc import Iterator
import io

import numpy as np
from PIL import Image
from tensorboardX import summary
from tensorboardX.proto import summary_pb2

_CELL = 16  # pixels of a head, one of them a line around it
_LINE, _NO_HEAD = (128, 128, 128), (190, 215, 255)  # RGB
_BINS = 30
_METRICS = dict.fromkeys(("dev_bleu", "test_bleu", "dev_loss"))  # to compare runs by
_PICTURE = (
  "Gates as at test time. One column a head, head 1 on the left; one row a layer, layer 1 at the "
  "bottom. Black is closed, white is open; blue: the layer has no such head."
)


def values(row: dict) -> list[summary_pb2.Summary.Value]:
  """What to show of a row of metrics."""
  shown = [
    summary_pb2.Summary.Value(tag=name, simple_value=value) for name, value in _scalars("", row)
  ]
  for name, layers in row.get("gates", {}).items():
    if any(layers):
      shown.append(_picture(f"gates/{name}", layers))
  for field, title in (("gates", "gate_values"), ("log_alpha", "log_alpha")):
    for name, layers in row.get(field, {}).items():
      numbers = np.concatenate([np.zeros(0), *map(np.asarray, layers)])
      if numbers.size:  # a tag is of one kind: pictures and histograms have names of their own
        shown += summary.histogram(f"{title}/{name}", numbers, _BINS).value
  return shown


def hyper_parameters(fields: dict) -> list[summary_pb2.Summary]:
  """What fills the HParams page: dotted field of the config -> value."""
  plain = {
    name: value if isinstance(value, (bool, int, float, str)) else str(value)
    for name, value in fields.items()
  }
  return list(summary.hparams(plain, _METRICS)[:2])  # the third tells that a run is over


def picture(layers: list[list[float]]) -> np.ndarray:
  """Gates in 0 ... 1 as uint8 RGB pixels, a square a head; layer 1 is the lowest row."""
  shape = len(layers), max(map(len, layers), default=0)
  cells_NH3 = np.full((*shape, 3), _NO_HEAD, np.uint8)
  for n, row in enumerate(layers):
    cells_NH3[n, : len(row)] = np.round(255 * np.array(row).reshape(-1, 1))
  pixels = np.repeat(np.repeat(cells_NH3[::-1], _CELL, 0), _CELL, 1)
  pixels[::_CELL] = pixels[:, ::_CELL] = _LINE
  return pixels


def _picture(tag: str, layers) -> summary_pb2.Summary.Value:
  pixels, file = picture(layers), io.BytesIO()
  height, width, colours = pixels.shape
  Image.fromarray(pixels).save(file, "PNG")
  image = summary_pb2.Summary.Image(
    height=height, width=width, colorspace=colours, encoded_image_string=file.getvalue()
  )
  about = summary_pb2.SummaryMetadata(summary_description=_PICTURE)
  return summary_pb2.Summary.Value(tag=tag, image=image, metadata=about)


def _scalars(prefix: str, value) -> Iterator[tuple[str, float]]:
  if isinstance(value, dict):
    for key, inner in value.items():
      yield from _scalars(f"{prefix}/{key}" if prefix else key, inner)
  elif isinstance(value, (int, float)) and not isinstance(value, bool):
    yield prefix, value
