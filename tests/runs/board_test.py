"""What goes to TensorBoard."""

import io

import numpy as np
from PIL import Image
from tensorboardX.proto import plugin_hparams_pb2

from headprune.runs import board

ROW = {
  "objective": 2.5, "signature": "x", "done": True, "open": {"enc_self": 3},
  "gates": {"enc_self": [[0.0, 0.5], [1.0]], "dec_self": [[], []]},
  "log_alpha": {"enc_self": [[-9.0, 0.0], [7.0]], "dec_self": [[], []]},
}  # fmt: skip
BLACK, GREY, WHITE, BLUE = (0, 0, 0), (128, 128, 128), (255, 255, 255), (190, 215, 255)


def test_numbers_are_lines_and_gates_are_none():
  shown = {v.tag: v for v in board.values(ROW)}
  lines = {tag: v.simple_value for tag, v in shown.items() if v.HasField("simple_value")}
  assert lines == {"objective": 2.5, "open/enc_self": 3.0}
  assert shown.keys() - lines.keys() == {
    "gates/enc_self", "gate_values/enc_self", "log_alpha/enc_self",
  }  # fmt: skip
  histogram = shown["log_alpha/enc_self"].histo
  assert (histogram.num, histogram.min, histogram.max) == (3, -9.0, 7.0)
  assert sum(histogram.bucket) == 3
  image = shown["gates/enc_self"].image
  pixels = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
  np.testing.assert_array_equal(pixels, board.picture(ROW["gates"]["enc_self"]))
  assert (image.height, image.width) == pixels.shape[:2] == (32, 32)
  assert "head 1 on the left" in shown["gates/enc_self"].metadata.summary_description


def test_layer_1_is_the_lowest_row_of_the_picture_and_head_1_its_left_column():
  pixels = board.picture([[0.0, 0.5], [1.0]])
  colour = lambda y, x: tuple(int(c) for c in pixels[16 * y + 8, 16 * x + 8])
  assert [colour(1, 0), colour(1, 1)] == [BLACK, GREY]
  assert [colour(0, 0), colour(0, 1)] == [WHITE, BLUE]


def test_the_config_is_on_the_board():
  fields = {"seed": 3, "optim.warmup": 0.4, "data.kind": "text", "gates.types": ("enc_self",)}
  fields["tokenizer.shared"] = True
  experiment, start = board.hyper_parameters(fields)
  read = plugin_hparams_pb2.HParamsPluginData.FromString
  found = read(start.value[0].metadata.plugin_data.content).session_start_info.hparams
  assert found["seed"].number_value == 3.0 and found["optim.warmup"].number_value == 0.4
  assert found["data.kind"].string_value == "text" and found["tokenizer.shared"].bool_value
  assert found["gates.types"].string_value == "('enc_self',)"
  about = read(experiment.value[0].metadata.plugin_data.content).experiment
  assert [m.name.tag for m in about.metric_infos] == ["dev_bleu", "test_bleu", "dev_loss"]
  assert {info.name for info in about.hparam_infos} == fields.keys()
